/**
 * The verifier of the tile IR: what is legal between passes.
 *
 * Every value is defined once and before its use, in a region that its user can see; types and axes are what the
 * operation says; axes of an over-loop stay inside it. A pass that breaks a rule is our defect, so the message names
 * the pass. The idea of a spec checked between passes is tinygrad's.
 */
import { isValue, type Op, operands, type TileProgram, type Value } from "./program.ts";

/** Returns the program unchanged, or throws naming the pass that made it illegal. */
export function verify<T extends TileProgram>(program: T, pass: string): T {
  const bad = (what: string): never => {
    throw new Error(`kernel ${program.name}: the IR after "${pass}" is not legal: ${what}`);
  };
  const seen = new Set<number>();
  const params = new Map(program.params.map((p) => [p.name, p]));
  const define = (v: Value, scope: Map<number, Value>): void => {
    if (seen.has(v.id)) bad(`%${v.id} is defined twice`);
    seen.add(v.id);
    for (const a of v.axes) if (program.axes[a] === undefined) bad(`%${v.id} has the unknown axis ${a}`);
    if (new Set(v.axes).size !== v.axes.length) bad(`%${v.id} has an axis twice`);
    scope.set(v.id, v);
  };
  const walk = (ops: readonly Op[], outer: ReadonlyMap<number, Value>): Map<number, Value> => {
    const scope = new Map(outer);
    const get = (id: number): Value => scope.get(id) ?? bad(`%${id} is used before it is defined`);
    const within = (v: Value, parts: readonly number[]): void => {
      for (const p of parts) for (const a of get(p).axes) if (!v.axes.includes(a)) bad(`%${v.id} lost axis ${a}`);
    };
    for (const op of ops) {
      for (const id of operands(op)) get(id);
      if (op.op === "loop") {
        const inner = new Map(scope);
        define(op.index, inner);
        if (op.twin !== undefined) {
          if (program.axes[op.twin.axis]?.twin !== op.axis)
            bad(`the loop's twin ${op.twin.axis} is not one of its axis`);
          define(op.twin.index, inner);
        }
        for (const c of op.carried) define(c.inside, inner);
        const end = walk(op.body, inner);
        for (const c of op.carried) {
          const next = end.get(c.next) ?? bad(`the loop's ${c.name} has no next value`);
          for (const v of [get(c.init), next])
            if (v.type !== c.inside.type || !sameAxes(v, c.inside)) bad(`the loop's ${c.name} changes type (%${v.id})`);
          for (const a of [op.axis, op.twin?.axis])
            if (a !== undefined && c.after.axes.includes(a)) bad(`axis ${a} leaves its loop`);
          define(c.after, scope);
        }
      } else if (op.op === "if") {
        if (get(op.cond).axes.length > 0 || get(op.cond).type !== "bool")
          bad("a branch on something other than one condition");
        const [yes, no] = [walk(op.yes, scope), walk(op.no, scope)];
        for (const m of op.merged) {
          for (const v of [yes.get(m.yes), no.get(m.no)]) {
            if (v === undefined || v.type !== m.after.type || !sameAxes(v, m.after))
              bad(`the branch's ${m.name} changes type`);
          }
          define(m.after, scope);
        }
      } else if (op.op === "store" || op.op === "load") {
        const p = params.get(op.param);
        if (p?.kind !== "tensor") bad(`"${op.param}" is not a tensor`);
        else if (p.dims.length !== op.index.length)
          bad(`"${op.param}" has ${p.dims.length} dims, got ${op.index.length} indices`);
        for (const i of op.index) if (get(i).type !== "u32") bad(`an index of "${op.param}" is ${get(i).type}`);
        if (op.op === "load") {
          within(op, op.index);
          define(op, scope);
        }
      } else if (op.op === "reduce" || op.op === "fold") {
        if (!get(op.x).axes.includes(op.axis) || op.axes.includes(op.axis))
          bad(`%${op.id} reduces an axis that is not there`);
        define(op, scope);
      } else if (op.op === "relay") {
        const { axes } = get(op.x);
        if (program.axes[op.from]?.twin !== op.to || !axes.includes(op.from) || axes.includes(op.to))
          bad(`%${op.id} relays what is not a twin`);
        if (!sameAxes(op, { ...op, axes: axes.map((a) => (a === op.from ? op.to : a)) }))
          bad(`%${op.id} relays to other axes`);
        define(op, scope);
      } else if (op.op === "scan") {
        if (!get(op.x).axes.includes(op.axis)) bad(`%${op.id} runs along an axis that is not there`);
        within(op, [op.x]);
        define(op, scope);
      } else if (isValue(op)) {
        within(op, operands(op));
        define(op, scope);
      }
    }
    return scope;
  };
  walk(program.body, new Map());
  for (const k of program.kinds ?? []) verify(k, pass);
  return program;
}

function sameAxes(a: Value, b: Value): boolean {
  return a.axes.length === b.axes.length && a.axes.every((x) => b.axes.includes(x));
}
