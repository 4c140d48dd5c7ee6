// Every row of x becomes probabilities. There is nothing to build: bun run, deno run -A, or node (22.18 or newer).
import { amax, exp, program, sum, type Tensor } from "tilestate/dsl";
import { open } from "tilestate/runtime";

/** y = softmax of each row of x. */
export function softmax(x: Tensor<"rows columns">, y: Tensor<"rows columns">): void {
  const r = program("rows"); // one program a row
  const e = exp(x.at(r) - amax(x.at(r))); // a tile over "columns"
  y.set([r], e / sum(e));
}

const gpu = await open();
const kernels = await gpu.kernels(import.meta, { softmax });
const x = gpu.tensor({ rows: 2, columns: 3 }, "f32", { data: [1, 2, 3, 0, 0, 10] });
const y = gpu.tensor({ rows: 2, columns: 3 });
kernels.softmax(x, y);
console.log([...(await y.read())].map((p) => p.toFixed(4)).join(" "));
await gpu.close();
