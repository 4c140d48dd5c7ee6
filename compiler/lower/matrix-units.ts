/**
 * Matrix products on the matrix units of subgroups (feature level L4): a part of what tile-loop.ts does.
 *
 * The workgroup's tile is divided among its subgroups, and each subgroup's part into matrices of the adapter's shape.
 * Sums stay in the units through the whole loop. Which lane holds which element of such a matrix is nobody's business,
 * so the sums come back through workgroup memory, one matrix a subgroup at a time.
 */
import type { Emitter } from "../ir/lane/emitter.ts";
import { modulo, over, times } from "../ir/lane/fold.ts";
import type { Atom } from "../ir/lane/program.ts";
import { constant, F32, U32 } from "../ir/lane/program.ts";
import type { MatrixPlan, Operand, TileLoop, TilePlan } from "../schedule/tile-plan.ts";
import type { Registers } from "./registers.ts";

export class Matrices {
  readonly #e: Emitter;
  readonly #r: Registers;
  readonly #plan: TilePlan;
  readonly #m: MatrixPlan;
  readonly #loop: TileLoop;
  /** For each product the matrices of its sum, row by row. */
  readonly #sums: readonly (readonly string[])[];
  /** This lane's subgroup along i and j. */
  readonly #down: Atom;
  readonly #across: Atom;
  readonly #group: Atom;

  constructor(host: { readonly e: Emitter; readonly r: Registers }, plan: TilePlan, m: MatrixPlan, loop: TileLoop) {
    const { e, r } = host;
    this.#e = e;
    this.#r = r;
    this.#plan = plan;
    this.#m = m;
    this.#loop = loop;
    this.#group = m.down * m.across === 1 ? constant(0, U32) : over(e, r.lane, m.lanes);
    this.#down = m.down === 1 ? constant(0, U32) : over(e, this.#group, m.across);
    this.#across = modulo(e, this.#group, m.across);
    this.#sums = loop.products.map(() =>
      Array.from({ length: m.rows * m.columns }, () => {
        const name = e.name("m");
        e.push({ op: "matrix", name });
        return name;
      }),
    );
  }

  /** The products of one turn. */
  multiply(): void {
    const e = this.#e;
    const { operands, products, depth } = this.#loop;
    const counter = e.name("k");
    const inner = e.depth + 1;
    const body = e.region(() => {
      const at = e.ref(counter, U32, inner);
      const fetched = operands.map((o) => this.#fetch(o, at));
      for (const [n, p] of products.entries()) {
        let sum = 0;
        for (const left of fetched[p.left] ?? [])
          for (const right of fetched[p.right] ?? [])
            e.push({ op: "multiply", name: this.#sums[n]?.[sum++] ?? "", left, right });
      }
    });
    e.push({
      op: "for",
      name: counter,
      start: constant(0, U32),
      limit: constant(depth, U32),
      step: this.#m.K,
      opaque: false,
      body,
    });
  }

  /** The matrices of one operand that this subgroup needs at an element of k. */
  #fetch(o: Operand, k: Atom): string[] {
    const e = this.#e;
    const left = o.axis === this.#plan.i;
    const [group, many, size] = left
      ? [this.#down, this.#m.rows, this.#m.M]
      : [this.#across, this.#m.columns, this.#m.N];
    return Array.from({ length: many }, (_, n) => {
      const line = times(e, e.binary("add", times(e, group, many), constant(n, U32)), size);
      const { width } = o.room;
      const index =
        o.along === "k"
          ? e.binary("add", times(e, line, o.stride), over(e, k, width))
          : e.binary("add", times(e, k, o.stride), over(e, line, width));
      const name = e.name("m");
      const side = left ? "left" : "right";
      // A left matrix has its rows along k, a right one its columns.
      const columns = left ? o.along === "own" : o.along === "k";
      e.push({ op: "fetch", name, side, room: o.room.name, index, stride: o.stride, columns });
      return name;
    });
  }

  /** The registers of product `n` in the layout of the kernel: one for each pair of registers along i and j. */
  registers(n: number): readonly Atom[] {
    const e = this.#e;
    const { M, N, rows, columns, rowLanes, columnLanes, patch } = this.#m;
    const [i, j] = [this.#r.layout(this.#plan.i), this.#r.layout(this.#plan.j)];
    const [high, wide] = [M / rowLanes, N / (columnLanes * j.width)];
    const found: Atom[] = Array.from({ length: i.count * j.count });
    const first = times(e, this.#group, M * N);
    // This lane's place in a matrix.
    const lane = modulo(e, this.#r.lane, this.#m.lanes);
    const [row, column] = [over(e, lane, columnLanes), times(e, modulo(e, lane, columnLanes), j.width)];
    const place = e.binary("add", first, e.binary("add", times(e, row, N), column));
    for (let down = 0; down < rows; down++)
      for (let across = 0; across < columns; across++) {
        const name = this.#sums[n]?.[down * columns + across] ?? "";
        e.push({ op: "spill", name, room: patch.name, index: first, stride: N });
        e.push({ op: "barrier" });
        for (let h = 0; h < high; h++)
          for (let w = 0; w < wide; w++) {
            const start = h * rowLanes * N + w * columnLanes * j.width;
            const parts = Array.from({ length: j.width }, (_, c) =>
              e.here({ op: "read", room: patch.name, index: e.binary("add", place, constant(start + c, U32)) }, F32),
            );
            found[(down * high + h) * j.count + across * wide + w] = e.compose(parts);
          }
        e.push({ op: "barrier" });
      }
    return found;
  }
}
