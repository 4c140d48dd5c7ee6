/**
 * Root-mean-square norm by hand: one subgroup owns a few rows, so that the scales it loads serve all of them; each row
 * is read twice and written once.
 */
import { binding, frame, type Handwritten, type Machine, repeat } from "./shader.ts";

export interface NormShape {
  /** Rows of a program. */
  readonly rows: number;
  readonly workgroup: number;
}

/**
 * y[rows, dim] = x / sqrt(mean(x²) + eps) · gamma: x, gamma, y, and eps in a uniform buffer, as in
 * bench/kernels/norm.ts.
 */
export function norm(machine: Machine, rows: number, dim: number, shape: NormShape = best(machine)): Handwritten {
  const W = machine.subgroup;
  const quarter = dim / 4;
  const declarations = [
    binding(0, "x", "vec4<f32>", rows * quarter),
    binding(1, "gamma", "vec4<f32>", quarter),
    binding(2, "y", "vec4<f32>", rows * quarter, true),
    "struct Scalars { eps: f32 }",
    "@group(0) @binding(3) var<uniform> scalars: Scalars;",
  ].join("\n");
  const all = (text: (r: number) => string): string => repeat(shape.rows, text, "\n    ");
  const body = `
  let first = pid * ${shape.rows * quarter}u + lane;
  ${all((r) => `var square${r} = 0.0f;`)}
  var at = first;
  for (var i = lane; i < ${quarter}u; i += ${W}u) {
    ${all((r) => `let x${r} = x[at + ${r * quarter}u]; square${r} += dot(x${r}, x${r});`)}
    at += ${W}u;
  }
  ${all((r) => `let scale${r} = inverseSqrt(subgroupAdd(square${r}) * ${1 / dim}f + scalars.eps);`)}
  at = first;
  for (var i = lane; i < ${quarter}u; i += ${W}u) {
    let g = gamma[i];
    ${all((r) => `y[at + ${r * quarter}u] = x[at + ${r * quarter}u] * scale${r} * g;`)}
    at += ${W}u;
  }`;
  return {
    code: frame(machine, W, shape.workgroup, declarations, body),
    workgroups: [rows / shape.rows / (shape.workgroup / W), 1],
  };
}

/** What measured best on each adapter; on GPUs nothing was measured. */
export function best(machine: Machine): NormShape {
  const W = machine.subgroup;
  if (machine.kind === "lavapipe") return { rows: 2, workgroup: W };
  return machine.kind === "swiftshader" ? { rows: 4, workgroup: W } : { rows: 1, workgroup: Math.max(64, W) };
}
