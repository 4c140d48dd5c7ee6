/**
 * Reductions and scans of one lane's registers, and what lanes then do together.
 *
 * Sums of products are dot products of registers. Where one factor is stored in blocks with a common scale, the product
 * is taken of the codes and the scale comes afterwards (the order in which llama.cpp's and other quantised kernels
 * work): most of the unpacking is then shared by all rows that meet the same x.
 */

import type { Atom } from "../ir/lane/program.ts";
import { constant, vector } from "../ir/lane/program.ts";
import type { ReduceKind } from "../ir/operators.ts";
import { identityOf } from "../ir/operators.ts";
import type { Op } from "../ir/tile/program.ts";
import { isDot } from "../ir/tile/traverse.ts";
import type { Access, Context } from "./addressing.ts";
import type { Zero } from "./memory/decode-quantised.ts";

const FUNCTIONS: Readonly<Record<ReduceKind, "add" | "max" | "min">> = { sum: "add", max: "max", min: "min" };

/** So many rows make unpacking cheap. */
const ROWS = 4;

/**
 * The part of a dot product that lies in one block of a quantised factor. `less` are sums of the other factor by how
 * many of four codes have a zero, `each`; `all` is its whole sum, where the block has a minimum.
 */
interface Block {
  readonly scale: () => Atom;
  minimum: (() => Atom) | undefined;
  all: Atom | undefined;
  sum: Atom | undefined;
  readonly less: Map<Zero["of"], Atom>;
  each: number;
}

function newBlock(scale: () => Atom): Block {
  return { scale, minimum: undefined, all: undefined, sum: undefined, less: new Map(), each: 0 };
}

export class Reductions {
  readonly #c: Context;
  readonly #access: Access;

  constructor(context: Context, access: Access) {
    this.#c = context;
    this.#access = access;
  }

  /**
   * One lane's own part of a reduction: all its registers along the axis combined into one. Sums of products give one
   * number, the dot product of the registers; a vector of partial sums would keep four times as much alive through a
   * loop.
   */
  fold(op: Op & { op: "reduce" | "fold" }, axes: readonly number[], at: readonly number[]): Atom {
    const e = this.#c.e;
    const x = this.#c.r.tile(op.x);
    const { width, count } = this.#c.r.layout(op.axis);
    const product = width > 1 && isDot(op, this.#c.definitions.ops) ? this.#c.definitions.ops.get(op.x) : undefined;
    const along = [...axes, op.axis];
    const coded = product?.op === "binary" ? this.#coded(op, product, along, at) : undefined;
    if (coded !== undefined) return coded;
    let whole: Atom | undefined;
    for (let r = 0; r < count; r++) {
      if (this.#c.r.dead(op.axis, r)) continue;
      const place = [...at, r];
      const alive = op.masked === true ? undefined : this.#c.r.alive(op.axis, r);
      const identity = (t: Atom): Atom =>
        alive === undefined ? t : e.select(alive, t, constant(identityOf(op.fn, op.type), t.type));
      let term: Atom;
      if (product?.op === "binary" && alive?.type.width !== width) {
        const [a, b] = [
          this.#c.r.reg(this.#c.r.tile(product.a), along, place),
          this.#c.r.reg(this.#c.r.tile(product.b), along, place),
        ];
        term = identity(e.dot(e.widen(a, width), e.widen(b, width)));
      } else {
        term = identity(this.#c.r.reg(x, along, place));
        if (product !== undefined) term = this.#across(op.fn, term);
      }
      whole = whole === undefined ? term : e.binary(FUNCTIONS[op.fn], whole, term);
    }
    if (whole === undefined) throw new Error(`kernel ${this.#c.program.name}: a reduction of nothing`);
    return whole;
  }

  /**
   * A dot product with a factor that is stored in blocks with a scale: the codes are multiplied as they are, and the
   * scale and what the codes have too much come once a block instead of once an element. `zero` times the sum of the
   * other factor does not depend on the row, so all rows share it.
   */
  #coded(
    op: Op & { op: "reduce" | "fold" },
    product: Op & { op: "binary" },
    along: readonly number[],
    at: readonly number[],
  ): Atom | undefined {
    const { r, e, definitions } = this.#c;
    const { count } = r.layout(op.axis);
    const places = Array.from({ length: count }, (_, n) => [...at, n]);
    if (op.masked !== true && places.some((_, n) => r.alive(op.axis, n) !== undefined)) return undefined;
    for (const [id, other] of [
      [product.a, product.b],
      [product.b, product.a],
    ] as const) {
      const load = definitions.ops.get(id);
      const codes = load?.op === "load" ? this.#access.codes(load) : undefined;
      if (load?.op !== "load" || codes === undefined) continue;
      // With many rows of the other factor it is better to make numbers of the codes once, for all rows.
      const rows = product.axes.reduce((n, a) => n * (load.axes.includes(a) ? 1 : r.layout(a).count), 1);
      if (rows >= ROWS) continue;
      const add = (a: Atom | undefined, b: Atom): Atom => (a === undefined ? b : e.binary("add", a, b));
      const blocks = new Map<string, Block>();
      for (const place of places) {
        const own = codes(load.axes.map((a) => place[along.indexOf(a)] ?? 0));
        const x = e.widen(r.reg(r.tile(other), along, place), own.values.type.width);
        const block = blocks.get(own.block) ?? newBlock(own.scale);
        blocks.set(own.block, block);
        block.sum = add(block.sum, e.dot(own.values, own.place === undefined ? x : e.binary("mul", x, own.place)));
        if (own.minimum !== undefined) [block.minimum, block.all] = [own.minimum, add(block.all, x)];
        if (own.zero === undefined) continue;
        block.each = own.zero.each;
        block.less.set(own.zero.of, add(block.less.get(own.zero.of), x));
      }
      let whole: Atom | undefined;
      for (const { scale, minimum, sum, less, all, each } of blocks.values()) {
        let much: Atom | undefined;
        for (const [of, x] of less) for (let i = 0; i < of; i++) much = add(much, e.component(x, i));
        if (sum === undefined) continue;
        const zero = constant(each, vector("f32", 1));
        const product = much === undefined ? sum : e.binary("sub", sum, e.binary("mul", much, zero));
        whole = add(whole, e.binary("mul", scale(), product));
        if (minimum !== undefined && all !== undefined)
          whole = add(whole, e.binary("mul", minimum(), this.#across("sum", all)));
      }
      return whole;
    }
    return undefined;
  }

  /** The components of one register combined. */
  #across(fn: ReduceKind, x: Atom): Atom {
    const parts = Array.from({ length: x.type.width }, (_, i) => this.#c.e.component(x, i));
    return parts.reduce((a, b) => this.#c.e.binary(FUNCTIONS[fn], a, b));
  }

  reduce(op: Op & { op: "reduce" }): void {
    const l = this.#c.r.layout(op.axis);
    const own = (at: readonly number[]): Atom => {
      const part = this.fold(op, op.axes, at);
      return l.width > 1 ? this.#across(op.fn, part) : part;
    };
    if (!l.spread || this.#c.schedule.lanes === 1) return this.#c.r.promise(op, own);
    const whole = this.#together(op.fn, this.#c.r.coordinates(op.axes).map(own));
    let next = 0;
    this.#c.r.define(op, () => whole[next++] as Atom);
  }

  /**
   * Combines each value over all lanes. Meetings in workgroup memory are dear, so up to four values go to one of them.
   */
  #together(fn: ReduceKind, own: readonly Atom[]): readonly Atom[] {
    const e = this.#c.e;
    const some =
      this.#c.schedule.mode === "workgroup" && this.#c.schedule.lanes <= 256 && own.every((x) => x.type.width === 1);
    const at = some ? (own.length > 2 ? 4 : own.length) : 1;
    const found: Atom[] = [];
    for (let i = 0; i < own.length; i += at) {
      const x = e.compose(Array.from({ length: at }, (_, j) => own[Math.min(i + j, own.length - 1)] as Atom));
      const whole = e.here({ op: "lanes", fn, x }, x.type);
      for (let j = 0; j < at; j++) found.push(at === 1 ? whole : e.component(whole, j));
    }
    return found;
  }

  /**
   * A running sum. A lane adds up its own run of registers, learns what the lanes before it hold, and turns of the tile
   * follow one another.
   */
  scan(op: Op & { op: "scan" }): void {
    const e = this.#c.e;
    const x = this.#c.r.tile(op.x);
    const l = this.#c.r.layout(op.axis);
    const others = op.axes.filter((a) => a !== op.axis);
    const sums = new Map<string, Atom>();
    for (const at of this.#c.r.coordinates(others)) {
      let carry: Atom = constant(0, vector(op.type, 1));
      for (let turn = 0; turn < l.count; turn += l.chunk) {
        let run: Atom = constant(0, vector(op.type, 1));
        const own: Atom[][] = [];
        for (let r = turn; r < turn + l.chunk; r++) {
          const reg = this.#c.r.reg(x, [...others, op.axis], [...at, r]);
          const parts: Atom[] = [];
          for (let i = 0; i < l.width; i++) {
            run = e.binary("add", run, e.component(reg, i));
            parts.push(run);
          }
          own.push(parts);
        }
        const alone = !l.spread || this.#c.schedule.lanes === 1;
        const before = alone ? carry : e.binary("add", carry, e.here({ op: "before", x: run }, run.type));
        for (const [i, parts] of own.entries())
          sums.set([...at, turn + i].join(), e.compose(parts.map((p) => e.binary("add", before, p))));
        carry = e.binary("add", carry, alone ? run : e.here({ op: "lanes", fn: "sum", x: run }, run.type));
      }
    }
    this.#c.r.define(op, (at) => {
      const place = op.axes.map((a, i) => [a, at[i] ?? 0] as const);
      const key = [
        ...others.map((a) => place.find((p) => p[0] === a)?.[1]),
        place.find((p) => p[0] === op.axis)?.[1],
      ].join();
      return sums.get(key) as Atom;
    });
  }
}
