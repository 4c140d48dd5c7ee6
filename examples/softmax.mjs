// The first kernel in plain JavaScript: its types stand in comments. Run it with node (20 or newer), bun run, or deno
// run -A; there is nothing to build.
/** @import { Tensor } from "tilestate/dsl" */
import { amax, exp, program, sum } from "tilestate/dsl";
import { open } from "tilestate/runtime";

/**
 * y = softmax of each row of x.
 *
 * @param {Tensor<"rows columns">} x
 * @param {Tensor<"rows columns">} y
 */
export function softmax(x, y) {
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
