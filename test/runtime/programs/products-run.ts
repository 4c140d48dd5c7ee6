/** Matrix products in every format and place, compared with sums in float64: how far off the worst element is. */
import type { Gpu } from "../../../runtime/index.ts";
import type { DType } from "../../../runtime/memory/dtype.ts";
import { product } from "./products.ts";

export interface Outcome {
  readonly what: string;
  /** Lanes that one program has. */
  readonly lanes: number;
  /** The largest difference from the sum in float64, in units of the sum of absolute values. */
  readonly worst: number;
  readonly wgsl: string;
}

const [DIM, INNER] = [96, 256];
const FORMATS: readonly DType[] = ["f32", "f16", "bf16", "q8", "q4"];

/**
 * The product of one token and of nine, for weights stored in each of the formats, in a buffer and in panels in a
 * texture.
 */
export async function runProducts(gpu: Gpu, formats: readonly DType[] = FORMATS): Promise<Outcome[]> {
  const kernels = await gpu.kernels({ url: new URL("./products.ts", import.meta.url).href } as ImportMeta, { product });
  const random = (n: number, seed: number): Float32Array =>
    Float32Array.from({ length: n }, (_, i) => Math.sin(i * 12.9898 + seed));
  const outcomes: Outcome[] = [];
  for (const dtype of formats) {
    for (const place of ["buffer", "panels"] as const) {
      if (place === "panels" && (dtype === "q8" || dtype === "q4")) continue;
      const how = place === "panels" ? { panel: 32, texture: true } : {};
      const w = gpu.tensor({ dim: DIM, inner: INNER }, dtype, { data: random(DIM * INNER, 1), ...how });
      const stored = await w.read();
      for (const tokens of [1, 9]) {
        const numbers = random(tokens * INNER, 2);
        const h = gpu.tensor({ tokens, inner: INNER }, "f32", { data: numbers });
        const y = gpu.tensor({ tokens, dim: DIM });
        const plan = await gpu.record("product", () => kernels.product(w, h, y));
        plan.run();
        const got = await y.read();
        let worst = 0;
        for (let t = 0; t < tokens; t++) {
          for (let r = 0; r < DIM; r++) {
            let [sum, size] = [0, 0];
            for (let i = 0; i < INNER; i++) {
              const term = (stored[r * INNER + i] ?? Number.NaN) * (numbers[t * INNER + i] ?? Number.NaN);
              sum += term;
              size += Math.abs(term);
            }
            const off = Math.abs((got[t * DIM + r] ?? Number.NaN) - sum) / size;
            // A NaN must not pass as small.
            worst = off <= worst ? worst : off;
          }
        }
        const { schedule, wgsl } = plan.dispatches[0]?.variant.generated ?? { schedule: { lanes: 0 }, wgsl: "" };
        outcomes.push({ what: `${dtype} in ${place}, ${tokens} tokens`, lanes: schedule.lanes, worst, wgsl });
        plan.destroy();
        h.destroy();
        y.destroy();
      }
      w.destroy();
    }
  }
  return outcomes;
}
