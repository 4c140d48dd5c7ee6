// A cache policy of one's own. TOVA drops the token with the lowest attention on average over the heads; this one asks for the highest that any head gives,
// so a token that a single head lives on stays. A policy is a kernel that names the slot which the next token overwrites, and an entry in POLICIES.
import {
  amin,
  argmin,
  exp,
  max,
  min,
  over,
  program,
  range,
  size,
  type Tensor,
  type u32,
  zerosLike,
} from "tilestate/dsl";
import { Decoder, openModel, POLICIES, type Policy } from "tilestate/models";
import { open } from "tilestate/runtime";

/** victim[l, b] becomes the slot of sequence b in layer l that no head wants. Which slots are empty, and whether the sequence goes on, is not the policy's business. */
export function unloved(
  scores: Tensor<"layers sequences heads slots">,
  lse: Tensor<"layers sequences heads">,
  victim: Tensor<"layers lanes", u32>,
): void {
  const l = program("layers");
  const b = program("sequences");
  let lowest = Infinity;
  let slot = 0;
  for (const s of over("slots")) {
    let wanted: number = zerosLike(s);
    for (const h of range(size("heads"))) wanted = max(wanted, exp(scores.at(l, b, h, s) - lse.at(l, b, h)));
    const low = amin(wanted);
    slot = low < lowest ? argmin(wanted, s) : slot;
    lowest = min(low, lowest);
  }
  victim.set([l, b], slot);
}

const policy: Policy = {
  options: {},
  unbounded: false,
  protects: () => ({ recent: 0, first: 0 }),
  async load(gpu) {
    const kernels = await gpu.kernels(import.meta, { unloved });
    return (state) => kernels.unloved(state.scores, state.lse, state.victim);
  },
};
// From here on `unloved:C` is a state like any other.
Object.assign(POLICIES, { unloved: policy });

const TEXT = `A tale from Ashwick.
In Ashwick lived Faye and Oskar. Faye keeps the grey whistle in the attic. Every Monday Oskar went to the market.
A dog ran past the bakery, and Oskar laughed. It was a bright and windy day. Faye sat by the fire until it was late.
Question: Where is the grey whistle? Answer:`;

const source = await openModel("hearth");
const tokenizer = await source.tokenizer();
const ids = tokenizer.encode(TEXT);
const gpu = await open();
for (const state of ["full", "window:32", "tova:32", "unloved:32"]) {
  const decoder = await Decoder.load(gpu, source, { state });
  const answer: number[] = [];
  for await (const id of decoder.generate(ids, { tokens: 4 })) answer.push(id);
  const stays = (await decoder.kept())[2]?.filter((at) => at < ids.length) ?? [];
  const words = stays.map((at) => tokenizer.decode([ids[at] ?? 0]).trim()).filter((word) => word.length > 2);
  console.log(`${state.padEnd(11)} "${tokenizer.decode(answer).trim()}"   third layer: ${words.slice(-12).join(" ")}`);
  decoder.destroy();
}
await gpu.close();
