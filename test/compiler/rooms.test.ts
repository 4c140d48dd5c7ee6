/**
 * Workgroup memory and matrix units of the lane IR: what the verifier refuses, what the simulator notices, and that
 * their arithmetic is right.
 */
import { describe, expect, it } from "vitest";
import { printLanes } from "../../compiler/debug/print-lanes.ts";
import {
  BOOL,
  F32,
  type LaneProgram,
  type MatrixUnits,
  type Room,
  type Stmt,
  U32,
  vector,
} from "../../compiler/ir/lane/program.ts";
import { verifyLanes } from "../../compiler/ir/lane/verify.ts";
import { decodeBuffer, encodeBuffer } from "../../compiler/oracle/simulate/buffers.ts";
import { simulate } from "../../compiler/oracle/simulate/index.ts";
import { printWgsl } from "../../compiler/wgsl/print.ts";
import { bufferOf, f, laneProgram, loop, ref, set, store, u, when } from "../support/lane-programs.ts";

const lane = ref("lane");
const ROOM: Room = { name: "room0", base: "f32", width: 1, elements: 4 };
const UNITS: MatrixUnits = { component: "f32", M: 2, N: 2, K: 2, lanes: 2 };
const HALVES: Room = { ...ROOM, base: "f16" };

/** One workgroup of four lanes with a room. */
function program(body: readonly Stmt[], more: Partial<LaneProgram> = {}): LaneProgram {
  return laneProgram(body, { mode: "workgroup", rooms: [ROOM], ...more });
}

const write = (index = lane, value = f(1), room = "room0"): Stmt => ({ op: "write", room, index, value });
const read = (name: string, index = lane, room = "room0"): Stmt => set(name, F32, { op: "read", room, index });
const barrier: Stmt = { op: "barrier" };
const near = set("c", BOOL, { op: "binary", fn: "lt", a: lane, b: u(2) });
const other = set("o", U32, { op: "binary", fn: "xor", a: lane, b: u(1) });
const fetch = (name: string, side: "left" | "right", index = u(0), columns = false, stride = 2): Stmt => ({
  ...{ op: "fetch", name, side, room: "room0", index, stride, columns },
});
const spill = (name: string, index = u(0), stride = 2): Stmt => ({ op: "spill", name, room: "room0", index, stride });
const multiply = (name: string, left: string, right: string): Stmt => ({ op: "multiply", name, left, right });

describe("the verifier", () => {
  const fault = (p: LaneProgram): string => {
    try {
      verifyLanes(p, "trial");
    } catch (error) {
      return (error as Error).message.replace('kernel small: the lane IR after "trial" is not legal: ', "");
    }
    return "";
  };
  const matrix: Stmt = { op: "matrix", name: "m" };
  const units = { matrix: UNITS };
  const cases: readonly [string, LaneProgram, string][] = [
    [
      "accepts lanes that meet in a room",
      program([write(), barrier, read("a", u(0)), store("y", lane, ref("a", F32))]),
      "",
    ],
    [
      "accepts a product",
      program([matrix, fetch("l", "left"), fetch("r", "right"), multiply("m", "l", "r"), spill("m")], units),
      "",
    ],
    ["knows its rooms", program([write(lane, f(1), "hall")]), 'there is no room "hall"'],
    ["wants one room of a name", program([], { rooms: [ROOM, ROOM] }), "two rooms have one name"],
    ["wants rooms to be in a workgroup", program([], { mode: "subgroup" }), "rooms in a program that is one subgroup"],
    ["wants barriers to be in one", laneProgram([barrier]), "a barrier in a program that is one subgroup"],
    ["wants rooms to have elements", program([], { rooms: [{ ...ROOM, elements: 0 }] }), '"room0" has 0 elements'],
    ["wants an index", program([read("a", f(1))]), 'an index of "room0" is f32, not u32'],
    ["wants it to be inside", program([write(u(4))]), 'the constant index 4 of "room0" is beyond its 4 elements'],
    ["wants the room's type", program([write(lane, u(1))]), 'what is written to "room0" is u32, not f32'],
    [
      "wants components to be there",
      program([set("a", F32, { op: "read", room: "room0", index: lane, part: u(0) })]),
      '"room0" has elements of 1, which have no such component',
    ],
    [
      "wants all lanes at a barrier",
      program([near, when(ref("c", BOOL), [barrier])]),
      '"barrier" under a condition that varies by lane',
    ],
    [
      "knows that what is read varies",
      program([
        read("a"),
        set("d", BOOL, { op: "binary", fn: "lt", a: ref("a", F32), b: f(1) }),
        when(ref("d", BOOL), [barrier]),
      ]),
      '"barrier" under a condition that varies by lane',
    ],
    [
      "wants all lanes at a matrix",
      program([matrix, near, when(ref("c", BOOL), [spill("m")])], units),
      '"spill" under a condition that varies by lane',
    ],
    ["wants units for matrices", program([matrix]), '"matrix" in a program without matrix units'],
    ["wants f16 only for them", program([], { rooms: [HALVES] }), '"room0" is f16, and no matrix units read it'],
    [
      "keeps lanes from what is theirs",
      program([read("a")], { rooms: [HALVES], matrix: { ...UNITS, component: "f16" } }),
      'lanes read "room0", which is for matrix units',
    ],
    [
      "wants their component",
      program([fetch("l", "left")], { matrix: { ...UNITS, component: "f16" } }),
      '"room0" is an array of f32, and l is made of f16',
    ],
    ["wants whole subgroups", program([], { matrix: { ...UNITS, lanes: 3 } }), "4 lanes are no subgroups of 3"],
    ["wants matrices with a size", program([], { matrix: { ...UNITS, K: 0 } }), "matrices of 2 x 0 and 0 x 2"],
    ["wants one matrix of a name", program([matrix, matrix], units), "m is defined twice"],
    ["knows its matrices", program([spill("m")], units), "there is no matrix m"],
    [
      "keeps sides apart",
      program([matrix, fetch("l", "left"), multiply("m", "l", "l")], units),
      "l is the left of a product, used as its right",
    ],
    ["keeps lines apart", program([fetch("l", "left", u(0), false, 1)], units), "lines of 2 numbers of l lie 1 apart"],
    ["wants a place for them", program([fetch("l", "left", f(0))], units), 'the place of l in "room0" is f32, not u32'],
  ];
  it.each(cases)("%s", (_, p, what) => {
    expect(fault(p)).toBe(what);
  });
});

describe("the simulator", () => {
  /** What is in y afterwards, x being 1, 2, 3, 4. */
  const run = (p: LaneProgram): number[] => {
    const y = encodeBuffer({ shape: [4], storage: "f32", data: new Float32Array(4) });
    const x = encodeBuffer({ shape: [4], storage: "f32", data: Float32Array.of(1, 2, 3, 4) });
    simulate(verifyLanes(p, "trial"), { x, y });
    return [...decodeBuffer(y, "f32", 4)];
  };
  const load = set("x", F32, { op: "load", buffer: "x", index: lane });
  const own = write(lane, ref("x", F32));
  const give = store("y", lane, ref("a", F32));

  it("lets lanes read behind a barrier what others wrote before it", () => {
    expect(run(program([load, own, other, barrier, read("a", ref("o")), give]))).toEqual([2, 1, 4, 3]);
    // Their own they may read at once.
    expect(run(program([load, own, read("a"), give]))).toEqual([1, 2, 3, 4]);
  });

  it("knows components of elements", () => {
    const four: Room = { ...ROOM, width: 4, elements: 1 };
    const body = [
      set("v", vector("f32", 4), { op: "compose", parts: [f(5), f(6), f(7), f(8)] }),
      set("z", BOOL, { op: "binary", fn: "eq", a: lane, b: u(0) }),
      when(ref("z", BOOL), [write(u(0), ref("v", vector("f32", 4)))]),
      barrier,
      set("a", F32, { op: "read", room: "room0", index: u(0), part: lane }),
      give,
    ];
    expect(run(program(body, { rooms: [four] }))).toEqual([5, 6, 7, 8]);
  });

  const faults: readonly [string, readonly Stmt[], string][] = [
    [
      "a read without a barrier",
      [load, own, other, read("a", ref("o")), give],
      'lane 0: reads "room0"[1], which lane 1 has written since the last barrier',
    ],
    [
      "a write over what another reads",
      [load, own, other, barrier, read("a", ref("o")), own, give],
      'lane 0: writes "room0"[0], which lane 1 has read since the last barrier',
    ],
    [
      "a write over what all read",
      [load, own, barrier, read("a", u(3)), own, give],
      'lane 3: writes "room0"[3], which a subgroup, or more than one lane, has read since the last barrier',
    ],
    [
      "two writes to one place",
      [write(u(1))],
      'lane 1: writes "room0"[1], which lane 0 has written since the last barrier',
    ],
    [
      "the barrier of an earlier turn",
      [load, loop("i", u(0), u(2), [own, barrier, read("a", u(0))])],
      'lane 0: writes "room0"[0], which a subgroup, or more than one lane, has read since the last barrier',
    ],
    [
      "an element that is not there",
      [set("n", U32, { op: "binary", fn: "add", a: lane, b: u(2) }), write(ref("n"))],
      'lane 2: writes component 4 of "room0", which has 4',
    ],
    [
      "what nobody wrote",
      [read("a"), set("n", U32, { op: "cast", x: ref("a", F32) }), store("z", lane, ref("n"))],
      'lane 0: writes a value that nothing defines into "z"',
    ],
  ];
  it.each(faults)("notices %s", (_, body, what) => {
    const buffers = [bufferOf("x"), bufferOf("y"), bufferOf("z", { storage: "u32", writes: true })];
    const words = (): Uint32Array<ArrayBuffer> => new Uint32Array(4);
    const p = verifyLanes(program(body, { buffers }), "trial");
    expect(() => simulate(p, { x: words(), y: words(), z: words() })).toThrow(
      `kernel small, simulated on 4 lanes: program 0, ${what}`,
    );
  });

  it("forgets rooms between workgroups", () => {
    const first = set("p", BOOL, { op: "binary", fn: "eq", a: ref("pid"), b: u(0) });
    const body = [
      first,
      when(ref("p", BOOL), [write()]),
      barrier,
      read("a"),
      set("n", U32, { op: "cast", x: ref("a", F32) }),
      store("y", lane, ref("n")),
    ];
    const p = program(body, { buffers: [bufferOf("y", { storage: "u32" })], programs: 2, workgroups: [2, 1] });
    expect(() => simulate(p, { y: new Uint32Array(4) })).toThrow(
      "program 1, lane 0: writes a value that nothing defines",
    );
  });

  /**
   * Two subgroups of two lanes: m += l · r, where l and r are the same four numbers, and each subgroup has its own
   * place for the sum.
   */
  const square = (
    component: "f16" | "f32",
    turned: "left" | "right" | undefined,
    more: readonly Stmt[] = [],
  ): LaneProgram =>
    program(
      [
        load,
        own,
        set("g", U32, { op: "binary", fn: "div", a: lane, b: u(2) }),
        set("s", U32, { op: "binary", fn: "mul", a: ref("g"), b: u(4) }),
        ...more,
        barrier,
        { op: "matrix", name: "m" },
        fetch("l", "left", u(0), turned === "left"),
        fetch("r", "right", u(0), turned === "right"),
        multiply("m", "l", "r"),
        multiply("m", "l", "r"),
        { op: "spill", name: "m", room: "room1", index: ref("s"), stride: 2 },
        barrier,
        read("a", lane, "room1"),
        give,
      ],
      {
        rooms: [
          { ...ROOM, base: component },
          { ...ROOM, name: "room1", elements: 8 },
        ],
        matrix: { ...UNITS, component },
      },
    );

  it("multiplies matrices by rows and by columns, and adds up", () => {
    const twice = (x: readonly number[]): number[] => x.map((n) => 2 * n);
    expect(run(square("f16", undefined))).toEqual(twice([7, 10, 15, 22]));
    expect(run(square("f32", "left"))).toEqual(twice([10, 14, 14, 20]));
    expect(run(square("f32", "right"))).toEqual(twice([5, 11, 11, 25]));
  });

  it("fetches matrices from rooms of vectors, whose places and strides count vectors", () => {
    const pairs = { rooms: [{ ...ROOM, width: 2, elements: 3 } as const, { ...ROOM, name: "room1", elements: 8 }] };
    const v = vector("f32", 2);
    const [one, two] = [set("v", v, { op: "splat", x: ref("x", F32) }), write(lane, ref("v", v))];
    // Lines of two numbers lie four apart: 1 1 and 3 3.
    const first = set("first", BOOL, { op: "binary", fn: "lt", a: lane, b: u(3) });
    const fill = [one, first, when(ref("first", BOOL), [two])];
    const p = square("f32", undefined);
    const body = p.body.flatMap((s): Stmt[] => {
      if (s.op === "write") return fill;
      return [s.op === "fetch" ? { ...s, stride: 2 } : s];
    });
    expect(run({ ...p, ...pairs, body })).toEqual([8, 8, 24, 24]);
  });

  it("rounds what goes into a room of f16", () => {
    const fine = run(square("f32", undefined, [barrier, write(lane, f(1.0001))]));
    const rounded = run(square("f16", undefined, [barrier, write(lane, f(1.0001))]));
    expect(rounded).toEqual([4, 4, 4, 4]);
    for (const x of fine) expect(x).toBeCloseTo(4 * 1.0001 ** 2, 5);
  });

  it("notices matrices that are fetched or left without a barrier", () => {
    const p = square("f32", undefined);
    const without = (n: number): LaneProgram => {
      let left = n;
      return { ...p, body: p.body.filter((s) => s.op !== "barrier" || left-- !== 0) };
    };
    expect(() => run(without(0))).toThrow('reads "room0"[0], which lane 0 has written since the last barrier');
    expect(() => run(without(1))).toThrow(
      'lane 0: reads "room1"[0], which a subgroup, or more than one lane, has written since the last barrier',
    );
  });

  it("notices lanes of a subgroup that do not agree on a place", () => {
    const body = [write(), barrier, fetch("l", "left", lane)];
    expect(() => run(program(body, { matrix: UNITS }))).toThrow(
      "lane 1: lanes of a subgroup name different places of a matrix",
    );
  });

  it("has text for all of it, and so has WGSL", () => {
    const p = square("f16", "right");
    const text = printLanes(p);
    for (const line of [
      "  room room0: 4 f16",
      "  matrix units: 2 x 2 by 2 x 2, f16 to f32",
      "  room0[lane] <- x",
      "  barrier",
      "  matrix r = right room0[0], columns 2 apart",
      "  matrix m += l · r",
      "  room1[s] <- matrix m, rows 2 apart",
      "  a: f32 = read room1[lane]",
    ])
      expect(text.split("\n")).toContain(line);
    const wgsl = printWgsl(p);
    for (const line of [
      "enable chromium_experimental_subgroup_matrix;",
      "enable f16;",
      "var<workgroup> room0: array<f16, 4>;",
      "  room0[lane] = f16(x);",
      "  workgroupBarrier();",
      "  var m: subgroup_matrix_result<f32, 2, 2>;",
      "  let r = subgroupMatrixLoad<subgroup_matrix_right<f16, 2, 2>, col_major>(&room0, 0u, 2u);",
      "  m = subgroupMatrixMultiplyAccumulate(l, r, m);",
      "  subgroupMatrixStore<row_major>(&room1, s, m, 2u);",
      "  let a = room1[lane];",
    ])
      expect(wgsl.split("\n")).toContain(line);
  });
});
