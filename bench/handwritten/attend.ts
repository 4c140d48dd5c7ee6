/**
 * Attention of one query by hand: one subgroup a head, the softmax computed as the slots go by (Milakov & Gimelshein
 * 2018), scores and the log of their sum left behind as the kernel leaves them.
 *
 * Lanes lie across the head's dim. A few keys are taken in one turn, so that the running maximum and the rescaling are
 * paid once for all of them, but never more than keeps the loads of a turn few: software adapters spill registers
 * beyond that, and lose what was gained. (Scores with a lane for each slot need no subgroupAdd, and took 1.1 to 2.2
 * times as long: their loads are scattered.)
 */
import { binding, frame, type Handwritten, type Machine, repeat } from "./shader.ts";

export interface AttendShape {
  /** Slots of one turn. */
  readonly keys: number;
  readonly workgroup: number;
}

/** As models/kernels/attend.ts with as many groups as heads: q, k, v, clock, out, scores, lse. */
export function attend(
  machine: Machine,
  heads: number,
  dim: number,
  slots: number,
  shape: AttendShape = best(machine, dim),
): Handwritten {
  const W = machine.subgroup;
  const { keys, workgroup } = shape;
  const width = widthOf(machine, dim);
  const row = dim / width;
  // Vectors that a lane holds of a row.
  const own = row / W;
  const type = width === 1 ? "f32" : `vec${width}<f32>`;
  const declarations = [
    binding(0, "q", type, heads * row),
    binding(1, "k", type, heads * slots * row),
    binding(2, "v", type, heads * slots * row),
    binding(3, "clock", "u32", 1),
    binding(4, "result", type, heads * row, true),
    binding(5, "scores", "f32", heads * slots, true),
    binding(6, "lse", "f32", heads, true),
  ].join("\n");
  const all = (text: (o: number) => string, separator = "\n    "): string => repeat(own, text, separator);
  const each = (text: (j: number) => string, separator = "\n    "): string => repeat(keys, text, separator);
  const times = (a: string, b: string): string => (width === 1 ? `${a} * ${b}` : `dot(${a}, ${b})`);
  const score = (j: number): string =>
    `subgroupAdd(${all((o) => times(`k[at + ${j * row + o * W}u]`, `q${o}`), " + ")})`;
  // The first slot of a turn is live; what the others hold may be beyond the edge.
  const live = (j: number, text: string): string => (j === 0 ? text : `select(-1e30f, ${text}, s + ${j}u < live)`);
  const body = `
  ${all((o) => `let q${o} = q[pid * ${row}u + ${o * W}u + lane] * ${dim ** -0.5}f;`)}
  ${all((o) => `var sum${o} = ${type}();`)}
  var peak = -1e30f;
  var total = 0.0f;
  var at = pid * ${slots * row}u + lane;
  let live = min(clock[0] + 1u, ${slots}u);
  for (var s = 0u; s < live; s += ${keys}u) {
    ${each((j) => `let s${j} = ${live(j, score(j))};`)}
    let next = ${Array.from({ length: keys }, (_, j) => `s${j}`).reduce((a, b) => `max(${a}, ${b})`, "peak")};
    ${each((j) => `let p${j} = exp(s${j} - next);`)}
    let fade = exp(peak - next);
    total = total * fade + ${each((j) => `p${j}`, " + ")};
    ${all((o) => `sum${o} = sum${o} * fade + ${each((j) => `p${j} * v[at + ${j * row + o * W}u]`, " + ")};`)}
    if (lane == 0u) {
      ${each((j) => `${j === 0 ? "" : `if (s + ${j}u < live) `}{ scores[pid * ${slots}u + s + ${j}u] = s${j}; }`)}
    }
    peak = next;
    at += ${keys * row}u;
  }
  ${all((o) => `result[pid * ${row}u + ${o * W}u + lane] = sum${o} / total;`)}
  if (lane == 0u) { lse[pid] = peak + log(total); }`;
  return {
    code: frame(machine, W, workgroup, declarations, body),
    workgroups: [heads / (workgroup / W), 1],
  };
}

/** Components of a load: as many as leave no lane idle. */
function widthOf(machine: Machine, dim: number): number {
  return [4, 2].find((v) => dim % (v * machine.subgroup) === 0) ?? 1;
}

/** What measured best on each adapter: 8 loads a turn on lavapipe, 16 on SwiftShader. On GPUs nothing was measured. */
export function best(machine: Machine, dim: number): AttendShape {
  const loads = (2 * dim) / (widthOf(machine, dim) * machine.subgroup);
  const most = machine.kind === "lavapipe" ? 8 : 16;
  return {
    keys: Math.max(1, Math.min(machine.kind === "gpu" ? 4 : 2, Math.floor(most / loads))),
    workgroup: machine.subgroup,
  };
}
