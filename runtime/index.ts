/** The runtime's doors. */

export { type KernelBundle, registerBundle } from "../compiler/index.ts";
export type { Capabilities, FeatureLevel, Limits, SubgroupMatrix } from "./adapters/capabilities.ts";
export type { DawnRequest, Origin } from "./adapters/dawn.ts";
export type { DawnModule } from "./adapters/dawn-module.ts";
export { targetOf } from "./adapters/target.ts";
export type { Threads } from "./adapters/threads.ts";
export { type AdapterTraits, type Family, TRAITS } from "./adapters/traits.ts";
export { type Arena, arena, type Maker } from "./arena.ts";
export { UserError } from "./common/errors.ts";
export { Device, type DeviceRequest } from "./device/device.ts";
export { type Company, Pace } from "./device/pace.ts";
export type { Waiting } from "./device/sleep.ts";
export { Gpu, open } from "./gpu.ts";
export type { Bound, Uniform } from "./kernels/arguments.ts";
export type { Dispatch } from "./kernels/dispatch.ts";
export { type FindKnobs, Kernel } from "./kernels/kernel.ts";
export type { Argument, Arguments, Launch, Loadable } from "./kernels/launch.ts";
export type { Variant } from "./kernels/variants.ts";
export type { TensorSpec } from "./memory/create.ts";
export type { DType } from "./memory/dtype.ts";
export type { Float16Data, Layout, ShapeLike, TensorData, TensorOptions } from "./memory/layout.ts";
export type { Chain, TensorValues } from "./memory/read.ts";
export { DeviceTensor, type Ownership } from "./memory/tensor.ts";
export { type DispatchWork, planWork } from "./plans/cost.ts";
export { Plan } from "./plans/plan.ts";
