/**
 * Indices between 2^31 and 2^32: what is folded while compiling, how sums are taken apart, and the addresses that lanes
 * of a large tensor get. Nothing is allocated: lane programs are walked for their addresses alone.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compileFile } from "../../compiler/frontend/index.ts";
import { generate, type StorageType, type Target } from "../../compiler/index.ts";
import { perWord } from "../../compiler/ir/formats.ts";
import { Emitter } from "../../compiler/ir/lane/emitter.ts";
import type { Atom, LaneProgram, Rhs, Stmt } from "../../compiler/ir/lane/program.ts";
import { constant, U32 } from "../../compiler/ir/lane/program.ts";
import type { BinaryOp } from "../../compiler/ir/operators.ts";
import type { Op } from "../../compiler/ir/tile/program.ts";
import { specialise } from "../../compiler/passes/specialise.ts";
import { LANE_TARGETS, nameOf } from "../support/lanes.ts";
import { constant as number, store, tileProgram, value } from "../support/tile-programs.ts";

const EDGES: readonly number[] = [0, 1, 2, 3, 7, 31, 65535, 65536, 65537].concat(
  [31, 32].flatMap((p) => [-65537, -2, -1, 0, 1, 2, 65537].map((d) => 2 ** p + d)).filter((x) => x < 2 ** 32),
);

/** What WGSL says of two u32 or i32, with integers of any length. */
function reference(fn: BinaryOp, a: bigint, b: bigint, type: "u32" | "i32"): bigint {
  const cut = (x: bigint): bigint => (type === "u32" ? BigInt.asUintN(32, x) : BigInt.asIntN(32, x));
  const table: Partial<Record<BinaryOp, () => bigint | boolean>> = {
    add: () => a + b,
    sub: () => a - b,
    mul: () => a * b,
    div: () => (b === 0n ? a : a / b),
    rem: () => (b === 0n ? 0n : a % b),
    min: () => (a < b ? a : b),
    max: () => (a > b ? a : b),
    and: () => a & b,
    or: () => a | b,
    xor: () => a ^ b,
    shl: () => a << (b & 31n),
    shr: () => a >> (b & 31n),
    lt: () => a < b,
    le: () => a <= b,
    gt: () => a > b,
    ge: () => a >= b,
    eq: () => a === b,
    ne: () => a !== b,
  };
  const got = table[fn]?.() ?? 0n;
  return typeof got === "boolean" ? BigInt(got) : cut(got);
}

const FUNCTIONS: readonly BinaryOp[] = [
  "add",
  "sub",
  "mul",
  "div",
  "rem",
  "min",
  "max",
  "and",
  "or",
  "xor",
  "shl",
  "shr",
];
const COMPARISONS: readonly BinaryOp[] = ["lt", "le", "gt", "ge", "eq", "ne"];

describe("constants that specialising folds", () => {
  it.each(["u32", "i32"] as const)("are those of %s up to the last bit", (type) => {
    const values = EDGES.map((x) => (type === "u32" ? x : x | 0));
    const wrong: string[] = [];
    for (const fn of [...FUNCTIONS, ...COMPARISONS])
      for (const a of values)
        for (const b of values) {
          const compares = COMPARISONS.includes(fn);
          const op: Op = { ...value(2, compares ? "bool" : type), op: "binary", fn, a: 0, b: 1 };
          const program = tileProgram([number(0, a, type), number(1, b, type), op, store("z", [0], 2)]);
          const folded = specialise(program, { sizes: { n: 1, one: 1 }, storage: {}, cells: [] }).body[2];
          const want = Number(reference(fn, BigInt(a), BigInt(b), type));
          if (folded?.op !== "const" || !Object.is(folded.value, want))
            wrong.push(`${a} ${fn} ${b}: ${folded?.op === "const" ? folded.value : folded?.op}, not ${want}`);
        }
    expect(wrong).toEqual([]);
  });
});

/** The numbers that names and constants stand for. */
class Numbers {
  readonly names: Map<string, number | readonly number[]> = new Map();

  parts(x: Atom): readonly number[] {
    if (x.kind === "const") return Array.from({ length: x.type.width }, () => x.value);
    const found = this.names.get(x.name) ?? 0;
    return typeof found === "number" ? [found] : found;
  }

  one(x: Atom): number {
    return this.parts(x)[0] ?? 0;
  }

  /** What an operation on integers gives; undefined where it makes something else. */
  of(rhs: Rhs): readonly number[] | undefined {
    if (rhs.op === "copy" || rhs.op === "splat") return this.parts(rhs.x);
    if (rhs.op === "compose") return rhs.parts.flatMap((p) => this.parts(p));
    if (rhs.op === "select") {
      const [c, y, n] = [this.parts(rhs.cond), this.parts(rhs.yes), this.parts(rhs.no)];
      return y.map((x, i) => ((c[i] ?? c[0]) === 0 ? (n[i] ?? n[0] ?? 0) : x));
    }
    if (rhs.op === "pick") return [this.parts(rhs.x)[this.one(rhs.at)] ?? 0];
    if (rhs.op !== "binary" || rhs.a.type.base === "f32") return undefined;
    const [a, b] = [this.parts(rhs.a), this.parts(rhs.b)];
    return Array.from({ length: Math.max(a.length, b.length) }, (_, i) =>
      Number(reference(rhs.fn, BigInt(a[i] ?? a[0] ?? 0), BigInt(b[i] ?? b[0] ?? 0), "u32")),
    );
  }
}

describe("addresses that the emitter takes apart", () => {
  it("are what the sum is, also beyond 2^31", () => {
    const wrong: string[] = [];
    for (const base of [0, 8, 2 ** 31 - 8, 2 ** 31, 2 ** 31 + 24, 3 * 2 ** 30])
      for (const step of [1, 4, 8, 96, 2 ** 16])
        for (const added of [0, 4, 7, 32, 2 ** 31 - 4, 2 ** 31, 2 ** 31 + 8])
          for (const bits of [0, 1, 3, 5]) {
            const [x, k] = [base, 24];
            if (x + k * step + added >= 2 ** 32) continue;
            const e = new Emitter();
            const [start, turn] = [e.ref("x", U32), e.ref("k", U32)];
            const scaled = e.binary("mul", e.binary("add", turn, constant(4, U32)), constant(step, U32));
            const sum = e.binary("add", e.binary("add", start, scaled), constant(added, U32));
            const results = [sum, e.shift(sum, bits), e.low(sum, bits)];
            const numbers = new Numbers();
            numbers.names.set("x", x).set("k", k - 4);
            for (const s of e.statements) if (s.op === "let") numbers.names.set(s.name, numbers.of(s.rhs) ?? 0);
            const whole = x + k * step + added;
            const want = [whole, Math.floor(whole / 2 ** bits), whole % 2 ** bits];
            const got = results.map((r) => numbers.one(r));
            if (got.join() !== want.join())
              wrong.push(`${x} + ${k} * ${step} + ${added}, ${bits} bits: ${got}, not ${want}`);
          }
    expect(wrong).toEqual([]);
  });

  it("know the powers of two in every constant", () => {
    const e = new Emitter();
    expect([1, 2, 12, 2 ** 30, 2 ** 31, 2 ** 31 + 8, 3 * 2 ** 30].map((n) => e.twos(constant(n, U32)))).toEqual([
      0, 1, 2, 30, 31, 3, 30,
    ]);
  });
});

/**
 * Elements of each tensor that a lane of a program touches, as [first, one beyond the last], and the words behind the
 * elements.
 */
function touched(lanes: LaneProgram, pid: number, lane: number): ReadonlyMap<string, number[]> {
  const numbers = new Numbers();
  numbers.names.set("pid", pid).set("lane", lane);
  const found = new Map<string, number[]>();
  const touch = (buffer: string, index: Atom, part: Atom | undefined): void => {
    const b = lanes.buffers.find((x) => x.name === buffer);
    if (b === undefined) throw new Error(`no buffer ${buffer}`);
    const word = (numbers.one(index) * b.unit) / perWord(b.storage) + (part === undefined ? 0 : numbers.one(part));
    found.set(buffer, [...(found.get(buffer) ?? []), word]);
  };
  const run = (body: readonly Stmt[]): void => {
    for (const s of body) {
      if (s.op === "let" && s.rhs.op === "load") touch(s.rhs.buffer, s.rhs.index, s.rhs.part);
      if (s.op === "let") numbers.names.set(s.name, numbers.of(s.rhs) ?? 0);
      if (s.op === "var") numbers.names.set(s.name, s.init === undefined ? 0 : numbers.parts(s.init));
      if (s.op === "assign") numbers.names.set(s.name, numbers.parts(s.value));
      if (s.op === "store") touch(s.buffer, s.index, s.part);
      if (s.op === "if") run(numbers.one(s.cond) === 0 ? s.no : s.yes);
      if (s.op !== "for") continue;
      for (let n = numbers.one(s.start); n < numbers.one(s.limit); n += s.step) {
        numbers.names.set(s.name, n);
        run(s.body);
      }
    }
  };
  run(lanes.body);
  return found;
}

describe("lanes of a tensor with more than 2^31 elements", () => {
  const ROWS = 1_040_000;
  const COLUMNS = 4096;
  const folder = mkdtempSync(join(tmpdir(), "tilestate-indices-"));
  const file = join(folder, "kernel.ts");
  writeFileSync(
    file,
    `import { over, program, type real, type Tensor } from "tilestate/dsl";
export function copy(x: Tensor<"rows n", real>, y: Tensor<"rows n">): void {
  const r = program("rows");
  for (const i of over("n")) y.set([r, i], x.at(r, i));
}
`,
  );
  const [program] = compileFile(file, ["copy"]).programs;
  rmSync(folder, { recursive: true, force: true });
  const targets: readonly Target[] = LANE_TARGETS.filter((t) => t.bindingBytes === undefined && t.storageBuffers > 1);

  it.each(targets.map((target) => ({ target, name: nameOf(target) })))("$name", ({ target }) => {
    if (program === undefined) throw new Error("no program");
    for (const storage of ["f32", "f16", "q8", "q4"] satisfies StorageType[]) {
      const binding = { sizes: { rows: ROWS, n: COLUMNS }, storage: { x: storage, y: "f32" }, cells: [] } as const;
      const { lanes } = generate(program, binding, target);
      const per = perWord(storage);
      for (const row of [0, 2 ** 31 / COLUMNS - 1, 2 ** 31 / COLUMNS, ROWS - 1]) {
        const words = new Map<string, Set<number>>();
        for (let lane = 0; lane < lanes.lanes; lane++)
          for (const [name, list] of touched(lanes, row, lane))
            words.set(name, new Set([...(words.get(name) ?? []), ...list]));
        const range = (from: number, to: number): string => `${from} to ${to}`;
        const seen = (name: string, keep: (word: number) => boolean): string => {
          const own = [...(words.get(name) ?? [])].filter(keep);
          return range(
            own.reduce((a, b) => Math.min(a, b)),
            own.reduce((a, b) => Math.max(a, b)),
          );
        };
        const behind = (ROWS * COLUMNS) / per;
        // A wide load is known by its first word.
        const last = (unit: number, end: number): number => end - Math.max(1, unit);
        const [x, y] = ["x", "y"].map(
          (n) => (lanes.buffers.find((b) => b.name === n)?.unit ?? 1) / (n === "x" ? per : 1),
        );
        const [from, to] = [(row * COLUMNS) / per, ((row + 1) * COLUMNS) / per];
        expect(
          seen("x", (w) => w < behind),
          `${storage}, row ${row}`,
        ).toBe(range(from, last(x ?? 1, to)));
        expect(
          seen("y", () => true),
          `${storage}, row ${row}`,
        ).toBe(range(row * COLUMNS, last(y ?? 1, (row + 1) * COLUMNS)));
        if (storage === "f32" || storage === "f16") continue;
        const scales = behind + (row * COLUMNS) / 64;
        expect(
          seen("x", (w) => w >= behind),
          `${storage}, row ${row}`,
        ).toBe(range(scales, scales + COLUMNS / 64 - 1));
      }
    }
  });
});
