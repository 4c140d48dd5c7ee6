/** Everything a script needs from one import: the kernel language, the runtime and the models. */
export { KernelError } from "./compiler/index.ts";
export * from "./dsl/index.ts";
export {
  type BatchToken,
  type Contract,
  contract,
  Decoder,
  type DecoderOptions,
  type GenerateOptions,
  openModel,
  POLICIES,
  parsePolicy,
} from "./models/index.ts";
export { type Capabilities, DeviceTensor, Gpu, open, Plan, type ShapeLike, UserError } from "./runtime/index.ts";
