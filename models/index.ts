/** The models' doors: open a checkpoint, load a decoder, choose a state. */

export { isPolicy } from "./cache/check.ts";
export type {
  AnyPolicy,
  CachePolicy,
  FractionOption,
  NumberOption,
  Observed,
  OptionTable,
  OptionValues,
  PolicyMemory,
  PolicyOption,
  Protection,
  StateShape,
  WordOption,
} from "./cache/policies/interface.ts";
export { POLICIES, type PolicySpec, parsePolicy } from "./cache/policy.ts";
export { type LlamaDims, llamaDims, llamaSpec } from "./config/families/llama.ts";
export type {
  AttentionSpec,
  LayerSpec,
  Llama3Scaling,
  MlpSpec,
  ModelSpec,
  NormSpec,
  Places,
  RopeScaling,
  RopeSpec,
  Scales,
  YarnScaling,
} from "./config/spec.ts";
export type { LayerPart } from "./config/weight-map.ts";
export { type Widths, widthsOf } from "./config/widths.ts";
export { Decoder } from "./decode/decoder.ts";
export type { BatchToken } from "./decode/interleave.ts";
export type { DecoderOptions } from "./decode/load.ts";
export { type Contract, contract } from "./decode/memory.ts";
export { type GenerateOptions, LogitsError, type Sampling } from "./decode/sampling.ts";
export type { Warmed } from "./decode/warm.ts";
export { type RandomOptions, randomSource, SHAPES } from "./formats/random.ts";
export { type ByteSource, type Folder, memoryFolder } from "./io/bytes.ts";
export { type Answer, type Fetch, httpFolder } from "./io/http.ts";
export type { RememberingView, ScoredView, SlotView } from "./kernels/evict.ts";
export { openModel } from "./open.ts";
export type { EncodeOptions, TextStream, Tokenizer } from "./tokenizers/tokenizer.ts";
export { WEIGHT_FORMATS, type WeightFormat } from "./weights/formats.ts";
export type { CanonicalName, ModelSource, WeightData, WeightDType, WeightTensor } from "./weights/source.ts";
