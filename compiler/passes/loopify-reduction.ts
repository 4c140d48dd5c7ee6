/**
 * Whole dims that a product of matrices is summed over become loops.
 *
 * `dot(a.at(i), b.at(j))` takes all of k at once, which is fine for a row in registers and too much for tiles of rows
 * and columns. Written as a loop the same sum can go through workgroup memory (tiles.ts), so this is tried before GPUs'
 * tiles are planned, and dropped where nothing comes of it.
 */

import type { Axis, Loop, Op, Specialised, Value } from "../ir/tile/program.ts";
import { isValue, operands } from "../ir/tile/program.ts";
import { everyOp, highest } from "../ir/tile/traverse.ts";
import { Definitions } from "./analysis/induction.ts";

/**
 * The program with every sum of products over a whole dim, if two other axes remain, as a loop; the same program where
 * there is none.
 */
export function walkWhole(program: Specialised): Specialised {
  const definitions = new Definitions(program);
  const axes: Axis[] = [...program.axes];
  let next = 1 + highest(program.body);
  const body = program.body.flatMap((op): readonly Op[] => {
    if (op.op !== "reduce" || op.fn !== "sum" || op.type !== "f32" || op.axes.length !== 2) return [op];
    if (program.axes[op.axis]?.kind !== "whole") return [op];
    const made = new Walker(program, definitions, op, axes.length, next).loop();
    if (made === undefined) return [op];
    axes.push({ id: axes.length, dim: program.axes[op.axis]?.dim ?? "", kind: "over" });
    next = made.next;
    return made.ops;
  });
  return axes.length === program.axes.length ? program : { ...program, axes, body: prune(body) };
}

class Walker {
  readonly #p: Specialised;
  readonly #d: Definitions;
  readonly #sum: Op & { op: "reduce" };
  readonly #k: number;
  readonly #index: Value;
  readonly #made: Map<number, number> = new Map();
  readonly #body: Op[] = [];
  #next: number;

  constructor(program: Specialised, definitions: Definitions, sum: Op & { op: "reduce" }, k: number, next: number) {
    this.#p = program;
    this.#d = definitions;
    this.#sum = sum;
    this.#k = k;
    this.#next = next;
    this.#index = { ...this.#value([k]), type: "u32" };
  }

  loop(): { readonly ops: readonly Op[]; readonly next: number } | undefined {
    const sum = this.#sum;
    const x = this.#again(sum.x);
    if (x === undefined) return undefined;
    const limit = { ...this.#value([]), type: "u32" } as const;
    const [zero, init, inside] = [this.#value([]), this.#value(sum.axes), this.#value(sum.axes)];
    const [part, end] = [this.#value(sum.axes), this.#value(sum.axes)];
    const loop: Loop = {
      op: "loop",
      kind: "over",
      axis: this.#k,
      limit: limit.id,
      index: this.#index,
      // Users of the sum find it under its own name.
      carried: [{ name: "sum", init: init.id, inside, next: end.id, after: { ...this.#value(sum.axes), id: sum.id } }],
      body: [
        ...this.#body,
        { ...part, op: "reduce", fn: "sum", x, axis: this.#k },
        { ...end, op: "binary", fn: "add", a: inside.id, b: part.id },
      ],
      span: sum.span,
    };
    const extent = this.#p.binding.sizes[this.#p.axes[sum.axis]?.dim ?? ""] ?? 0;
    const ops: readonly Op[] = [
      { ...limit, op: "const", value: extent },
      { ...zero, op: "const", value: 0 },
      { ...init, op: "splat", x: zero.id },
      loop,
    ];
    return { ops, next: this.#next };
  }

  #value(axes: readonly number[]): Value {
    return { id: this.#next++, type: this.#sum.type, axes, span: this.#sum.span };
  }

  /** The value along the new axis; undefined where it cannot be computed in the loop. */
  #again(id: number): number | undefined {
    if (!this.#d.axesOf(id).includes(this.#sum.axis)) return id;
    const known = this.#made.get(id);
    if (known !== undefined) return known;
    const op = this.#d.ops.get(id);
    if (op?.op === "iota") return this.#index.id;
    if (op === undefined || !isValue(op)) return undefined;
    const parts = operands(op).map((x) => this.#again(x));
    if (parts.some((x) => x === undefined)) return undefined;
    const made = withOperands(op, parts as number[]);
    if (made === undefined) return undefined;
    const copy = { id: this.#next++, axes: op.axes.map((a) => (a === this.#sum.axis ? this.#k : a)) };
    this.#body.push({ ...made, ...copy });
    this.#made.set(id, copy.id);
    return copy.id;
  }
}

/**
 * The operation on other operands, in the order of `operands`; undefined for those along which elements are not apart
 * from each other.
 */
function withOperands(op: Op & Value, [x = -1, y = -1, z = -1, ...more]: readonly number[]): (Op & Value) | undefined {
  switch (op.op) {
    case "unary":
    case "cast":
    case "bitcast":
    case "splat":
      return { ...op, x };
    case "binary":
      return { ...op, a: x, b: y };
    case "select":
      return { ...op, cond: x, yes: y, no: z };
    case "load":
      return { ...op, index: [x, y, z, ...more].slice(0, op.index.length) };
    default:
      return undefined;
  }
}

/** Without the operations that nothing uses any more. */
function prune(body: readonly Op[]): readonly Op[] {
  const used = new Set<number>();
  everyOp(body, (op) => {
    for (const id of operands(op)) used.add(id);
    if (op.op === "loop") for (const c of op.carried) used.add(c.next);
    if (op.op === "if") for (const m of op.merged) used.add(m.yes).add(m.no);
  });
  const kept = body.filter((op) => !isValue(op) || used.has(op.id));
  return kept.length === body.length ? body : prune(kept);
}
