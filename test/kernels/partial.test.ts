/** Partial sums: which reductions wait until their loop is done, which may not, and that the numbers stay. */

import { describe, expect, test } from "vitest";
import { generate, type Target, type TileProgram } from "../../compiler/index.ts";
import type { Op } from "../../compiler/ir/tile/program.ts";
import { everyOp } from "../../compiler/ir/tile/traverse.ts";
import {
  amax,
  amin,
  argmax,
  dot,
  exp,
  max,
  min,
  over,
  program,
  range,
  type Scalar,
  size,
  sum,
  type Tensor,
  type u32,
} from "../../dsl/index.ts";
import { TRAITS } from "../../runtime/adapters/traits.ts";
import { kernelsOf } from "./harness.ts";

/** Four that may wait: a sum, a product, a sum that starts elsewhere, extremes. */
function waiting(x: Tensor<"rows n">, w: Tensor<"n">, y: Tensor<"words rows">): void {
  const r = program("rows");
  let a = 0;
  let b = 0;
  let c = 5;
  let d = -Infinity;
  let e = Infinity;
  for (const i of over("n")) {
    const v = x.at(r, i);
    a += sum(v);
    b = dot(v, w.at(i)) + b;
    c += sum(v * v);
    d = max(d, amax(v));
    e = min(amin(v), e);
  }
  y.set([0, r], a);
  y.set([1, r], b);
  y.set([2, r], c);
  y.set([3, r], d);
  y.set([4, r], e);
}

/** The old value fades before the new part comes, as in an online softmax. */
function fading(x: Tensor<"rows n">, y: Tensor<"rows">): void {
  const r = program("rows");
  let total = 0;
  for (const t of range(3)) {
    for (const i of over("n")) total = total * 0.5 + sum(x.at(r, i) * (t + 1));
  }
  y.set([r], total);
}

/** These may not wait: somebody looks at them in every turn, or they fade from something that is not zero. */
function looked(x: Tensor<"rows n">, y: Tensor<"words rows n">, z: Tensor<"rows">): void {
  const r = program("rows");
  let seen = 0;
  let from = 2;
  let twice = 0;
  for (const i of over("n")) {
    const part = sum(x.at(r, i));
    seen += part;
    y.set([0, r, i], seen);
    from = from * 0.5 + sum(x.at(r, i) * 2);
    twice += sum(x.at(r, i) * 3);
    twice = twice * 1.5;
  }
  z.set([r], from + twice);
}

/** A loop in a loop: what the inner one left waits for the outer one. */
function inner(x: Tensor<"rows m n">, y: Tensor<"rows">): void {
  const r = program("rows");
  let total = 1;
  for (const j of range(size("m"))) for (const i of over("n")) total += sum(x.at(r, j, i));
  y.set([r], total);
}

/** No turn at all leaves the start, turns with nothing alive too. */
function none(x: Tensor<"rows n">, live: Scalar<u32>, y: Tensor<"words rows">): void {
  const r = program("rows");
  let a = 3;
  let b = -2;
  for (const i of over("n", live)) {
    a += sum(x.at(r, i));
    b = max(b, amax(x.at(r, i)));
  }
  y.set([0, r], a);
  y.set([1, r], b);
}

/** Integers and a place beside the value it belongs to. */
function counted(x: Tensor<"rows n", u32>, y: Tensor<"words rows", u32>): void {
  const r = program("rows");
  let total = 0;
  let top = 0;
  let place = 0;
  for (const i of over("n")) {
    const v = x.at(r, i);
    total += sum(v);
    const best = amax(v);
    place = best > top ? argmax(v, i) : place;
    top = max(top, best);
  }
  y.set([0, r], total);
  y.set([1, r], top);
  y.set([2, r], place);
}

/** A softmax in one pass: two sums with one fading factor, which reads a maximum of every turn. */
function online(x: Tensor<"rows n">, y: Tensor<"words rows">): void {
  const r = program("rows");
  let peak = -Infinity;
  let total = 0;
  let mean = 0;
  for (const i of over("n")) {
    const v = x.at(r, i);
    const next = max(peak, amax(v));
    const fade = exp(peak - next);
    total = total * fade + sum(exp(v - next));
    mean = mean * fade + dot(exp(v - next), v);
    peak = next;
  }
  y.set([0, r], peak);
  y.set([1, r], total);
  y.set([2, r], mean / total);
}

const { check, programs } = kernelsOf(import.meta, { waiting, fading, looked, inner, none, counted, online });

const TARGET: Target = {
  profile: "software",
  subgroup: 8,
  pinned: false,
  maxInvocations: 256,
  storageBuffers: 10,
  traits: TRAITS.lavapipe,
};

/** How many reductions and folds stand in loops, and how many reductions outside. */
async function shape(
  name: string,
  sizes: Readonly<Record<string, number>>,
): Promise<{ inside: number; folds: number; after: number }> {
  const p = (await programs).get(name) as TileProgram;
  const storage = Object.fromEntries(
    p.params.flatMap((q) => (q.kind === "tensor" ? [[q.name, q.storage[0] ?? "f32"]] : [])),
  );
  const { specialised } = generate(p, { sizes, storage, cells: [] }, TARGET);
  const found = { inside: 0, folds: 0, after: 0 };
  everyOp(specialised.body, (op: Op, loops) => {
    if (op.op === "fold") found.folds++;
    if (op.op === "reduce") found[loops.length > 0 ? "inside" : "after"]++;
  });
  return found;
}

describe("partial sums (seed 1)", () => {
  test("accumulators wait", async () => {
    expect(await shape("waiting", { words: 5, rows: 3, n: 64 })).toEqual({ inside: 0, folds: 5, after: 5 });
    await check("waiting", { sizes: { words: 5, rows: 3, n: 64 }, tolerance: 1e-5 });
    await check("waiting", { sizes: { words: 5, rows: 2, n: 37 }, tolerance: 1e-5 });
  });
  test("fading from zero waits", async () => {
    expect((await shape("fading", { rows: 3, n: 64 })).inside).toBe(1);
    // How much fades depends on the number of blocks, so they are compared at one size: the whole dim.
    await check("online", { sizes: { words: 3, rows: 3, n: 64 }, tolerance: 1e-5 });
    expect(await shape("online", { words: 3, rows: 3, n: 64 })).toEqual({ inside: 1, folds: 2, after: 2 });
  });
  test("what is looked at does not", async () => {
    expect(await shape("looked", { words: 1, rows: 2, n: 64 })).toEqual({ inside: 3, folds: 0, after: 0 });
  });
  test("an inner loop's waits for the outer one", async () => {
    expect(await shape("inner", { rows: 2, m: 3, n: 64 })).toEqual({ inside: 0, folds: 2, after: 1 });
    await check("inner", { sizes: { rows: 2, m: 3, n: 21 }, tolerance: 1e-5 });
  });
  test.each([0, 3])("%d alive", (live) =>
    check("none", { sizes: { words: 2, rows: 2, n: 32 }, scalars: { live }, tolerance: 1e-5 }),
  );
  test("integers", async () => {
    await check("counted", { sizes: { words: 3, rows: 3, n: 50 } });
    // argmax is two reductions of its own.
    expect(await shape("counted", { words: 3, rows: 3, n: 64 })).toEqual({ inside: 3, folds: 1, after: 1 });
  });
});
