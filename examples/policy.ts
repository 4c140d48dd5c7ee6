// A cache policy of one's own (my-policy.ts) beside those that come with the package: what each answers about an
// earlier part of its text, and what it has kept of it.
import { Decoder, openModel } from "tilestate/models";
import { open } from "tilestate/runtime";
import { unloved } from "./my-policy.ts";

const TEXT = `A tale from Ashwick.
In Ashwick lived Faye and Oskar. Faye keeps the grey whistle in the attic. Every Monday Oskar went to the market.
A dog ran past the bakery, and Oskar laughed. It was a bright and windy day. Faye sat by the fire until it was late.
Question: Where is the grey whistle? Answer:`;

const source = await openModel("hearth");
const tokenizer = await source.tokenizer();
const ids = tokenizer.encode(TEXT);
const gpu = await open();
for (const state of ["full", "window:32", "tova:32", "unloved:32"]) {
  const decoder = await Decoder.load(gpu, source, { state, policies: [unloved] });
  const answer: number[] = [];
  for await (const id of decoder.generate(ids, { tokens: 4 })) answer.push(id);
  const stays = (await decoder.kept())[2]?.filter((at) => at < ids.length) ?? [];
  const words = stays.map((at) => tokenizer.decode([ids[at] ?? 0]).trim()).filter((word) => word.length > 2);
  console.log(`${state.padEnd(11)} "${tokenizer.decode(answer).trim()}"   third layer: ${words.slice(-12).join(" ")}`);
  decoder.destroy();
}
await gpu.close();
