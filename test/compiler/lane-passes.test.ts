/** Passes over lane programs: each leaves what a program computes as it is, and changes its text as it says. */
import { describe, expect, it } from "vitest";
import { Emitter } from "../../compiler/ir/lane/emitter.ts";
import { BOOL, constant, F32, type LaneProgram, type Stmt, U32 } from "../../compiler/ir/lane/program.ts";
import { verifyLanes } from "../../compiler/ir/lane/verify.ts";
import { loadsFirst } from "../../compiler/lane-passes/hoist-loads.ts";
import { mergeGuards } from "../../compiler/lane-passes/merge-branches.ts";
import { countUnits } from "../../compiler/lane-passes/strength-reduction.ts";
import { decodeBuffer, encodeBuffer } from "../../compiler/oracle/simulate/buffers.ts";
import { simulate } from "../../compiler/oracle/simulate/index.ts";
import { bufferOf, f, laneProgram, loop, ref, set, store, u, when } from "../support/lane-programs.ts";

const lane = ref("lane");
const integers = [bufferOf("x"), bufferOf("y", { storage: "u32" })];

/** What is in y afterwards, x being 1, 2, 3, 4. */
function run(program: LaneProgram): number[] {
  const y = new Uint32Array(4);
  const x = encodeBuffer({ shape: [4], storage: "f32", data: Float32Array.of(1, 2, 3, 4) });
  simulate(verifyLanes(program, "a pass"), { x, y });
  return [...decodeBuffer(y, program.buffers[1]?.storage ?? "f32", 4)];
}

/** The kinds of statements, and the names of those that define one. */
function outline(body: readonly Stmt[]): string {
  return body.map((s) => ("name" in s ? s.name : s.op)).join(" ");
}

const half = (name: string, x: string, bits: number): Stmt =>
  set(name, U32, { op: "binary", fn: "shr", a: ref(x), b: u(bits) });
const added = (name: string, a: string, b: string): Stmt =>
  set(name, U32, { op: "binary", fn: "add", a: ref(a), b: ref(b) });

describe("counters in the units of their use", () => {
  /** v = the sum over i = 0, 8, … below `limit` of i / 8 + i / 4, or of i + i / 4. */
  const program = (limit: number, first: Stmt, step = 8): LaneProgram => {
    const sum = set("w", U32, { op: "binary", fn: "add", a: ref("v"), b: ref("s") });
    const body = [
      first,
      half("b", "i", 2),
      added("s", "a", "b"),
      sum,
      { op: "assign", name: "v", value: ref("w") },
    ] as const;
    const statements: Stmt[] = [
      { op: "var", name: "v", type: U32, init: u(0) },
      loop("i", u(0), u(limit), body, step),
      set("r", U32, { op: "copy", x: ref("v") }),
      store("y", lane, ref("r")),
    ];
    return laneProgram(statements, { buffers: integers });
  };
  const counted = (p: LaneProgram): LaneProgram => ({ ...p, body: countUnits(p.body) });

  it("divide start, limit and step by the largest", () => {
    const before = program(20, half("a", "i", 3));
    const after = counted(before);
    expect(run(before)).toEqual([9, 9, 9, 9]);
    expect(run(after)).toEqual([9, 9, 9, 9]);
    expect(after.body[1]).toMatchObject({ op: "for", limit: u(3), step: 1 });
    expect(outline((after.body[1] as Stmt & { op: "for" }).body)).toBe("a b s w v");
  });

  it("give back the number of the element where it is needed", () => {
    const before = program(24, set("a", U32, { op: "copy", x: ref("i") }));
    const after = counted(before);
    expect(run(after)).toEqual(run(before));
    expect(after.body[1]).toMatchObject({ op: "for", limit: u(6), step: 2 });
    expect(outline((after.body[1] as Stmt & { op: "for" }).body)).toBe("i a b s w v");
  });

  it("stay as they are where the step does not divide", () => {
    const before = program(21, half("a", "i", 3), 7);
    expect(counted(before).body).toEqual(before.body);
  });
});

describe("guards", () => {
  const cond = set("c", BOOL, { op: "binary", fn: "eq", a: lane, b: u(0) });
  const put = (at: number, value: Stmt & { op: "let" }): Stmt =>
    when(ref("c", BOOL), [store("y", u(at), ref(value.name, F32))]);
  const load = (name: string, buffer: string, at: number): Stmt & { op: "let" } =>
    set(name, F32, { op: "load", buffer, index: u(at) }) as Stmt & { op: "let" };
  const [a, b] = [load("a", "x", 0), load("b", "x", 1)];

  it("join across what does not mind", () => {
    const before = laneProgram([cond, a, put(0, a), b, put(1, b)]);
    const after = mergeGuards(before);
    expect(outline(after.body)).toBe("c a b if");
    expect(run(before)).toEqual([1, 2, 0, 0]);
    expect(run(after)).toEqual([1, 2, 0, 0]);
  });

  it("keep the order of what is stored and then read", () => {
    const again = load("again", "y", 0);
    const before = laneProgram([cond, a, put(0, a), again, put(1, again)]);
    expect(outline(mergeGuards(before).body)).toBe("c a if again if");
    const between = laneProgram([cond, a, put(0, a), store("y", lane, f(5)), b, put(1, b)]);
    expect(outline(mergeGuards(between).body)).toBe("c a if store b if");
  });

  it("leave branches on other conditions, and those with another side", () => {
    const other = set("d", BOOL, { op: "binary", fn: "lt", a: lane, b: u(1) });
    const elsewhere = when(ref("d", BOOL), [store("y", u(1), ref("b", F32))]);
    expect(outline(mergeGuards(laneProgram([cond, other, a, put(0, a), b, elsewhere])).body)).toBe("c d a if b if");
    const both = when(ref("c", BOOL), [store("y", u(1), ref("b", F32))], [store("y", u(2), ref("b", F32))]);
    expect(outline(mergeGuards(laneProgram([cond, a, put(0, a), b, both])).body)).toBe("c a if b if");
  });
});

describe("what lanes hand around", () => {
  const statements = [
    set("own", F32, { op: "load", buffer: "x", index: ref("i") }),
    set("from", F32, { op: "load", buffer: "x", index: lane }),
    set("handed", F32, { op: "take", x: ref("from", F32), lane: 3 }),
    set("twice", F32, { op: "binary", fn: "mul", a: ref("handed", F32), b: f(2) }),
    set("product", F32, { op: "binary", fn: "mul", a: ref("own", F32), b: ref("twice", F32) }),
    store("y", lane, ref("product", F32)),
  ];
  const program = (lanes: number): LaneProgram => laneProgram([loop("i", u(0), u(4), statements)], { lanes });
  const order = (p: LaneProgram, registers: number): string =>
    outline((loadsFirst(p, registers).body[0] as Stmt & { op: "for" }).body);

  it("comes first, with what is computed from it alone", () => {
    expect(order(program(8), 16)).toBe("from handed twice own product store");
    expect(order(program(4), 16)).toBe("from handed twice own product store");
  });

  it("stays where it is where what waits lies in memory, whatever the number of lanes", () => {
    expect(order(program(4), 0)).toBe("own from handed twice product store");
    expect(order(program(8), 0)).toBe("own from handed twice product store");
    expect(run(loadsFirst(program(4), 0))).toEqual([32, 32, 32, 32]);
  });
});

describe("addresses", () => {
  const c = (value: number) => constant(value, U32);

  it("have their constants last, so that those a distance apart share the rest", () => {
    const e = new Emitter();
    const first = e.binary("mul", lane, c(8));
    const later = e.binary("mul", e.binary("add", lane, c(3)), c(8));
    const both = e.binary("add", e.binary("add", first, c(16)), e.binary("add", later, c(4)));
    const rest = e.binary("add", first, first);
    const last = e.statements.at(-1);
    expect(both.kind === "ref" && both.name).not.toBe(rest.kind === "ref" && rest.name);
    expect(last).toMatchObject({ rhs: { op: "binary", fn: "add", a: rest, b: c(44) } });
  });

  it("are divided part by part", () => {
    const e = new Emitter();
    const word = e.shift(e.binary("add", lane, c(11)), 2);
    const made = e.statements.map((s) => (s.op === "let" && s.rhs.op === "binary" ? [s.rhs.fn, s.rhs.b] : s));
    expect(made).toEqual([
      ["add", c(11)],
      ["add", c(3)],
      ["shr", c(2)],
      ["add", c(2)],
    ]);
    expect(word).toMatchObject({ name: (e.statements.at(-1) as Stmt & { op: "let" }).name });
  });

  it("are divided as a whole where a part may be below zero", () => {
    const e = new Emitter();
    const below = e.binary("sub", lane, c(1));
    const either = e.select(e.binary("lt", lane, c(2)), below, lane);
    const far = e.binary("add", lane, c(2 ** 32 - 2));
    for (const part of [below, e.binary("mul", below, c(3)), either, far]) {
      e.shift(e.binary("add", part, c(4)), 1);
      expect(e.statements.at(-1)).toMatchObject({ rhs: { op: "binary", fn: "shr", b: c(1) } });
    }
    e.shift(e.binary("add", e.binary("rem", below, c(9)), c(4)), 1);
    expect(e.statements.at(-1)).toMatchObject({ rhs: { op: "binary", fn: "add", b: c(2) } });
  });
});
