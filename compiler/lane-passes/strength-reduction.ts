/**
 * Loops count what they address: a counter of elements that is only ever needed divided, as the number of a vector or
 * of a block, counts those instead.
 *
 * Lowering counts elements. What addresses need of them is a shift away, and SwiftShader shifts vectors one lane at a
 * time: one such shift a turn was a tenth of a norm. Multiplying is cheap, so the counter takes the largest unit that
 * is asked for, and smaller ones are multiples of it.
 */
import { constant, type Rhs, type Stmt, U32 } from "../ir/lane/program.ts";
import { sweep } from "./dead-code.ts";

/** The statements with the counters of loops in the units of their use, and without what that leaves unused. */
export function countUnits(stmts: readonly Stmt[]): Stmt[] {
  return sweep(inside(stmts));
}

function inside(stmts: readonly Stmt[]): Stmt[] {
  return stmts.map((s): Stmt => {
    if (s.op === "if") return { ...s, yes: inside(s.yes), no: inside(s.no) };
    return s.op === "for" ? counted({ ...s, body: inside(s.body) }) : s;
  });
}

function counted(loop: Stmt & { op: "for" }): Stmt {
  const { start, limit, step } = loop;
  if (start.kind !== "const" || limit.kind !== "const") return loop;
  const shifts = loop.body.map((s) => shiftOf(s, loop.name) ?? 0);
  let unit = Math.max(0, ...shifts);
  while (unit > 0 && (start.value % 2 ** unit !== 0 || step % 2 ** unit !== 0)) unit--;
  if (unit === 0) return loop;
  const name = `${loop.name}_`;
  const counter = { kind: "ref", name, type: U32, depth: 0 } as const;
  const times = (bits: number): Rhs =>
    bits === 0 ? { op: "copy", x: counter } : { op: "binary", fn: "mul", a: counter, b: constant(2 ** bits, U32) };
  const elements: Stmt = { op: "let", name: loop.name, type: U32, rhs: times(unit) };
  const body = loop.body.map((s, i): Stmt => {
    const bits = shifts[i] ?? 0;
    return s.op === "let" && bits > 0 && bits <= unit ? { ...s, rhs: times(unit - bits) } : s;
  });
  return {
    ...loop,
    name,
    start: constant(start.value / 2 ** unit, U32),
    limit: constant(Math.ceil(limit.value / 2 ** unit), U32),
    step: step / 2 ** unit,
    body: [elements, ...body],
  };
}

/** By how many bits a statement shifts the counter. */
function shiftOf(s: Stmt, counter: string): number | undefined {
  if (s.op !== "let" || s.rhs.op !== "binary" || s.rhs.fn !== "shr") return undefined;
  const { a, b } = s.rhs;
  return a.kind === "ref" && a.name === counter && b.kind === "const" ? b.value : undefined;
}
