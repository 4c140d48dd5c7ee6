/** Every kernel of the decoder, in the order a token meets them. */

export { attend } from "./attend.ts";
export { advance, choose } from "./choose.ts";
export { embed } from "./embed.ts";
export { logits } from "./logits.ts";
export { place, protect, rank, weigh } from "./oneshot.ts";
export { project } from "./project.ts";
export { qkv } from "./qkv.ts";
export { swiglu } from "./swiglu.ts";
export { write } from "./write.ts";
