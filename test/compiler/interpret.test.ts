/** The interpreter, the oracle of the kernel tests: that mistakes show in it. */
import { describe, expect, test } from "vitest";
import { type HostTensor, interpret, loadPrograms } from "../../compiler/index.ts";
import { block, exp, over, program, range, type Scalar, size, sum, type Tensor, type u32 } from "../../dsl/index.ts";
import { constant, iota, load, store, tileProgram, value } from "../support/tile-programs.ts";

function copyTo(x: Tensor<"n">, limit: Scalar<u32>, y: Tensor<"n">): void {
  for (const i of over("n", limit)) y.set([i], exp(x.at(i)) * 0 + x.at(i));
}
function byRow(x: Tensor<"rows n">, y: Tensor<"rows">): void {
  const r = program("rows");
  let total = 0;
  for (const j of range(size("n"))) total += x.at(r, j + 1);
  y.set([r], total);
}
function blocks(x: Tensor<"n">, y: Tensor<"n">): void {
  const i = block("n", 4);
  y.set([i], x.at(i) * 2 + sum(x.at(i)));
}

const programs = loadPrograms(import.meta.url, ["copyTo", "byRow", "blocks"]).then((l) => l.programs);
const run = async (
  kernel: () => unknown,
  tensors: Readonly<Record<string, HostTensor>>,
  scalars: Readonly<Record<string, number>> = {},
): Promise<void> => {
  const found = (await programs).get(kernel.name);
  if (found === undefined) throw new Error(`no kernel ${kernel.name}`);
  interpret(found, tensors, scalars);
};
const f32 = (values: readonly number[], shape: readonly number[] = [values.length]): HostTensor => ({
  shape,
  storage: "f32",
  data: Float32Array.from(values),
});
const empty = (n: number): HostTensor => f32(new Array<number>(n).fill(Number.NaN));

describe("the interpreter", () => {
  test("stores what lives and leaves the rest", async () => {
    const y = empty(7);
    await run(copyTo as () => unknown, { x: f32([1, 2, 3, 4, 5, 6, 7]), y }, { limit: 6 });
    expect([...y.data]).toEqual([1, 2, 3, 4, 5, 6, Number.NaN]);
  });

  test("reductions leave out what is dead", async () => {
    const y = empty(6);
    await run(blocks as () => unknown, { x: f32([1, 2, 3, 4, 5, 6]), y });
    expect([...y.data]).toEqual([12, 14, 16, 18, 21, 23]);
  });

  test("dead elements are NaN: a reduction that counted them would show", () => {
    // Reduced as if nothing could be dead: `masked` says so, and it is a lie for 7 elements in blocks of 5.
    const lie = (masked: boolean): number => {
      const z = empty(1);
      const body = [
        constant(0, 0, "u32"),
        constant(1, 7, "u32"),
        constant(2, 0),
        {
          op: "loop" as const,
          kind: "over" as const,
          axis: 1,
          start: 0,
          limit: 1,
          index: value(10, "u32", [1]),
          carried: [{ name: "total", init: 2, inside: value(11), next: 14, after: value(15) }],
          body: [
            load(12, "x", [10], [1]),
            { ...value(13), op: "reduce" as const, fn: "sum" as const, x: 12, axis: 1, ...(masked ? { masked } : {}) },
            { ...value(14), op: "binary" as const, fn: "add" as const, a: 11, b: 13 },
          ],
          span: value(0).span,
        },
        store("z", [0], 15),
      ];
      interpret(tileProgram(body), { x: f32([1, 2, 3, 4, 5, 6, 7]), y: empty(7), z });
      return z.data[0] ?? 0;
    };
    expect(lie(false)).toBe(28);
    expect(lie(true)).toBeNaN();
  });

  test("an index beyond its dim is an error that names kernel, line, tensor and dim", async () => {
    const tensors = { x: f32([1, 2, 3, 4, 5, 6], [2, 3]), y: empty(2) };
    await expect(run(byRow as () => unknown, tensors)).rejects.toThrow(
      /^byRow, line 13: index 3 of "x" is outside its dim "n" of 3$/,
    );
  });

  test("a limit beyond it ends at the dim", async () => {
    const y = empty(2);
    await run(copyTo as () => unknown, { x: f32([1, 2]), y }, { limit: 3 });
    expect([...y.data]).toEqual([1, 2]);
  });

  test("a store beyond its dim", () => {
    const body = [constant(0, 9, "u32"), constant(1, 1), store("z", [0], 1)];
    expect(() => interpret(tileProgram(body), { x: f32([1]), y: empty(1), z: empty(1) })).toThrow(
      'small, line 7: index 9 of "z" is outside its dim "one" of 1',
    );
  });

  test("sizes that do not agree, scalars and tensors that are missing", async () => {
    await expect(run(blocks as () => unknown, { x: f32([1, 2]), y: empty(3) })).rejects.toThrow(
      'blocks: "y" has 3 elements along "n", expected 2',
    );
    await expect(run(copyTo as () => unknown, { x: f32([1]), y: empty(1) })).rejects.toThrow(
      'copyTo: no value for the scalar "limit"',
    );
    expect(() =>
      interpret(tileProgram([iota(0, 0), load(1, "w", [0], [0])]), { x: f32([1]), y: empty(1), z: empty(1) }),
    ).toThrow('small: no tensor "w"');
  });

  test("every operation is rounded to f32", () => {
    const z = empty(1);
    const body = [
      constant(0, 0, "u32"),
      constant(1, 16777216),
      constant(2, 1),
      { ...value(3), op: "binary" as const, fn: "add" as const, a: 1, b: 2 },
      { ...value(4), op: "binary" as const, fn: "sub" as const, a: 3, b: 1 },
      store("z", [0], 4),
    ];
    interpret(tileProgram(body), { x: f32([1]), y: empty(1), z });
    expect(z.data[0]).toBe(0);
  });
});
