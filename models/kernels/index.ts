/** Every kernel of the decoder, in the order a token meets them. */
export { embed } from "./embed.ts";
export { qkv } from "./qkv.ts";
export { attend } from "./attend.ts";
export { project } from "./project.ts";
export { swiglu } from "./swiglu.ts";
export { logits } from "./logits.ts";
export { advance, choose } from "./choose.ts";
export { place, rank, weigh } from "./oneshot.ts";
export { write } from "./write.ts";
