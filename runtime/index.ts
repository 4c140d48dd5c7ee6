/** The runtime's doors. */

export { type KernelBundle, registerBundle } from "../compiler/index.ts";
export type { Capabilities, Rung } from "./adapters/capabilities.ts";
export type { DawnModule } from "./adapters/dawn-module.ts";
export { UserError } from "./common/errors.ts";
export { Device, type DeviceRequest } from "./device/device.ts";
export { Pace } from "./device/wait.ts";
export { Gpu, open, targetOf } from "./gpu.ts";
export { Kernel, type Launch, type Loadable } from "./kernels/kernel.ts";
export type { DType } from "./memory/dtype.ts";
export type { TensorValues } from "./memory/read.ts";
export {
  DeviceTensor,
  type ShapeLike,
  type TensorData,
  type TensorOptions,
  type TensorSpec,
} from "./memory/tensor.ts";
export { type DispatchWork, planWork } from "./plans/cost.ts";
export { Plan } from "./plans/plan.ts";
