/** The runtime's doors. */

export { type KernelBundle, registerBundle } from "../compiler/index.ts";
export type { Capabilities, Rung } from "./adapter.ts";
export type { DawnModule } from "./dawn-module.ts";
export { Device, type DeviceRequest } from "./device.ts";
export type { DType } from "./dtype.ts";
export { UserError } from "./errors.ts";
export { Gpu, open, targetOf } from "./gpu.ts";
export { Kernel, type Launch, type Loadable } from "./kernels.ts";
export { Plan } from "./plan.ts";
export type { TensorValues } from "./read.ts";
export {
  DeviceTensor,
  type ShapeLike,
  type TensorData,
  type TensorOptions,
  type TensorSpec,
} from "./tensor.ts";
export { Pace } from "./wait.ts";
export { type DispatchWork, planWork } from "./work.ts";
