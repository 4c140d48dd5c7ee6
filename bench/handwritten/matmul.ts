/**
 * Matrix products by hand: a lane owns columns of the result, that is rows of b, and the rows of a are handed around
 * the subgroup.
 *
 * Each lane loads four neighbours along k of one row of a and of each of its columns; subgroupBroadcast with a constant
 * lane then gives every lane the row of a that another one loaded. So memory is read once for `rows` x `columns`
 * products, and no shared memory and no barrier is needed.
 */
import { binding, frame, type Handwritten, type Machine, repeat } from "./shader.ts";

export interface MatmulShape {
  /** Rows of a, a multiple of the subgroup size. */
  readonly rows: number;
  /** Columns of a lane. */
  readonly columns: number;
  readonly workgroup: number;
  /** Loads of four along k that each lane makes of every row and column in one turn. */
  readonly depth: number;
}

/** c[m, n] = Σk a[m, k] · b[n, k]. */
export function matmul(
  machine: Machine,
  m: number,
  n: number,
  k: number,
  shape: MatmulShape = best(machine),
): Handwritten {
  const W = machine.subgroup;
  const { rows, columns, workgroup, depth } = shape;
  const declarations = [
    binding(0, "a", "vec4<f32>", (m * k) / 4),
    binding(1, "b", "vec4<f32>", (n * k) / 4),
    binding(2, "c", "f32", m * n, true),
  ].join("\n");
  const across = n / (W * columns);
  const at = (c: number): string => `column + ${c * W}u`;
  const row = (r: number, d: number): string => `subgroupBroadcast(a${Math.floor(r / W)}_${d}, ${r % W}u)`;
  const body = `
  let top = (pid / ${across}u) * ${rows}u;
  let column = (pid % ${across}u) * ${W * columns}u + lane;
  ${repeat(rows / W, (g) => `var at${g} = (top + ${g * W}u + lane) * ${k / 4}u;`)}
  ${repeat(columns, (c) => `var bt${c} = (${at(c)}) * ${k / 4}u;`)}
  ${repeat(rows * columns, (i) => `var sum${Math.floor(i / columns)}_${i % columns} = 0.0f;`)}
  for (var i = 0u; i < ${k / 4}u; i += ${depth}u) {
    ${repeat(rows / W, (g) => repeat(depth, (d) => `let a${g}_${d} = a[at${g} + ${d}u];`, " "))}
    ${repeat(columns, (c) => repeat(depth, (d) => `let b${c}_${d} = b[bt${c} + ${d}u];`, " "))}
    ${repeat(rows, (r) => `{ ${repeat(depth, (d) => `let row${d} = ${row(r, d)};`, " ")} ${repeat(columns, (c) => `sum${r}_${c} += ${repeat(depth, (d) => `dot(row${d}, b${c}_${d})`, " + ")};`, " ")} }`)}
    ${repeat(rows / W, (g) => `at${g} += ${depth}u;`, " ")}
    ${repeat(columns, (c) => `bt${c} += ${depth}u;`, " ")}
  }
  ${repeat(rows, (r) => repeat(columns, (c) => `c[(top + ${r}u) * ${n}u + ${at(c)}] = sum${r}_${c};`, " "))}`;
  return {
    code: frame(machine, W, workgroup, declarations, body),
    workgroups: [((m / rows) * across * W) / workgroup, 1],
  };
}

/** What measured best on each adapter; on GPUs nothing was measured. */
export function best(machine: Machine): MatmulShape {
  const W = machine.subgroup;
  if (machine.kind === "lavapipe") return { rows: 32, columns: 4, workgroup: W, depth: 1 };
  if (machine.kind === "swiftshader") return { rows: 16, columns: 4, workgroup: W, depth: 1 };
  return { rows: Math.max(16, W), columns: 1, workgroup: W, depth: 1 };
}
