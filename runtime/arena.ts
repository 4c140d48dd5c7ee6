/** Tensors that are freed together: what a decoder puts on the GPU, also after a load that failed half-way. */
import type { Gpu } from "./gpu.ts";
import type { DeviceTensor } from "./memory/tensor.ts";

/** The part of a `Gpu` that making tensors takes. */
export type Maker = Pick<Gpu, "tensor" | "tensors" | "device" | "capabilities">;

/** A maker of tensors that remembers what it made. */
export interface Arena extends Maker {
  /** Frees all of it. */
  destroy(): void;
}

/**
 * An arena whose tensors `gpu` makes.
 * @param gpu who makes them
 */
export function arena(gpu: Maker): Arena {
  const made: DeviceTensor[] = [];
  return {
    device: gpu.device,
    capabilities: gpu.capabilities,
    tensor(...args) {
      const tensor = gpu.tensor(...args);
      made.push(tensor);
      return tensor;
    },
    tensors(specs) {
      const tensors = gpu.tensors(specs);
      made.push(...(Object.values(tensors) as DeviceTensor[]));
      return tensors;
    },
    destroy(): void {
      for (const tensor of made.splice(0)) tensor.destroy();
    },
  };
}
