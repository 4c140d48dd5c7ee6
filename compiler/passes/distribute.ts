/**
 * Dealing: what every lane would compute alike is shared out among the lanes, and handed around where a lane's own work
 * needs it.
 *
 * A value without a spread axis is the same in all lanes. Along one of its axes, chosen by the schedule, its elements
 * can be dealt out instead: the axis gets a *twin* that is spread, the value and all it is made of (loads, norms,
 * scales) are computed along the twin, and a `relay` brings the elements back under the old axis for those who need all
 * of them. So x is read and scaled once a subgroup, not once a lane, and a sum along the twin becomes a partial sum
 * like any other. Lowering makes relayed registers one at a time, when they are asked for, so a relay that nobody needs
 * costs nothing.
 */
import type { Carried, Loop, Op, Specialised, Value } from "../ir/tile/program.ts";
import { isValue, operands } from "../ir/tile/program.ts";
import { everyOp, highest } from "../ir/tile/traverse.ts";

/** The program with a twin of `axis` and all that can be dealt computed along it, and the number of the twin. */
export function deal(
  program: Specialised,
  axis: number,
  spread: (axis: number) => boolean,
): { program: Specialised; twin: number } {
  const twin = program.axes.length;
  const own = program.axes[axis];
  if (own === undefined) throw new Error(`kernel ${program.name}: there is no axis ${axis} to deal`);
  const dealt = dealable(program, axis, spread);
  const body = new Dealer(program, axis, twin, dealt, spread).walk(program.body);
  return { program: { ...program, axes: [...program.axes, { ...own, id: twin, twin: axis }], body }, twin };
}

/** Ids of the values that can be computed along the twin: those along the axis and no spread one, made only of such. */
function dealable(program: Specialised, axis: number, spread: (axis: number) => boolean): ReadonlySet<number> {
  const written = new Set(program.params.flatMap((p) => (p.kind === "tensor" && p.writes ? [p.name] : [])));
  const along = (v: Value): boolean => v.axes.includes(axis) && !v.axes.some(spread);
  const axes = new Map<number, readonly number[]>();
  const note = (v: Value): void => void axes.set(v.id, v.axes);
  const set = new Set<number>();
  const consider = (v: Value): void => {
    note(v);
    if (along(v)) set.add(v.id);
  };
  everyOp(program.body, (op) => {
    if (isValue(op)) {
      consider(op);
      if (op.op === "load" && written.has(op.param)) set.delete(op.id);
      if (op.op === "scan" && op.axis === axis) set.delete(op.id);
    }
    if (op.op === "loop") {
      note(op.index);
      if (op.axis === axis) set.add(op.index.id);
      for (const c of op.carried) for (const v of [c.inside, c.after]) consider(v);
    }
    if (op.op === "if") for (const m of op.merged) consider(m.after);
  });
  const fits = (id: number): boolean => set.has(id) || !(axes.get(id) ?? []).includes(axis);
  for (let before = -1; before !== set.size; ) {
    before = set.size;
    everyOp(program.body, (op) => {
      if (isValue(op) && !operands(op).every(fits)) set.delete(op.id);
      if (op.op === "loop") {
        for (const c of op.carried) {
          if (set.has(c.inside.id) && set.has(c.after.id) && fits(c.init) && fits(c.next)) continue;
          for (const v of [c.inside, c.after]) set.delete(v.id);
        }
      }
      if (op.op === "if") for (const m of op.merged) if (!fits(m.yes) || !fits(m.no)) set.delete(m.after.id);
    });
  }
  return set;
}

class Dealer {
  readonly #axis: number;
  readonly #twin: number;
  readonly #dealt: ReadonlySet<number>;
  readonly #spread: (axis: number) => boolean;
  /** Value -> the same value along the twin. */
  readonly #twins: Map<number, number> = new Map();
  /** Values that come from no memory, which are cheaper made again than handed around. */
  readonly #plain: Set<number> = new Set();
  readonly #axes: Map<number, readonly number[]> = new Map();
  /**
   * Tensors that are touched in one place only. What happens in several places to one element, one lane does, in order.
   */
  readonly #once: ReadonlySet<string>;
  #next: number;

  constructor(
    program: Specialised,
    axis: number,
    twin: number,
    dealt: ReadonlySet<number>,
    spread: (axis: number) => boolean,
  ) {
    this.#axis = axis;
    this.#twin = twin;
    this.#dealt = dealt;
    this.#spread = spread;
    this.#next = 1 + highest(program.body);
    const places = new Map<string, number>();
    everyOp(program.body, (op) => {
      if (op.op === "load" || op.op === "store") places.set(op.param, (places.get(op.param) ?? 0) + 1);
    });
    this.#once = new Set([...places].flatMap(([name, n]) => (n === 1 ? [name] : [])));
  }

  walk(ops: readonly Op[]): Op[] {
    return ops.flatMap((op) => this.#op(op));
  }

  /** The same value along the twin, under a new name. */
  #along<V extends Value>(v: V): V {
    const id = this.#next++;
    this.#twins.set(v.id, id);
    return { ...v, id, axes: this.#moved(v.axes) };
  }

  #moved(axes: readonly number[]): readonly number[] {
    return axes.map((a) => (a === this.#axis ? this.#twin : a));
  }

  #twinOf(id: number): number {
    return this.#twins.get(id) ?? id;
  }

  #relay(v: Value): Op {
    const { id, type, axes, span } = v;
    return { op: "relay", id, type, axes, span, x: this.#twinOf(id), from: this.#twin, to: this.#axis };
  }

  #op(op: Op): Op[] {
    if (isValue(op)) this.#axes.set(op.id, op.axes);
    if (op.op === "loop") return [this.#loop(op), ...this.#after(op.carried.map((c) => c.after))];
    if (op.op === "if") return this.#branch(op);
    if (op.op === "store") return [this.#store(op)];
    const reduced = (op.op === "reduce" || op.op === "fold") && op.axis === this.#axis && this.#dealt.has(op.x);
    if (reduced) return [{ ...op, x: this.#twinOf(op.x), axis: this.#twin }];
    if (!isValue(op) || !this.#dealt.has(op.id)) {
      if (isValue(op) && this.#isPlain(op)) this.#plain.add(op.id);
      return [op];
    }
    const moved = this.#swap(this.#along(op));
    if (this.#isPlain(op)) {
      this.#plain.add(op.id);
      return [op, moved];
    }
    return [moved, this.#relay(op)];
  }

  /** Does this come from no memory, and from nothing that does? */
  #isPlain(op: Op): boolean {
    return op.op !== "load" && operands(op).every((x) => this.#plain.has(x));
  }

  /** An operation on what its operands are along the twin. */
  #swap(op: Op): Op {
    const t = (id: number): number => this.#twinOf(id);
    switch (op.op) {
      case "iota":
        return { ...op, axis: this.#twin };
      case "binary":
        return { ...op, a: t(op.a), b: t(op.b) };
      case "select":
        return { ...op, cond: t(op.cond), yes: t(op.yes), no: t(op.no) };
      case "load":
        return { ...op, index: op.index.map(t) };
      case "unary":
      case "cast":
      case "bitcast":
      case "splat":
      case "reduce":
      case "fold":
      case "scan":
        return { ...op, x: t(op.x) };
      default:
        return op;
    }
  }

  /** What a loop or a branch leaves along the twin, for those who need all of it. */
  #after(values: readonly Value[]): Op[] {
    return values.filter((v) => this.#dealt.has(v.id)).map((v) => this.#relay(v));
  }

  #loop(op: Loop): Loop {
    this.#axes.set(op.index.id, op.index.axes);
    this.#plain.add(op.index.id);
    const twin = op.axis === this.#axis ? { axis: this.#twin, index: this.#along(op.index) } : undefined;
    const inside: Op[] = [];
    const carried = op.carried.map((c): Carried => {
      for (const v of [c.inside, c.after]) this.#axes.set(v.id, v.axes);
      if (!this.#dealt.has(c.inside.id)) return c;
      const moved = { ...c, init: this.#twinOf(c.init), inside: this.#along(c.inside), after: this.#along(c.after) };
      inside.push(this.#relay(c.inside));
      return moved;
    });
    const body = [...inside, ...this.walk(op.body)];
    return {
      ...op,
      ...(twin === undefined ? {} : { twin }),
      carried: carried.map((c, i) =>
        this.#dealt.has(op.carried[i]?.inside.id ?? -1) ? { ...c, next: this.#twinOf(c.next) } : c,
      ),
      body,
    };
  }

  #branch(op: Op & { op: "if" }): Op[] {
    const [yes, no] = [this.walk(op.yes), this.walk(op.no)];
    const merged = op.merged.map((m) =>
      this.#dealt.has(m.after.id)
        ? { ...m, yes: this.#twinOf(m.yes), no: this.#twinOf(m.no), after: this.#along(m.after) }
        : m,
    );
    return [{ ...op, yes, no, merged }, ...this.#after(op.merged.map((m) => m.after))];
  }

  /** A tile that no spread axis meets is stored by the lanes that hold it, instead of all of it by the first. */
  #store(op: Op & { op: "store" }): Op {
    if (!this.#once.has(op.param)) return op;
    const ids = [...op.index, op.value];
    const axes = ids.flatMap((id) => this.#axes.get(id) ?? []);
    const along = ids.filter((id) => (this.#axes.get(id) ?? []).includes(this.#axis));
    if (along.length === 0 || axes.some(this.#spread) || !along.every((id) => this.#dealt.has(id))) return op;
    return { ...op, index: op.index.map((id) => this.#twinOf(id)), value: this.#twinOf(op.value) };
  }
}
