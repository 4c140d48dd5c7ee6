/**
 * What the lane simulator notices and no adapter does, its arithmetic, and its buffers against those of the runtime.
 */
import { describe, expect, it } from "vitest";
import type { HostTensor } from "../../compiler/index.ts";
import { BOOL, F32, type LaneProgram, U32, vector } from "../../compiler/ir/lane/program.ts";
import type { BinaryOp, ValueType } from "../../compiler/ir/operators.ts";
import { decodeBuffer, encodeBuffer, halfOf, ofHalf } from "../../compiler/oracle/simulate/buffers.ts";
import { simulate } from "../../compiler/oracle/simulate/index.ts";
import { binaryOf, castOf, unaryOf } from "../../compiler/oracle/simulate/values.ts";
import { decodeBF16, decodeF16, encodeBF16, encodeF16 } from "../../runtime/memory/dtype.ts";
import { dequantise, quantise } from "../../runtime/memory/quantise.ts";
import { Choices } from "../fuzz/choices.ts";
import { bufferOf, f, laneProgram, loop, ref, set, store, u, when } from "../support/lane-programs.ts";

const lane = ref("lane");

/** What is in y afterwards, x being 1, 2, 3, 4. */
function run(program: LaneProgram, scalars: Record<string, number> = {}): number[] {
  const y = new Uint32Array(4).fill(7);
  const x = encodeBuffer({ shape: [4], storage: "f32", data: Float32Array.of(1, 2, 3, 4) });
  simulate(program, { x, y }, scalars);
  return [...decodeBuffer(y, program.buffers[1]?.storage ?? "f32", 4)];
}

const whole = [bufferOf("x"), bufferOf("y", { storage: "u32" })];

describe("lanes", () => {
  it("load, compute and store each for itself", () => {
    const body = [
      set("a", F32, { op: "load", buffer: "x", index: lane }),
      set("b", F32, { op: "binary", fn: "mul", a: ref("a", F32), b: f(10) }),
      store("y", lane, ref("b", F32)),
    ];
    expect(run(laneProgram(body))).toEqual([10, 20, 30, 40]);
  });

  it("meet in reductions and learn what is before them", () => {
    const body = [
      set("a", F32, { op: "load", buffer: "x", index: lane }),
      set("s", F32, { op: "lanes", fn: "sum", x: ref("a", F32) }),
      set("b", F32, { op: "before", x: ref("a", F32) }),
      set("t", F32, { op: "binary", fn: "add", a: ref("s", F32), b: ref("b", F32) }),
      store("y", lane, ref("t", F32)),
    ];
    expect(run(laneProgram(body))).toEqual([10, 11, 13, 16]);
  });

  it("take over what the first of them has", () => {
    const body = [
      set("a", F32, { op: "load", buffer: "x", index: lane }),
      set("s", F32, { op: "lanes", fn: "first", x: ref("a", F32) }),
      store("y", lane, ref("s", F32)),
    ];
    expect(run(laneProgram(body))).toEqual([1, 1, 1, 1]);
  });

  it("go apart in branches, and only those on a side do what it says", () => {
    const small = set("c", BOOL, { op: "binary", fn: "lt", a: lane, b: u(2) });
    const yes = [{ op: "assign", name: "v", value: f(1) }] as const;
    const no = [{ op: "assign", name: "v", value: f(2) }] as const;
    const body = [
      { op: "var", name: "v", type: F32, init: undefined },
      small,
      when(ref("c", BOOL), yes, no),
      set("w", F32, { op: "copy", x: ref("v", F32) }),
      store("y", lane, ref("w", F32)),
    ] as const;
    expect(run(laneProgram(body))).toEqual([1, 1, 2, 2]);
  });

  it("update atomics one after another", () => {
    const buffers = [bufferOf("x"), bufferOf("y", { storage: "i32", atomic: true })];
    const one = { kind: "const", value: -5, type: vector("i32", 1) } as const;
    const body = [{ op: "atomic", buffer: "y", fn: "sum", index: u(2), value: one }] as const;
    expect(run(laneProgram(body, { buffers }))).toEqual([7, 7, 7 - 4 * 5, 7]);
  });

  it("read scalars and count through loops", () => {
    const body = [
      set("n", U32, { op: "scalar", param: "n" }),
      { op: "var", name: "v", type: U32, init: u(0) },
      loop(
        "i",
        u(1),
        ref("n"),
        [
          set("w", U32, { op: "binary", fn: "add", a: ref("v"), b: ref("i") }),
          { op: "assign", name: "v", value: ref("w") },
        ],
        2,
      ),
      set("r", U32, { op: "copy", x: ref("v") }),
      store("y", lane, ref("r")),
    ] as const;
    const uniforms = [{ name: "n", dtype: "u32" }] as const;
    expect(run(laneProgram(body, { buffers: whole, uniforms }), { n: 6 })).toEqual([9, 9, 9, 9]);
    expect(run(laneProgram(body, { buffers: whole, uniforms }), { n: 0 })).toEqual([0, 0, 0, 0]);
  });
});

describe("faults that adapters hide", () => {
  const far = set("at", U32, { op: "binary", fn: "add", a: lane, b: u(1) });

  it("a store out of range", () => {
    expect(() => run(laneProgram([far, store("y", ref("at"), f(1))]))).toThrow(
      'kernel small, simulated on 4 lanes: program 0, lane 3: writes element 4 of "y", which has 4',
    );
  });

  it("a load out of range, unless nobody keeps what it gave", () => {
    const load = set("a", U32, { op: "load", buffer: "x", index: ref("at") });
    const buffers = [bufferOf("x", { storage: "u32" }), bufferOf("y", { storage: "u32" })];
    const edge = set("c", BOOL, { op: "binary", fn: "lt", a: ref("at"), b: u(4) });
    const kept = set("k", U32, { op: "select", cond: ref("c", BOOL), yes: ref("a"), no: u(9) });
    const float = [1, 2, 3].map((x) => new Uint32Array(Float32Array.of(x + 1).buffer)[0]);
    expect(run(laneProgram([far, load, edge, kept, store("y", lane, ref("k"))], { buffers }))).toEqual([...float, 9]);
    expect(() => run(laneProgram([far, load, store("y", lane, ref("a"))], { buffers }))).toThrow(
      'lane 3: writes a value that nothing defines into "y"; lane 3 loaded element 4 of "x", which has 4',
    );
  });

  it("a real number that nothing defines is NaN, also behind max", () => {
    const body = [
      far,
      set("a", F32, { op: "load", buffer: "x", index: ref("at") }),
      set("m", F32, { op: "binary", fn: "max", a: ref("a", F32), b: f(0) }),
      store("y", lane, ref("m", F32)),
    ];
    expect(run(laneProgram(body))).toEqual([2, 3, 4, Number.NaN]);
  });

  it("a variable that was not assigned", () => {
    const body = [
      { op: "var", name: "v", type: U32, init: undefined },
      set("a", U32, { op: "copy", x: ref("v") }),
      store("y", lane, ref("a")),
    ] as const;
    expect(() => run(laneProgram(body, { buffers: whole }))).toThrow("writes a value that nothing defines");
  });

  it("a branch or a loop on what nothing defines", () => {
    const v = { op: "var", name: "v", type: BOOL, init: undefined } as const;
    expect(() => run(laneProgram([v, when(ref("v", BOOL), [])]))).toThrow("branches on a value that nothing defines");
    const n = { op: "var", name: "n", type: U32, init: undefined } as const;
    expect(() => run(laneProgram([n, loop("i", u(0), ref("n"), [])]))).toThrow(
      "the limit of loop i is a value that nothing defines",
    );
  });

  it("lanes that do not all come to a reduction", () => {
    const body = [
      set("c", BOOL, { op: "binary", fn: "lt", a: lane, b: u(3) }),
      when(ref("c", BOOL), [set("s", U32, { op: "lanes", fn: "sum", x: lane })]),
    ];
    expect(() => run(laneProgram(body))).toThrow('"lanes" is reached by 3 of 4 lanes');
  });

  it("lanes that do not agree how long a loop is, and loops without end", () => {
    expect(() => run(laneProgram([loop("i", u(0), lane, [])]))).toThrow("the limit of loop i is 1, but 0 in lane 0");
    expect(() => run(laneProgram([loop("i", u(0xfffffff0), u(0xffffffff), [], 32)]))).toThrow("never ends");
  });

  it("two lanes that write different things to one place", () => {
    expect(() => run(laneProgram([store("y", u(0), lane)], { buffers: whole }))).toThrow(
      'lane 1: writes word 0 of "y", into which lane 0 of program 0 has written something else',
    );
    expect(run(laneProgram([store("y", u(0), u(3))], { buffers: whole }))).toEqual([3, 7, 7, 7]);
  });

  it("a lane that reads what another has written", () => {
    const body = [
      store("y", lane, lane),
      set("at", U32, { op: "binary", fn: "xor", a: lane, b: u(1) }),
      set("a", U32, { op: "load", buffer: "y", index: ref("at") }),
      store("y", lane, ref("a")),
    ];
    expect(() => run(laneProgram(body, { buffers: whole }))).toThrow(
      'lane 0 loaded word 1 of "y", which lane 1 of program 0 had written in the same dispatch',
    );
  });

  it("buffers that are missing or too small", () => {
    expect(() => simulate(laneProgram([]), { x: new Uint32Array(4) })).toThrow('buffer "y" needs 4 words, got none');
    const words = { x: new Uint32Array(3), y: new Uint32Array(4) };
    expect(() => simulate(laneProgram([]), words)).toThrow('buffer "x" needs 4 words, got 3');
  });
});

describe("arithmetic", () => {
  const cases: readonly [BinaryOp, ValueType, number, number, number][] = [
    ["add", "u32", 0xffffffff, 2, 1],
    ["sub", "u32", 1, 2, 0xffffffff],
    ["mul", "u32", 0x10001, 0x10001, 0x20001],
    ["mul", "i32", 0x7fffffff, 2, -2],
    ["div", "u32", 7, 0, 7],
    ["div", "i32", -7, 2, -3],
    ["rem", "i32", -7, 2, -1],
    ["rem", "u32", 7, 0, 0],
    ["shl", "u32", 1, 31, 0x80000000],
    ["shr", "u32", 0x80000000, 31, 1],
    ["shr", "i32", -8, 1, -4],
    ["xor", "u32", 0xffffffff, 1, 0xfffffffe],
    ["max", "u32", 0x80000000, 1, 0x80000000],
    ["lt", "i32", -1, 1, 1],
    ["add", "f32", 16777216, 1, 16777216],
    ["div", "f32", 1, 3, Math.fround(1 / 3)],
    ["and", "bool", 0, Number.NaN, 0],
    ["or", "bool", Number.NaN, 1, 1],
    ["and", "bool", 1, Number.NaN, Number.NaN],
    ["mul", "u32", Number.NaN, 0, Number.NaN],
    ["lt", "f32", Number.NaN, 0, Number.NaN],
  ];
  it.each(cases)("%s of %s %d and %d is %d", (fn, base, a, b, want) => {
    expect(binaryOf(fn, base)(a, b)).toBe(want);
  });

  it("casts towards zero and stays within range; halves round to even", () => {
    expect([2.9, -2.9, 1e20, -1e20, Number.NaN].map(castOf("f32", "i32"))).toEqual([
      2,
      -2,
      2147483520,
      -2147483648,
      Number.NaN,
    ]);
    expect([2.9, -2.9, 1e20].map(castOf("f32", "u32"))).toEqual([2, 0, 4294967040]);
    expect([-1, 2 ** 31].map(castOf("i32", "u32"))).toEqual([0xffffffff, 0x80000000]);
    expect([0.5, 1.5, 2.5, -0.5, -1.5, 2.4, -2.6].map(unaryOf("round", "f32"))).toEqual([0, 2, 2, 0, -2, 2, -3]);
  });
});

describe("buffers", () => {
  const c = new Choices(4242);
  const reals = Float32Array.from({ length: 192 }, () => ((c.below(20001) - 10000) / 777) * 2 ** (c.below(30) - 20));
  const bytes = (words: Uint32Array, n: number): number[] => [...new Uint8Array(words.buffer, words.byteOffset, n)];

  it("are the runtime's (seed 4242)", () => {
    const half = encodeF16(reals);
    const brain = encodeBF16(reals);
    const tensor = (storage: HostTensor["storage"], data: HostTensor["data"]): HostTensor => ({
      shape: [192],
      storage,
      data,
    });
    expect(bytes(encodeBuffer(tensor("f16", decodeF16(half))), 384)).toEqual([...new Uint8Array(half.buffer)]);
    expect(bytes(encodeBuffer(tensor("bf16", decodeBF16(brain))), 384)).toEqual([...new Uint8Array(brain.buffer)]);
    for (const format of ["q8", "q4"] as const) {
      const blocks = quantise(reals, format);
      const values = dequantise(blocks, 192, format);
      expect(bytes(encodeBuffer(tensor(format, values)), blocks.length)).toEqual([...blocks]);
      expect(decodeBuffer(encodeBuffer(tensor(format, values)), format, 192)).toEqual(values);
    }
    for (const storage of ["f32", "f16", "bf16"] as const) {
      const data = storage === "f32" ? reals : storage === "f16" ? decodeF16(half) : decodeBF16(brain);
      expect(decodeBuffer(encodeBuffer(tensor(storage, data)), storage, 192)).toEqual(data);
    }
    for (const data of [Int32Array.of(-1, 5, -2147483648), Uint32Array.of(0xffffffff, 0, 1)]) {
      const storage = data instanceof Int32Array ? "i32" : "u32";
      expect(decodeBuffer(encodeBuffer({ shape: [3], storage, data }), storage, 3)).toEqual(data);
    }
  });

  it("hold every half there is", () => {
    const all = decodeF16(Uint16Array.from({ length: 65536 }, (_, i) => i));
    for (const [half, x] of all.entries()) {
      if (!Object.is(ofHalf(half, "f16"), x)) expect([half, ofHalf(half, "f16")]).toEqual([half, x]);
      if (!Number.isNaN(x) && halfOf(x, "f16") !== half) expect([x, halfOf(x, "f16")]).toEqual([x, half]);
    }
  });

  it("refuse what a block format cannot hold, and pad with NaN", () => {
    const data = new Float32Array(32).fill(0.3);
    data[3] = 1;
    expect(() => encodeBuffer({ shape: [32], storage: "q4", data })).toThrow(
      /^element 0 is 0\.3\d*, which q4 with the scale -0\.125 /,
    );
    const odd = encodeBuffer({ shape: [3], storage: "f16", data: Float32Array.of(1, 2, 3) });
    expect([...decodeBuffer(odd, "f16", 4)]).toEqual([1, 2, 3, Number.NaN]);
  });
});
