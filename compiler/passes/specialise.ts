/**
 * Specialising: sizes become numbers, and what follows from them is folded.
 *
 * A plan of a fixed-state model is static, so every dim is known when a kernel is loaded; loops get constant bounds,
 * edges that divide evenly need no masks and branches on sizes vanish. Constant folding rides along, because it is what
 * makes specialising pay.
 */

import { unfit } from "../host/diagnostics.ts";
import type { Span } from "../host/source-text.ts";
import type { Binding } from "../ir/binding.ts";
import { BINARY, type BinaryOp } from "../ir/operators.ts";
import { type Op, ofKind, type Specialised, type TileProgram, type Value } from "../ir/tile/program.ts";
import { everyOp, NOWHERE } from "../ir/tile/traverse.ts";

/** Fixes sizes and storage, folds constants and drops branches that cannot be taken. */
export function specialise(generic: TileProgram, binding: Binding): Specialised {
  const program = ofKind(generic, binding.storage) ?? noKind(generic, binding);
  const renamed = new Map<number, number>();
  const known = new Map<number, { value: number; type: Value["type"] }>();
  const real = (id: number): number => renamed.get(id) ?? id;
  const number = (id: number): number | undefined => known.get(real(id))?.value;

  const walk = (ops: readonly Op[]): Op[] => {
    const out: Op[] = [];
    const constant = (v: Value, value: number): void => {
      known.set(v.id, { value, type: v.type });
      out.push({ op: "const", id: v.id, type: v.type, axes: [], span: v.span, value });
    };
    for (const op of ops) {
      switch (op.op) {
        case "const":
          constant(op, op.value);
          break;
        case "size":
          constant(op, binding.sizes[op.dim] ?? 0);
          break;
        case "binary": {
          const folded =
            op.axes.length === 0 ? fold(op.fn, known.get(real(op.a)), known.get(real(op.b)), op.type) : undefined;
          if (folded !== undefined) constant(op, folded);
          else out.push({ ...op, a: real(op.a), b: real(op.b) });
          break;
        }
        case "cast": {
          const x = known.get(real(op.x));
          if (x !== undefined && op.type === "f32" && x.type !== "bool") constant(op, Math.fround(x.value));
          else out.push({ ...op, x: real(op.x) });
          break;
        }
        case "select": {
          const cond = number(op.cond);
          if (cond !== undefined && op.axes.length === 0) renamed.set(op.id, real(cond ? op.yes : op.no));
          else out.push({ ...op, cond: real(op.cond), yes: real(op.yes), no: real(op.no) });
          break;
        }
        case "if": {
          const cond = number(op.cond);
          if (cond === undefined) {
            const [yes, no] = [walk(op.yes), walk(op.no)];
            out.push({
              ...op,
              cond: real(op.cond),
              yes,
              no,
              merged: op.merged.map((m) => ({ ...m, yes: real(m.yes), no: real(m.no) })),
            });
          } else {
            out.push(...walk(cond ? op.yes : op.no));
            for (const m of op.merged) renamed.set(m.after.id, real(cond ? m.yes : m.no));
          }
          break;
        }
        case "loop": {
          const body = walk(op.body);
          const carried = op.carried.map((c) => ({ ...c, init: real(c.init), next: real(c.next) }));
          out.push({
            ...op,
            ...(op.start === undefined ? {} : { start: real(op.start) }),
            limit: real(op.limit),
            carried,
            body,
          });
          break;
        }
        case "load":
          out.push({ ...op, index: op.index.map(real) });
          break;
        case "store":
          out.push({ ...op, index: op.index.map(real), value: real(op.value) });
          break;
        case "unary":
        case "bitcast":
        case "splat":
        case "fold":
        case "scan":
        case "relay":
        case "reduce":
          out.push({ ...op, x: real(op.x) });
          break;
        default:
          out.push(op);
      }
    }
    return out;
  };
  return { ...program, body: walk(program.body), binding };
}

function noKind(program: TileProgram, binding: Binding): never {
  let span: Span | undefined;
  everyOp(program.body, (op) => {
    if (op.op === "load" || op.op === "store") span ??= op.span;
  });
  const stored = Object.entries(binding.storage).map(([name, s]) => `${name}: ${s}`);
  throw unfit({
    code: "TS-304",
    message: `kernel ${program.name}: no choice of its type parameters fits these tensors (${stored.join(", ")})`,
    span: span ?? NOWHERE,
    help: "tensors with one type parameter hold one kind of numbers: real ones, u32 or i32",
  });
}

function fold(
  fn: BinaryOp,
  a: { value: number; type: string } | undefined,
  b: { value: number; type: string } | undefined,
  type: string,
): number | undefined {
  if (a === undefined || b === undefined) return undefined;
  const { result, literal, integer } = BINARY[fn];
  if (result === "bool") return literal(a.value, b.value);
  if (a.type === "f32" || integer === undefined) return undefined;
  const value = integer(a.value, b.value, type === "u32");
  return type === "u32" ? value >>> 0 : type === "bool" ? value & 1 : value | 0;
}
