/** Each rule of the tile IR, broken once: the verifier says which, and names the pass. */
import { describe, expect, test } from "vitest";
import type { Branch, Loop, Op } from "../../compiler/ir/tile/program.ts";
import { verify } from "../../compiler/ir/tile/verify.ts";
import { constant, HERE, iota, load, store, tileProgram, value } from "../support/tile-programs.ts";

function fault(body: readonly Op[]): string {
  try {
    verify(tileProgram(body), "trial");
  } catch (error) {
    const [head, what] = (error as Error).message.split(' after "trial" is not legal: ');
    expect(head).toBe("kernel small: the IR");
    return what ?? "";
  }
  return "";
}

/** sum of x over a loop, in blocks. */
function loop(more: Partial<Loop> = {}, body?: readonly Op[]): Loop {
  return {
    op: "loop",
    kind: "over",
    axis: 1,
    start: 0,
    limit: 1,
    index: value(10, "u32", [1]),
    carried: [{ name: "total", init: 2, inside: value(11), next: 14, after: value(15) }],
    body: body ?? [
      load(12, "x", [10], [1]),
      { ...value(13), op: "reduce", fn: "sum", x: 12, axis: 1 },
      { ...value(14), op: "binary", fn: "add", a: 11, b: 13 },
    ],
    span: HERE,
    ...more,
  };
}

const START: readonly Op[] = [constant(0, 0, "u32"), constant(1, 8, "u32"), constant(2, 0)];

function branch(more: Partial<Branch> = {}): Branch {
  return {
    op: "if",
    cond: 3,
    yes: [constant(4, 1)],
    no: [constant(5, 2)],
    merged: [{ name: "a", yes: 4, no: 5, after: value(6) }],
    span: HERE,
    ...more,
  };
}
const CONDITION: Op = { ...value(3, "bool"), op: "binary", fn: "lt", a: 0, b: 1 };

describe("the verifier of the tile IR", () => {
  test("lets legal programs pass, unchanged", () => {
    const whole = tileProgram([
      iota(0, 0),
      load(1, "x", [0], [0]),
      { ...value(2, "f32", [0]), op: "unary", fn: "exp", x: 1 },
      { ...value(3, "f32", [0]), op: "scan", x: 2, axis: 0 },
      store("y", [0], 3),
    ]);
    expect(verify(whole, "trial")).toBe(whole);
    expect(fault([...START, loop(), store("z", [0], 15)])).toBe("");
    expect(fault([...START, CONDITION, branch(), store("z", [0], 6)])).toBe("");
  });

  const x = [iota(0, 0), load(1, "x", [0], [0])];
  test.each<readonly [string, readonly Op[], string]>([
    ["a value defined twice", [constant(0, 1), constant(0, 2)], "%0 is defined twice"],
    ["a value used before it is there", [store("z", [0], 1), constant(0, 0, "u32")], "%0 is used before it is defined"],
    ["a value used outside its loop", [...START, loop(), store("z", [0], 13)], "%13 is used before it is defined"],
    [
      "a value of one branch used after it",
      [...START, CONDITION, branch(), store("z", [0], 4)],
      "%4 is used before it is defined",
    ],
    ["an axis that is none", [{ ...value(0, "u32", [9]), op: "iota", axis: 9 }], "%0 has the unknown axis 9"],
    ["an axis twice", [...x, { ...value(2, "f32", [0, 0]), op: "splat", x: 1 }], "%2 has an axis twice"],
    ["an axis lost by an operation", [...x, { ...value(2), op: "unary", fn: "exp", x: 1 }], "%2 lost axis 0"],
    ["an axis lost by a load", [iota(0, 0), load(1, "x", [0])], "%1 lost axis 0"],
    ["an axis lost by a scan", [...x, { ...value(2), op: "scan", x: 1, axis: 0 }], "%2 lost axis 0"],
    [
      "a reduction of nothing",
      [constant(0, 1), { ...value(1), op: "reduce", fn: "sum", x: 0, axis: 0 }],
      "%1 reduces an axis that is not there",
    ],
    [
      "a reduction that keeps its axis",
      [...x, { ...value(2, "f32", [0]), op: "reduce", fn: "max", x: 1, axis: 0 }],
      "%2 reduces an axis that is not there",
    ],
    [
      "a fold of nothing",
      [constant(0, 1), { ...value(1, "f32", [1]), op: "fold", fn: "sum", x: 0, axis: 0, to: 1 }],
      "%1 reduces an axis that is not there",
    ],
    [
      "a scan along nothing",
      [constant(0, 1), { ...value(1), op: "scan", x: 0, axis: 0 }],
      "%1 runs along an axis that is not there",
    ],
    ["a load of no tensor", [constant(0, 0, "u32"), load(1, "w", [0])], '"w" is not a tensor'],
    ["too many indices", [constant(0, 0, "u32"), load(1, "x", [0, 0])], '"x" has 1 dims, got 2 indices'],
    ["a real index", [constant(0, 0), load(1, "x", [0])], 'an index of "x" is f32'],
    ["a real index of a store", [constant(0, 0), store("y", [0], 0)], 'an index of "y" is f32'],
    [
      "a branch on a tile",
      [...START, iota(7, 0), { ...value(3, "bool", [0]), op: "binary", fn: "lt", a: 7, b: 1 }, branch()],
      "a branch on something other than one condition",
    ],
    ["a branch on a number", [...START, constant(3, 1), branch()], "a branch on something other than one condition"],
    [
      "branches that differ in type",
      [...START, CONDITION, branch({ no: [constant(5, 2, "u32")] })],
      "the branch's a changes type",
    ],
    ["a branch that does not give its value", [...START, CONDITION, branch({ no: [] })], "the branch's a changes type"],
    ["a loop that does not give its next value", [...START, loop({}, [])], "the loop's total has no next value"],
    [
      "a loop that changes a type",
      [...START, loop({}, [constant(14, 1, "u32")])],
      "the loop's total changes type (%14)",
    ],
    [
      "a loop that enters with another type",
      [constant(0, 0, "u32"), constant(1, 8, "u32"), constant(2, 0, "i32"), loop()],
      "the loop's total changes type (%2)",
    ],
    [
      "an axis that leaves its loop",
      [
        ...START,
        { ...value(3, "f32", [1]), op: "splat", x: 2 },
        loop(
          {
            carried: [
              { name: "total", init: 3, inside: value(11, "f32", [1]), next: 12, after: value(15, "f32", [1]) },
            ],
          },
          [load(12, "x", [10], [1])],
        ),
      ],
      "axis 1 leaves its loop",
    ],
  ])("%s", (_, body, what) => expect(fault(body)).toBe(what));
});
