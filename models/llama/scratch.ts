/** What a decoder puts on the GPU beside weights and state, and the bookkeeping that lets it free all of it again, also after a load that failed half-way. */
import type { DeviceTensor, Gpu } from "../../runtime/index.ts";
import type { LlamaConfig } from "./config.ts";
import { logitRows, RING } from "./memory.ts";

/** The part of a `Gpu` that making tensors takes. */
export type Maker = Pick<Gpu, "tensor" | "tensors" | "device" | "capabilities">;

/** A maker of tensors that remembers what it made. */
export interface Arena extends Maker {
  destroy(): void;
}

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

export interface Scratch {
  readonly x: DeviceTensor;
  readonly q: DeviceTensor;
  readonly out: DeviceTensor;
  readonly h: DeviceTensor;
  readonly lse: DeviceTensor;
  readonly logits: DeviceTensor;
  readonly scores: DeviceTensor;
  readonly rope: DeviceTensor;
  /** position, end of the prompt, seed. */
  readonly clock: DeviceTensor;
  readonly token: DeviceTensor;
  readonly prompt: DeviceTensor;
  readonly picked: DeviceTensor;
  readonly settings: DeviceTensor;
}

/** `tables` is what `ropeTables` gives; `slots` are those of the state. */
export function createScratch(gpu: Maker, config: LlamaConfig, slots: number, tables: Float32Array): Scratch {
  const half = config.headDim / 2;
  const f = (label: string, ...shape: number[]): DeviceTensor => gpu.tensor(shape, "f32", { label });
  const u = (label: string, n: number): DeviceTensor => gpu.tensor([n], "u32", { label });
  return {
    x: f("residual stream", config.dim),
    q: f("queries", config.heads, config.headDim),
    out: f("attention output", config.heads, config.headDim),
    h: f("feed-forward", config.ff),
    lse: f("attention log-sum", config.heads),
    logits: f("logits", logitRows(config), config.vocab),
    scores: f("attention scores", config.heads, slots),
    rope: gpu.tensor([2, tables.length / (4 * half), 2, half], "f32", { label: "rotary tables", data: tables }),
    clock: u("clock", 4),
    token: u("token", 1),
    prompt: u("prompt", RING),
    picked: u("picked tokens", RING),
    settings: f("sampling settings", 4),
  };
}
