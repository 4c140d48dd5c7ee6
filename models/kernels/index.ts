/** Every kernel of the decoder, in the order a token meets them. */

export { advance, append, commit } from "./append.ts";
export { attend, attendOnly } from "./attend.ts";
export { best, choose, ruleOut } from "./choose.ts";
export { embed } from "./embed.ts";
export { flash } from "./flash.ts";
export { logits, norm } from "./logits.ts";
export { moveCache, moveFree, moveMemory, moveRow } from "./move.ts";
export { place, protect, rank } from "./oneshot.ts";
export { biasedProject, project } from "./project.ts";
export { biasedQkv, qkv } from "./qkv.ts";
export { swiglu } from "./swiglu.ts";
