// Several texts at once. Each row of the batch has a state of its own; the weights are read once for all of them, and a
// text begins as soon as another has ended.
import { Decoder, type GenerateOptions, openModel } from "tilestate/models";
import { open } from "tilestate/runtime";

const PLACES = ["Ashwick", "Brindle", "Corby", "Dunmore", "Elm Hill", "Fenwick"];

const source = await openModel("hearth");
const tokenizer = await source.tokenizer();
const gpu = await open();
const decoder = await Decoder.load(gpu, source, { state: "tova:64", batch: 4 });
const prompts = PLACES.map((place) => tokenizer.encode(`A tale from ${place}.`));
const texts = prompts.map((ids) => [...ids]);
const options = (seed: number): GenerateOptions => ({ tokens: 40, temperature: 0.8, seed });
for await (const { sequence, id } of decoder.generateAll(prompts, options)) {
  texts[sequence]?.push(id);
}
for (const ids of texts) console.log(`${tokenizer.decode(ids).replaceAll(/\s+/g, " ").trim()}\n`);
await gpu.close();
