/** Each rule of the lane IR, broken once: the verifier says which, and names the pass. */

import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { compileFile } from "../../compiler/frontend/index.ts";
import { generate } from "../../compiler/index.ts";
import { addFormat, FORMATS, type StorageType } from "../../compiler/ir/formats.ts";
import type { Atom, LaneProgram, Stmt } from "../../compiler/ir/lane/program.ts";
import { BOOL, constant, F32, U32, vector } from "../../compiler/ir/lane/program.ts";
import { verifyLanes } from "../../compiler/ir/lane/verify.ts";
import { TRAITS } from "../../runtime/adapters/traits.ts";
import { bufferOf, f, laneProgram, loop, ref, set, store, u, when } from "../support/lane-programs.ts";

/** A format that kernels cannot store. */
const READ_ONLY = "r8" as StorageType;
addFormat({ ...FORMATS.q8, name: READ_ONLY, stores: "nothing" });

const lane = ref("lane");
const F4 = vector("f32", 4);

function fault(program: LaneProgram): string {
  try {
    verifyLanes(program, "trial");
  } catch (error) {
    const [head, what] = (error as Error).message.split(' after "trial" is not legal: ');
    expect(head).toBe("kernel small: the lane IR");
    return what ?? "";
  }
  return "";
}

const faultOf = (body: readonly Stmt[], more: Partial<LaneProgram> = {}): string => fault(laneProgram(body, more));

const load = set("a", F32, { op: "load", buffer: "x", index: lane });
const near = set("c", BOOL, { op: "binary", fn: "lt", a: lane, b: u(2) });
const meet = set("s", F32, { op: "lanes", fn: "sum", x: f(1) });

describe("names", () => {
  const cases: readonly [string, readonly Stmt[], string][] = [
    ["are defined once", [load, load], "a is defined twice"],
    ["are defined first", [store("y", lane, ref("a", F32)), load], "a is used before it is defined"],
    [
      "stay in their region",
      [near, when(ref("c", BOOL), [load]), store("y", lane, ref("a", F32))],
      "a is used outside its region",
    ],
    // Found by the fuzzer: a loop's counter was called i32, and a cast in it was none any more.
    ["are no types of WGSL", [loop("i32", u(0), u(4), [])], "i32 is the name of a type"],
    ["of loops stay in them", [loop("i", u(0), u(4), []), store("y", ref("i"), f(1))], "i is used outside its region"],
    ["keep their type", [load, store("y", ref("a"), f(1))], "a is f32 but used as u32"],
    [
      "of values are not assigned",
      [load, { op: "assign", name: "a", value: f(1) }],
      "a is assigned but is not a variable",
    ],
    ["are known when assigned", [{ op: "assign", name: "v", value: f(1) }], "v is assigned where it is not visible"],
    [
      "of variables keep their type",
      [{ op: "var", name: "v", type: F32, init: u(1) }],
      "the start of v is u32, not f32",
    ],
    [
      "are assigned what they can hold",
      [
        { op: "var", name: "v", type: F32, init: undefined },
        { op: "assign", name: "v", value: flag() },
      ],
      "what v is assigned is bool, not f32",
    ],
  ];
  it.each(cases)("%s", (_, body, what) => {
    expect(faultOf(body)).toBe(what);
  });
});

function flag(): Atom {
  return constant(1, BOOL);
}

describe("operands", () => {
  const cases: readonly [Stmt, string][] = [
    [set("t", F32, { op: "binary", fn: "add", a: f(1), b: u(1) }), "t = binary add(f32, u32) cannot be f32"],
    [set("t", F32, { op: "binary", fn: "lt", a: f(1), b: f(1) }), "t = binary lt(f32, f32) cannot be f32"],
    [set("t", F32, { op: "binary", fn: "and", a: f(1), b: f(1) }), "t = binary and(f32, f32) cannot be f32"],
    [set("t", U32, { op: "binary", fn: "pow", a: u(1), b: u(1) }), "t = binary pow(u32, u32) cannot be u32"],
    [
      set("t", U32, { op: "binary", fn: "shl", a: u(1), b: constant(1, vector("i32", 1)) }),
      "t = binary shl(u32, i32) cannot be u32",
    ],
    [set("t", BOOL, { op: "binary", fn: "lt", a: flag(), b: flag() }), "t = binary lt(bool, bool) cannot be bool"],
    [set("t", U32, { op: "unary", fn: "neg", x: u(1) }), "t = unary neg(u32) cannot be u32"],
    [set("t", U32, { op: "unary", fn: "exp", x: u(1) }), "t = unary exp(u32) cannot be u32"],
    [set("t", F32, { op: "select", cond: u(1), yes: f(1), no: f(2) }), "t = select(u32, f32, f32) cannot be f32"],
    [set("t", F4, { op: "splat", x: u(1) }), "t = splat(u32) cannot be f32x4"],
    [set("t", F4, { op: "cast", x: u(1) }), "t = cast(u32) cannot be f32x4"],
    [set("t", U32, { op: "bitcast", x: flag() }), "t = bitcast(bool) cannot be u32"],
    [set("t", F4, { op: "compose", parts: [f(1), f(2)] }), "t = compose(f32, f32) cannot be f32x4"],
    [set("t", F32, { op: "pick", x: constant(1, F4), at: u(4) }), "t = pick(f32x4, u32) cannot be f32"],
    [set("t", U32, { op: "copy", x: f(1) }), "t = copy(f32) cannot be u32"],
    [set("t", F32, { op: "copy", x: f(1), hidden: true }), "t = copy(f32) cannot be f32"],
    [set("t", U32, { op: "copy", x: lane, hidden: true }), "t = copy(u32) cannot be u32"],
    [set("t", U32, { op: "load", buffer: "x", index: lane }), "t = load(u32, ) cannot be u32"],
    [set("t", F4, { op: "unpack", format: "f16", x: u(1) }), "t = unpack(u32) cannot be f32x4"],
    [set("t", U32, { op: "pack", format: "f16", a: u(1), b: u(1) }), "t = pack(u32, u32) cannot be u32"],
    [set("t", BOOL, { op: "lanes", fn: "max", x: flag() }), "t = lanes max(bool) cannot be bool"],
    [set("t", F4, { op: "before", x: constant(1, F4) }), "t = before(f32x4) cannot be f32x4"],
    [set("t", F32, { op: "scalar", param: "n" }), 'there is no scalar "n"'],
    [when(lane, []), "a condition is u32, not bool"],
    [loop("i", u(0), f(4), []), "the limit of loop i is f32, not u32"],
    [loop("i", u(0), u(4), [], 0), "loop i steps by 0"],
  ];
  it.each(cases)("%# fit their operation", (stmt, what) => {
    expect(faultOf([stmt])).toBe(what);
  });
});

describe("memory", () => {
  const four = [bufferOf("x", { unit: 4 }), bufferOf("y", { unit: 4 })];
  const cases: readonly [string, readonly Stmt[], string, (readonly ReturnType<typeof bufferOf>[])?][] = [
    ["is written where it is bound so", [store("x", lane, f(1))], '"x" is written but bound for reading'],
    ["exists", [store("z", lane, f(1))], 'there is no buffer "z"'],
    ["takes its own type", [store("y", lane, u(1))], 'what is stored in "y" is u32, not f32'],
    ["is indexed by u32", [store("y", f(1), f(1))], 'an index of "y" is f32, not u32'],
    ["has an end", [store("y", u(4), f(1))], 'the constant index 4 of "y" is beyond its 4 elements'],
    ["moves whole elements", [store("y", u(0), f(1))], 'what is stored in "y" is f32, not f32x4', four],
    ["has components that exist", [store("y", u(0), f(1), u(4))], '"y" has no component 4', four],
    ["of single words has none", [store("y", u(0), f(1), u(0))], 'elements of "y" have no components'],
    [
      "is updated where it is atomic",
      [{ op: "atomic", buffer: "y", fn: "sum", index: u(0), value: f(1) }],
      '"y" is updated but not atomic',
    ],
    [
      "is atomic by the word",
      [],
      '"y" is atomic but not written word by word',
      [bufferOf("y", { unit: 4, atomic: true })],
    ],
    [
      "of formats that are only read is not written",
      [],
      '"y" is r8 but written',
      [bufferOf("y", { unit: 4, storage: READ_ONLY })],
    ],
    [
      "is written by bits where it is atomic",
      [{ op: "insert", buffer: "y", index: u(0), shift: u(16), bits: 16, value: u(1) }],
      'bits of "y" are written, but it is not atomic words',
      [bufferOf("y", { unit: 2, storage: "f16" })],
    ],
    [
      "in a texture is not written",
      [],
      '"y" cannot be bound as a texture with rows of 1024 texels',
      [bufferOf("x", { pitch: 1024 }), bufferOf("y", { pitch: 1024 })],
    ],
    [
      "in a texture has rows of a power of two",
      [],
      '"x" cannot be bound as a texture with rows of 1000 texels',
      [bufferOf("x", { pitch: 1000 }), bufferOf("y")],
    ],
    ["has names of its own", [], "two buffers have one name", [bufferOf("x"), bufferOf("x")]],
    ["has elements of at most 16 bytes", [], '"x" has elements of 8 words', [bufferOf("x", { unit: 8 })]],
  ];
  it.each(cases)("%s", (_, body, what, buffers) => {
    expect(faultOf(body, buffers === undefined ? {} : { buffers })).toBe(what);
  });
});

describe("what lanes do together", () => {
  const inside = when(ref("c", BOOL), [meet]);
  it("is done by all of them", () => {
    expect(faultOf([near, inside])).toBe('s: "lanes" under a condition that varies by lane');
    expect(faultOf([near, loop("i", u(0), u(2), [inside])])).toBe('s: "lanes" under a condition that varies by lane');
    const before = set("s", F32, { op: "before", x: f(1) });
    expect(faultOf([near, when(ref("c", BOOL), [], [before])])).toBe(
      's: "before" under a condition that varies by lane',
    );
  });

  it("may depend on what they have in common", () => {
    const all = set("m", U32, { op: "lanes", fn: "max", x: lane });
    const common = set("c", BOOL, { op: "binary", fn: "lt", a: ref("m"), b: u(2) });
    expect(faultOf([all, common, inside])).toBe("");
    const first = set("c", BOOL, { op: "binary", fn: "lt", a: ref("pid"), b: u(2) });
    expect(faultOf([first, inside])).toBe("");
  });

  it("ends together", () => {
    expect(faultOf([loop("i", u(0), lane, [])])).toBe("the bounds of loop i vary by lane");
    const own = set("b", U32, { op: "before", x: u(1) });
    expect(faultOf([own, loop("i", ref("b"), u(4), [])])).toBe("the bounds of loop i vary by lane");
  });

  it("sees variables that came to differ, also around a loop", () => {
    const zero = { op: "var", name: "v", type: U32, init: u(0) } as const;
    const now = set("n", U32, { op: "copy", x: ref("v") });
    const test = set("t", BOOL, { op: "binary", fn: "lt", a: ref("n"), b: u(2) });
    const guarded = when(ref("t", BOOL), [meet]);
    const mine = { op: "assign", name: "v", value: lane } as const;
    const ours = { op: "assign", name: "v", value: u(1) } as const;
    expect(faultOf([zero, loop("i", u(0), u(3), [now, test, guarded, ours])])).toBe("");
    expect(faultOf([zero, loop("i", u(0), u(3), [now, test, guarded, mine])])).toContain("varies by lane");
    expect(faultOf([zero, near, loop("i", u(0), u(3), [now, test, guarded, when(ref("c", BOOL), [ours])])])).toContain(
      "varies by lane",
    );
  });

  it("does not hang on memory that the kernel writes, where a barrier is needed", () => {
    const body = [
      set("a", F32, { op: "load", buffer: "y", index: u(0) }),
      set("c", BOOL, { op: "binary", fn: "lt", a: ref("a", F32), b: f(2) }),
      when(ref("c", BOOL), [meet]),
    ];
    expect(faultOf(body)).toBe("");
    expect(faultOf(body, { mode: "workgroup" })).toBe('s: "lanes" under a condition that varies by lane');
  });

  it("needs more than one lane", () => {
    expect(faultOf([meet], { lanes: 1 })).toBe('s: one lane has nobody to do "lanes" with');
    expect(faultOf([store("y", lane, f(1))], { lanes: 1 })).toBe("lane is used before it is defined");
  });
});

describe("the dispatch", () => {
  const cases: readonly [Partial<LaneProgram>, string][] = [
    [{ workgroupSize: 3 }, "3 invocations are not 1 programs of 4 lanes"],
    [{ mode: "thread" }, "a thread has 4 lanes"],
    [{ lanes: 6, workgroupSize: 6 }, "6 lanes are not a power of two"],
    [{ programs: 5, workgroups: [2, 2] }, "5 programs do not fit into 2 x 2 workgroups"],
    [{ mode: "workgroup", programsPerWorkgroup: 2, workgroupSize: 8 }, "several programs share a workgroup's barriers"],
    [{ workgroups: [0, 1] }, "a count of lanes or workgroups is not positive"],
  ];
  it.each(cases)("%j is refused", (more, what) => {
    expect(faultOf([], more)).toBe(what);
  });
});

describe("generated programs", () => {
  it("are checked, and a pass that broke one would be found", () => {
    const file = fileURLToPath(new URL("../../models/kernels/project.ts", import.meta.url));
    const [program] = compileFile(file, ["project"]).programs;
    if (program === undefined) return expect.fail("no program");
    const binding = {
      sizes: { dim: 8, inner: 64, tokens: 1 },
      storage: { w: "f32", h: "f32", x: "f32" },
      cells: [],
    } as const;
    const target = {
      profile: "gpu",
      subgroup: 8,
      pinned: false,
      maxInvocations: 256,
      storageBuffers: 8,
      traits: TRAITS.gpu,
    } as const;
    const { lanes } = generate(program, binding, target);
    expect(verifyLanes(lanes, "sweep")).toBe(lanes);
    // Whatever definition is lost, its use is noticed.
    for (const [i, s] of lanes.body.entries()) {
      if (s.op !== "let" && s.op !== "var") continue;
      const without = { ...lanes, body: lanes.body.filter((_, j) => j !== i) };
      expect(() => verifyLanes(without, "trial"), s.name).toThrow(new RegExp(`: ${s.name} is (used|assigned)`));
    }
  });
});
