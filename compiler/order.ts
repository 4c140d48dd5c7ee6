/**
 * Which loads may see which stores.
 *
 * Programs run in any order and lanes of one program do not wait for each other, so a kernel must not read back what it, or another program, has written. A
 * kernel that changes a tensor in place is fine as long as every element is read before it is written, by the program that writes it. This file checks that
 * as far as index expressions tell, and refuses the rest: a race would show on one adapter and not on another.
 */
import { Definitions } from "./affine.ts";
import { Located } from "./diagnostics.ts";
import type { Op, TileProgram } from "./ir.ts";
import { isValue, operands } from "./ir.ts";
import { everyOp } from "./specialise.ts";

type Load = Op & { op: "load" };
type Store = Op & { op: "store" };

/** Returns the program unchanged, or throws TS-220 at the load that is not safe. */
export function checkOrder(program: TileProgram): TileProgram {
  const definitions = new Definitions(program);
  const text = structure(definitions);
  const depends = (id: number, on: (op: Op) => boolean, loop?: number): boolean => {
    if (id === loop) return true;
    const op = definitions.ops.get(id);
    return op !== undefined && (on(op) || operands(op).some((x) => depends(x, on, loop)));
  };
  /** Positions in which load and store are indexed alike. */
  const alike = (l: Load, s: Store): number[] => l.index.filter((id, i) => text(id) === text(s.index[i] ?? -1));
  const apart = (l: Load, s: Store): boolean =>
    l.index.some((id, i) => {
      const [a, b] = [definitions.constant(id), definitions.constant(s.index[i] ?? -1)];
      return a !== undefined && b !== undefined && a !== b;
    });
  const refuse = (l: Load, s: Store, how: string, help: string): never => {
    throw new Located({
      code: "TS-220",
      message: `"${l.param}" is read here and ${how} in line ${s.span.line}`,
      span: l.span,
      help,
    });
  };

  const loads: Load[] = [];
  const stores: Store[] = [];
  everyOp(program.body, (op) => {
    if (op.op === "load") loads.push(op);
    if (op.op === "store") stores.push(op);
  });
  for (const l of loads) {
    for (const s of stores) {
      if (s.param !== l.param) continue;
      const same = alike(l, s);
      const shared = program.grid.find(
        (g) =>
          !same.some((id) =>
            depends(id, (op) =>
              g.axis === undefined ? op.op === "program" && op.dim === g.dim : op.op === "iota" && op.axis === g.axis,
            ),
          ),
      );
      if (shared !== undefined)
        refuse(
          l,
          s,
          `written by other programs of the grid ("${shared.dim}")`,
          "programs run in any order: write to another tensor, or index both by the program's own place",
        );
    }
  }

  const after = (ops: readonly Op[], before: readonly Store[]): Store[] => {
    let seen = [...before];
    for (const op of ops) {
      if (op.op === "store") seen.push(op);
      else if (op.op === "if") seen = [...new Set([...after(op.yes, seen), ...after(op.no, seen)])];
      else if (op.op === "loop") {
        seen = after(op.body, seen);
        const inside = new Set<Op>();
        everyOp(op.body, (x) => inside.add(x));
        for (const l of loads) {
          if (!inside.has(l)) continue;
          for (const s of stores) {
            if (s.param !== l.param || !inside.has(s) || apart(l, s)) continue;
            if (alike(l, s).some((id) => depends(id, () => false, op.index.id))) continue;
            refuse(l, s, "written in an earlier turn of the loop, too,", AGAIN);
          }
        }
      } else if (op.op === "load") {
        const s = seen.find((x) => x.param === op.param && !apart(op, x));
        if (s !== undefined) refuse(op, s, "written before that,", AGAIN);
      }
    }
    return seen;
  };
  after(program.body, []);
  return program;
}

const AGAIN =
  "lanes do not wait for each other: keep the value in a variable, write to another tensor, or make it two kernels";

/** A text for each value that is the same for expressions that must have the same value. */
function structure(definitions: Definitions): (id: number) => string {
  const known = new Map<number, string>();
  const text = (id: number): string => {
    const found = known.get(id);
    if (found !== undefined) return found;
    const op = definitions.ops.get(id);
    let made = `%${id}`;
    if (op !== undefined && isValue(op) && op.op !== "load") {
      const { id: _, span: __, ...rest } = op;
      const own = Object.entries(rest).filter(([key]) => !["x", "a", "b", "cond", "yes", "no", "index"].includes(key));
      made = `(${JSON.stringify(own)} ${operands(op).map(text).join(" ")})`;
    }
    known.set(id, made);
    return made;
  };
  return text;
}
