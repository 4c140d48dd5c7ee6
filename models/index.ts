/** The models' doors: open a checkpoint, load a decoder, choose a state. */
export { openModel } from "./formats/open.ts";
export { type RandomOptions, randomSource, SHAPES } from "./formats/random.ts";
export type { ModelSource } from "./formats/weights.ts";
export type { LlamaConfig } from "./llama/config.ts";
export { Decoder } from "./llama/decoder.ts";
export type { BatchToken } from "./llama/interleave.ts";
export type { DecoderOptions } from "./llama/load.ts";
export { type Contract, contract, WEIGHT_FORMATS, type WeightFormat } from "./llama/memory.ts";
export { type GenerateOptions, LogitsError, type Sampling } from "./llama/sampling.ts";
export type { Warmed } from "./llama/warm.ts";
export { POLICIES, type Policy, type PolicySpec, parsePolicy } from "./state/policy.ts";
export type { Tokenizer } from "./tokenizer/tokenizer.ts";
