/**
 * Buffer-binding packing: who shares a binding, what becomes of loads and stores, and each rule that a packing can
 * break.
 */
import { describe, expect, it } from "vitest";
import { pack } from "../../compiler/bindings/merge.ts";
import { planPacking, verifyPacking } from "../../compiler/bindings/plan.ts";
import { part } from "../../compiler/bindings/split.ts";
import type { HostTensor } from "../../compiler/index.ts";
import type { Packing, Place } from "../../compiler/ir/binding.ts";
import type { Buffer, LaneProgram, LaneType, Stmt } from "../../compiler/ir/lane/program.ts";
import { constant, F32, U32, vector } from "../../compiler/ir/lane/program.ts";
import { verifyLanes } from "../../compiler/ir/lane/verify.ts";
import { simulateTensors } from "../../compiler/oracle/simulate/index.ts";
import { printWgsl } from "../../compiler/wgsl/print.ts";
import { bufferOf, f, laneProgram, loop, ref, set, store, u } from "../support/lane-programs.ts";

const F4 = vector("f32", 4);
const lane = ref("lane");

/** A tensor of `bytes` at `offset` of a buffer; those in upper case are written. */
function place(name: string, home: string, offset: number, bytes = 256, more: Partial<Place> = {}): Place {
  return { name, home, offset, bytes, writes: name === name.toUpperCase(), atomic: false, ...more };
}

const namesOf = (packing: Packing | undefined): string[] =>
  packing?.packs.map((p) => p.map((m) => m.name).join(" ")) ?? [];

describe("which parameters share a binding", () => {
  const plan = (places: readonly Place[], bindings = 8, bindingBytes = 2 ** 20): Packing | undefined =>
    planPacking(places, { bindings, bindingBytes });

  it("none where each can have its own, even if they lie in one buffer", () => {
    expect(plan([place("a", "x", 0), place("b", "x", 256), place("C", "y", 0)], 3)).toBeUndefined();
  });

  it("none beside a written one, but then all are bound for writing", () => {
    expect(plan([place("a", "x", 0), place("B", "x", 256), place("c", "y", 0)])).toEqual({
      writable: ["a"],
      packs: [],
    });
  });

  it("as few bytes as are enough", () => {
    const places = [
      ...[place("a", "x", 0), place("b", "x", 256), place("c", "x", 512, 4096)],
      ...[place("d", "y", 0, 8192), place("e", "y", 8192, 8192)],
    ];
    expect(namesOf(plan(places, 4))).toEqual(["a b"]);
    expect(namesOf(plan(places, 3))).toEqual(["a b c"]);
    expect(namesOf(plan(places, 2))).toEqual(["a b c", "d e"]);
    expect(plan(places, 3)?.packs[0]?.map((m) => m.at)).toEqual([0, 64, 128]);
  });

  it("only what is bound together anyway: neighbours in the buffer, whatever the order of the parameters", () => {
    const places = [place("c", "x", 1024), place("a", "x", 0), place("b", "x", 512)];
    expect(namesOf(plan(places, 2))).toEqual(["a b"]);
    expect(namesOf(plan(places, 1))).toEqual(["a b c"]);
  });

  it("not atomics, and no range longer than a binding may be", () => {
    expect(
      namesOf(plan([place("a", "x", 0), place("B", "x", 256, 256, { atomic: true }), place("c", "x", 512)], 1)),
    ).toEqual([]);
    expect(namesOf(plan([place("a", "x", 0), place("b", "x", 256), place("c", "x", 2 ** 20)], 1))).toEqual(["a b"]);
  });

  it("what is read twice beside something that is written, because bindings for writing must not overlap", () => {
    const twice = [place("a", "x", 0, 1024), place("b", "x", 512, 256), place("C", "x", 1024)];
    expect(plan(twice)).toEqual({
      writable: ["a", "b"],
      packs: [
        [
          { name: "a", at: 0 },
          { name: "b", at: 128 },
        ],
      ],
    });
    expect(plan([place("a", "x", 0), place("b", "x", 0)])).toBeUndefined();
  });
});

/**
 * y[lane] = x.at(lane), for an x and a y of given shapes; x holds 0, 1, 2, … and both are packed behind 64 words of z.
 */
function copied(more: { unit?: 1 | 2 | 4; storage?: "f32" | "u32"; y?: 1 | 2 | 4; part?: number }): {
  program: LaneProgram;
  got: number[];
} {
  const { unit = 1, storage = "f32", y = 1, part } = more;
  const type: LaneType = vector(storage, part === undefined ? unit : 1);
  const load: Stmt = set("a", type, {
    op: "load",
    buffer: "x",
    index: lane,
    ...(part === undefined ? {} : { part: u(part) }),
  });
  const value = ref("a", type);
  const program = laneProgram([load, store("y", lane, value, type.width < y ? u(y - 1) : undefined)], {
    buffers: [
      bufferOf("z", { storage: "u32", elements: 64 }),
      bufferOf("x", { unit, storage, elements: 4 * unit }),
      bufferOf("y", { unit: y, storage, elements: 4 * y }),
    ],
  });
  const packing: Packing = { writable: [], packs: [["z", "x", "y"].map((name, i) => ({ name, at: 64 * i }))] };
  const packed = verifyLanes(pack(verifyLanes(program, "trial"), packing), "packing");
  const numbers = (n: number, of: (i: number) => number): Float32Array | Uint32Array =>
    storage === "f32"
      ? Float32Array.from({ length: n }, (_, i) => of(i))
      : Uint32Array.from({ length: n }, (_, i) => of(i));
  const out = numbers(4 * y, () => 99);
  simulateTensors(packed, {
    z: { shape: [64], storage: "u32", data: new Uint32Array(64).fill(7) },
    x: { shape: [4 * unit], storage, data: numbers(4 * unit, (i) => i) },
    y: { shape: [4 * y], storage, data: out },
  });
  return { program: packed, got: [...out] };
}

describe("what is longer than a binding", () => {
  const long = place("a", "x", 0, 4000);
  const plan = (places: readonly Place[], bindings = 8): Packing | undefined =>
    planPacking(places, { bindings, bindingBytes: 1100 });

  it("comes in parts as alike as offsets allow", () => {
    expect(plan([long])).toEqual({ writable: [], packs: [], parted: [{ name: "a", words: 256 }] });
    expect(plan([{ ...long, bytes: 1100 }])).toBeUndefined();
    expect(plan([{ ...long, bytes: 1300 }])?.parted).toEqual([{ name: "a", words: 192 }]);
  });

  it("takes bindings that others then share", () => {
    const others = [place("b", "y", 0), place("C", "y", 256)];
    expect(namesOf(plan([long, ...others], 6))).toEqual([]);
    expect(namesOf(plan([long, ...others], 5))).toEqual(["b C"]);
  });

  it("is not for what is written", () => {
    expect(plan([{ ...long, writes: true }])).toBeUndefined();
    const program = laneProgram([], { buffers: [bufferOf("y", { elements: 128 })] });
    expect(() => part(program, { writable: [], packs: [], parted: [{ name: "y", words: 64 }] })).toThrow(
      'kernel small: "y" is written, and cannot be bound in parts',
    );
  });

  it.each([1, 2, 4] as const)("is read as a whole, %i words at a time, wherever the index comes from", (unit) => {
    const type = vector("f32", unit);
    const pid = ref("pid");
    const far = 180 / unit;
    const body = [
      set("a", type, { op: "load", buffer: "x", index: pid }),
      store("y", pid, ref("a", type)),
      set("c", type, { op: "load", buffer: "x", index: u(far) }),
      store("y2", u(0), ref("c", type)),
      set("e", F32, { op: "load", buffer: "x", index: pid, ...(unit === 1 ? {} : { part: u(unit - 1) }) }),
      store("y3", pid, ref("e", F32)),
    ];
    const count = 200 / unit;
    const sized = (name: string, n: number): Buffer => bufferOf(name, { unit, elements: n * unit });
    const program = laneProgram(body, {
      lanes: 1,
      programs: count,
      workgroups: [count, 1],
      buffers: [sized("x", count), sized("y", count), sized("y2", 1), bufferOf("y3", { elements: count })],
    });
    const packing = { writable: [], packs: [], parted: [{ name: "x", words: 64 }] };
    const parted = verifyLanes(part(verifyLanes(program, "trial"), packing), "parts");
    expect(parted.buffers.map((b) => [b.name, b.elements]).slice(0, 4)).toEqual([
      ...["0x", "1x", "2x"].map((name) => [name, 64]),
      ["3x", 8],
    ]);
    const tensor = (n: number): HostTensor => ({ shape: [n], storage: "f32", data: new Float32Array(n) });
    const [x, y, y2, y3] = [tensor(200), tensor(200), tensor(unit), tensor(count)];
    for (let n = 0; n < 200; n++) x.data[n] = n;
    simulateTensors(parted, { x, y, y2, y3 });
    expect([...y.data]).toEqual([...x.data]);
    expect([...y2.data]).toEqual([...x.data].slice(180, 180 + unit));
    expect([...y3.data]).toEqual(Array.from({ length: count }, (_, n) => n * unit + unit - 1));
  });
});

describe("loads and stores of a pack", () => {
  const counting = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

  it("of one type stay of that type", () => {
    expect(copied({ storage: "u32" }).got).toEqual(counting(4));
    expect(copied({ storage: "u32" }).program.buffers).toMatchObject([
      { name: "0", storage: "u32", unit: 1, elements: 132 },
    ]);
  });

  it("of two types go by their bits", () => {
    const { program, got } = copied({});
    expect(got).toEqual(counting(4));
    expect(program.buffers[0]).toMatchObject({ storage: "u32", writes: true });
    expect(program.body.flatMap((s) => (s.op === "let" ? [s.rhs.op] : []))).toEqual([
      "binary",
      "load",
      "bitcast",
      "bitcast",
      "binary",
    ]);
  });

  it.each([2, 4] as const)("wide ones stay wide, %i words", (unit) => {
    const { program, got } = copied({ unit, y: unit });
    expect(got).toEqual(counting(4 * unit));
    expect(program.buffers[0]?.unit).toBe(unit);
    expect(program.body.filter((s) => s.op === "store")).toHaveLength(1);
  });

  it("wide ones are taken apart where single words are written, since a vector may be written whole", () => {
    const { program, got } = copied({ unit: 4, y: 1, part: 2 });
    expect(got).toEqual([2, 6, 10, 14]);
    expect(program.buffers[0]?.unit).toBe(1);
  });

  it("single ones find their component", () => {
    const { program, got } = copied({ unit: 1, y: 4 });
    expect(got).toEqual([99, 99, 99, 0, 99, 99, 99, 1, 99, 99, 99, 2, 99, 99, 99, 3]);
    expect(program.buffers[0]?.unit).toBe(1);
  });

  it("vectors are put together from single words, and stored word by word", () => {
    const program = laneProgram(
      [
        set("a", F4, { op: "load", buffer: "x", index: lane }),
        store("y", lane, ref("a", F4)),
        store("v", lane, f(5)),
        store("y", u(0), constant(3, F4)),
      ],
      {
        buffers: [
          bufferOf("v", { writes: true, storage: "f32" }),
          bufferOf("x", { unit: 4, elements: 16 }),
          bufferOf("y", { unit: 4, elements: 16 }),
        ],
        lanes: 1,
        programs: 1,
      },
    );
    const scalar = { ...program, body: program.body.map((s) => renamed(s)) };
    const packing: Packing = { writable: [], packs: [["v", "x", "y"].map((name, i) => ({ name, at: 64 * i }))] };
    const packed = verifyLanes(pack(verifyLanes(scalar, "trial"), packing), "packing");
    const [v, y] = [new Float32Array(4), new Float32Array(16)];
    simulateTensors(packed, {
      v: { shape: [4], storage: "f32", data: v },
      x: { shape: [16], storage: "f32", data: Float32Array.from({ length: 16 }, (_, i) => i) },
      y: { shape: [16], storage: "f32", data: y },
    });
    expect([...v]).toEqual([0, 5, 0, 0]);
    expect([...y]).toEqual([3, 3, 3, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it("addresses are made once in what encloses their uses", () => {
    const read = (name: string, buffer: string): Stmt => set(name, F32, { op: "load", buffer, index: lane });
    const program = laneProgram([
      read("a", "x"),
      loop("i", u(0), u(3), [read("b", "x"), store("y", lane, ref("b", F32))]),
    ]);
    const packing: Packing = { writable: [], packs: [["y", "x"].map((name, i) => ({ name, at: 64 * i }))] };
    expect(printWgsl(verifyLanes(pack(program, packing), "packing")).match(/lane \+ 64u/g)).toHaveLength(1);
  });

  it("the shader names one variable, bound for writing if any part is written", () => {
    const text = printWgsl(copied({ unit: 4, y: 4 }).program);
    expect(text).toContain("@group(0) @binding(0) var<storage, read_write> p_0: array<vec4<u32>, 36>;");
    expect(text).not.toContain("p_x");
  });
});

/** For programs of one lane, which have no `lane`. */
function renamed(s: Stmt): Stmt {
  const index = u(1);
  if (s.op === "store" && s.index.kind === "ref") return { ...s, index };
  return s.op === "let" && s.rhs.op === "load" ? { ...s, rhs: { ...s.rhs, index } } : s;
}

describe("what is only bound for writing", () => {
  const open = [bufferOf("x", { writable: true, storage: "u32" }), bufferOf("y")];
  const meet = (limit: string): Stmt[] => [
    set("n", U32, { op: "load", buffer: "x", index: u(0) }),
    loop("i", u(0), ref(limit), [set("s", F32, { op: "lanes", fn: "sum", x: f(1) }), store("y", lane, ref("s", F32))]),
  ];

  it("is printed as such", () => {
    expect(printWgsl(laneProgram(meet("n"), { buffers: open }))).toContain("var<storage, read_write> p_x");
  });

  it("must not decide where lanes meet, at feature level L0", () => {
    const program = laneProgram(meet("n"), { buffers: open, mode: "workgroup" });
    expect(() => verifyLanes(program, "trial")).toThrow("the bounds of loop i vary by lane");
    expect(
      verifyLanes({ ...program, buffers: [bufferOf("x", { storage: "u32" }), bufferOf("y")] }, "trial"),
    ).toBeDefined();
  });
});

describe("a packing that is not legal", () => {
  const program = laneProgram([], {
    buffers: [
      bufferOf("x"),
      bufferOf("z", { elements: 8 }),
      bufferOf("y"),
      bufferOf("yy", { storage: "u32", atomic: true }),
    ],
  });
  const cases: readonly [string, readonly (readonly [string, number])[], string][] = [
    ["of one", [["x", 0]], "a pack of fewer than two"],
    [
      "of what is not there",
      [
        ["x", 0],
        ["q", 64],
      ],
      'there is no buffer "q"',
    ],
    [
      "with something twice",
      [
        ["x", 0],
        ["x", 64],
      ],
      '"x" is packed twice',
    ],
    [
      "with atomics",
      [
        ["x", 0],
        ["yy", 64],
      ],
      '"yy" is atomic, and those are bound alone',
    ],
    [
      "off the grid of vectors",
      [
        ["x", 0],
        ["y", 6],
      ],
      '"y" starts at word 6',
    ],
    [
      "that starts with nothing",
      [
        ["x", 4],
        ["y", 8],
      ],
      "nothing lies at the start of a pack",
    ],
    [
      "that overlaps what is written",
      [
        ["z", 0],
        ["y", 4],
      ],
      '"z" and "y" overlap, and one of them is written',
    ],
  ];
  it.each(cases)("%s", (_, members, what) => {
    const packing = { writable: [], packs: [members.map(([name, at]) => ({ name, at }))] };
    expect(() => verifyPacking(program, packing)).toThrow(
      `kernel small: the packing of bindings is not legal: ${what}`,
    );
  });

  it("reads may overlap", () => {
    const packing = {
      writable: [],
      packs: [
        [
          { name: "z", at: 0 },
          { name: "x", at: 4 },
        ],
      ],
    };
    expect(() => verifyPacking(program, packing)).not.toThrow();
  });
});
