/**
 * Finds matrix products: loops that only add up products of something with rows and something with columns.
 *
 * `acc[i, j] += dot(a[i, k], b[j, k])`, several such sums in one loop, sums of rows beside them, and anything in the
 * place of a and b that can be computed again from memory. What is found can be walked through workgroup memory
 * (tiles.ts), since nothing but the sums leaves the loop, and since no lane needs to know another's elements of i or j
 * afterwards.
 */

import type { Loop, Op, Specialised } from "../../ir/tile/program.ts";
import { isValue, operands } from "../../ir/tile/program.ts";
import { everyOp } from "../../ir/tile/traverse.ts";
import { Definitions } from "./induction.ts";

/** One sum of products: each side is the product of its factors. */
export interface Product {
  readonly reduce: number;
  /** Values without the axis j, at least one with i. */
  readonly left: readonly number[];
  /** Values without the axis i, at least one with j. */
  readonly right: readonly number[];
}

/** A sum along k of something that has one of the axes i and j. */
export interface LineSum {
  readonly reduce: number;
  readonly x: number;
  readonly axis: number;
}

export interface ProductLoop {
  /** The loop's index value, by which it is known. */
  readonly index: number;
  readonly k: number;
  readonly products: readonly Product[];
  readonly sums: readonly LineSum[];
  /** The sums that each carried variable adds up, by their reductions. */
  readonly carried: readonly (readonly number[])[];
}

export interface Products {
  /** The axis whose elements lie side by side where results are stored is j, the other one is i. */
  readonly i: number;
  readonly j: number;
  readonly loops: readonly ProductLoop[];
}

/** The matrix products that a kernel consists of, but for element-wise work; undefined where it is anything else. */
export function productsOf(program: Specialised): Products | undefined {
  const definitions = new Definitions(program);
  const loops = program.body.filter((op): op is Loop => op.op === "loop");
  const pair = pairOf(loops, definitions);
  if (pair === undefined) return undefined;
  const [i, j] = inOrder(program, definitions, pair);
  const found: ProductLoop[] = [];
  for (const loop of loops) {
    const products = new Reader(program, definitions, loop, i, j).read();
    if (products === undefined) return undefined;
    found.push(products);
  }
  return restIsElementwise(program, i, j, found) ? { i, j, loops: found } : undefined;
}

/** The two axes that all sums of products have. */
function pairOf(loops: readonly Loop[], definitions: Definitions): readonly [number, number] | undefined {
  const wide = loops.flatMap((l) => l.carried.filter((c) => c.inside.axes.length === 2).map((c) => c.inside.axes));
  const [a, b] = wide[0] ?? [];
  const same = wide.every((axes) => a !== undefined && b !== undefined && axes.includes(a) && axes.includes(b));
  if (a === undefined || b === undefined || !same || definitions.loopIndex.size === 0) return undefined;
  return [a, b];
}

function inOrder(
  program: Specialised,
  definitions: Definitions,
  [a, b]: readonly [number, number],
): readonly [number, number] {
  let last: number | undefined;
  everyOp(program.body, (op) => {
    const end = op.op === "store" ? op.index.at(-1) : undefined;
    const walk = end === undefined ? undefined : definitions.walk(end)?.axis;
    if (walk === a || walk === b) last ??= walk;
  });
  return last === a ? [b, a] : [a, b];
}

/**
 * Outside the loops nothing is reduced, nothing has other axes, and what is read back from a written tensor is read by
 * the lane that writes it.
 */
function restIsElementwise(program: Specialised, i: number, j: number, loops: readonly ProductLoop[]): boolean {
  const axes = new Set([i, j, ...loops.map((l) => l.k)]);
  const written = new Set(program.params.flatMap((p) => (p.kind === "tensor" && p.writes ? [p.name] : [])));
  let fits = true;
  everyOp(program.body, (op, around) => {
    if (isValue(op) && op.axes.some((a) => !axes.has(a))) fits = false;
    if (op.op === "load" && written.has(op.param))
      fits &&= around.length === 0 && op.axes.includes(i) && op.axes.includes(j);
    if (op.op === "loop") fits &&= program.body.includes(op);
    if (around.length > 0) fits &&= isValue(op);
    else if (op.op === "reduce" || op.op === "scan" || op.op === "fold") fits = false;
  });
  return fits;
}

class Reader {
  readonly #written: ReadonlySet<string>;
  readonly #d: Definitions;
  readonly #loop: Loop;
  readonly #i: number;
  readonly #j: number;
  readonly #products: Map<number, Product> = new Map();
  readonly #sums: Map<number, LineSum> = new Map();

  constructor(program: Specialised, definitions: Definitions, loop: Loop, i: number, j: number) {
    this.#written = new Set(program.params.flatMap((p) => (p.kind === "tensor" && p.writes ? [p.name] : [])));
    this.#d = definitions;
    this.#loop = loop;
    this.#i = i;
    this.#j = j;
  }

  read(): ProductLoop | undefined {
    const { kind, axis, index, carried } = this.#loop;
    if (kind !== "over" || axis === undefined || carried.length === 0) return undefined;
    const terms: number[][] = [];
    for (const c of carried) {
      const [found, own] = [[] as number[], { seen: 0 }];
      if (!this.#terms(c.next, c.inside.id, found, own) || own.seen !== 1) return undefined;
      terms.push(found);
    }
    if (this.#products.size === 0) return undefined;
    return {
      index: index.id,
      k: axis,
      products: [...this.#products.values()],
      sums: [...this.#sums.values()],
      carried: terms,
    };
  }

  /** Collects the reductions that `id` adds to the variable's own value. */
  #terms(id: number, inside: number, found: number[], own: { seen: number }): boolean {
    if (id === inside) {
      own.seen++;
      return true;
    }
    const op = this.#d.ops.get(id);
    if (op?.op === "binary" && op.fn === "add" && op.type === "f32")
      return this.#terms(op.a, inside, found, own) && this.#terms(op.b, inside, found, own);
    if (op?.op !== "reduce" || op.fn !== "sum" || op.type !== "f32" || op.axis !== this.#loop.axis) return false;
    found.push(id);
    return this.#reduction(op);
  }

  #reduction(op: Op & { op: "reduce" }): boolean {
    const [only, more] = op.axes;
    if (only !== undefined && more === undefined) {
      this.#sums.set(op.id, { reduce: op.id, x: op.x, axis: only });
      return (only === this.#i || only === this.#j) && this.#again(op.x);
    }
    const factors = op.axes.length === 2 ? this.#factors(op.x) : undefined;
    if (factors === undefined || !factors.every((f) => this.#again(f))) return false;
    const has = (f: number, axis: number): boolean => this.#d.axesOf(f).includes(axis);
    const right = factors.filter((f) => has(f, this.#j));
    const left = factors.filter((f) => !has(f, this.#j));
    this.#products.set(op.id, { reduce: op.id, left, right });
    const k = op.axis;
    return (
      left.some((f) => has(f, this.#i)) &&
      [left, right].every((side) => side.some((f) => has(f, k))) &&
      !right.some((f) => has(f, this.#i))
    );
  }

  /** Factors of a product, each without i or without j; undefined where something has both and is no product. */
  #factors(id: number): number[] | undefined {
    const axes = this.#d.axesOf(id);
    if (!axes.includes(this.#i) || !axes.includes(this.#j)) return [id];
    const op = this.#d.ops.get(id);
    if (op?.op !== "binary" || op.fn !== "mul" || op.type !== "f32") return undefined;
    const [a, b] = [this.#factors(op.a), this.#factors(op.b)];
    return a === undefined || b === undefined ? undefined : [...a, ...b];
  }

  /** Can any lane compute this again, from memory that nobody writes and numbers that all lanes have? */
  #again(id: number): boolean {
    if (id === this.#loop.index.id) return true;
    const op = this.#d.ops.get(id);
    if (op === undefined) return this.#d.axesOf(id).length === 0 && !this.#loop.carried.some((c) => c.inside.id === id);
    if (!isValue(op) || op.op === "reduce" || op.op === "scan" || op.op === "fold") return false;
    if (op.op === "load" && this.#written.has(op.param)) return false;
    return operands(op).every((x) => this.#again(x));
  }
}
