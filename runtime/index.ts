/** The runtime's doors. */

export { type KernelBundle, registerBundle } from "../compiler/index.ts";
export type { Capabilities, Rung } from "./adapters/capabilities.ts";
export type { DawnModule } from "./adapters/dawn-module.ts";
export { targetOf } from "./adapters/target.ts";
export { TRAITS } from "./adapters/traits.ts";
export { type Arena, arena, type Maker } from "./arena.ts";
export { UserError } from "./common/errors.ts";
export { Device, type DeviceRequest } from "./device/device.ts";
export { Pace } from "./device/pace.ts";
export { Gpu, open } from "./gpu.ts";
export { Kernel } from "./kernels/kernel.ts";
export type { Launch, Loadable } from "./kernels/launch.ts";
export type { TensorSpec } from "./memory/create.ts";
export type { DType } from "./memory/dtype.ts";
export type { ShapeLike, TensorData, TensorOptions } from "./memory/layout.ts";
export type { TensorValues } from "./memory/read.ts";
export { DeviceTensor } from "./memory/tensor.ts";
export { type DispatchWork, planWork } from "./plans/cost.ts";
export { Plan } from "./plans/plan.ts";
