/**
 * Which accesses of a kernel may come in another order than they are written in.
 *
 * Programs run in any order and lanes of one program do not wait for each other, so what happens to one element is in
 * order only where one lane does all of it. A lane keeps to its own elements where two accesses can only touch the same
 * element at the same place along every axis (places.ts); whatever schedule is chosen, that place belongs to one lane.
 * A store may also follow other lanes' loads where what it depends on is made of all of them. The rest is refused: it
 * would be right on one adapter and wrong on another.
 */

import { Located, shortName } from "../../host/diagnostics.ts";
import type { Span } from "../../host/source-text.ts";
import type { Branch, Loop, Op, TileProgram } from "../../ir/tile/program.ts";
import { operands } from "../../ir/tile/program.ts";
import { Definitions } from "../../passes/analysis/induction.ts";
import { type Meeting, Places, turnOf } from "./overlap.ts";
import { type Polynomial, quantitiesOf, textOf } from "./polynomials.ts";
import { Waits } from "./waits.ts";

type Load = Op & { op: "load" };
type Store = Op & { op: "store" };

/** A load or store, and what is around it. */
interface Access<T extends Load | Store = Load | Store> {
  readonly op: T;
  readonly index: readonly Polynomial[];
  readonly loops: readonly Loop[];
  /** Branches around it, and whether it is on the side of `yes`. */
  readonly branches: readonly { readonly branch: Branch; readonly yes: boolean; readonly depth: number }[];
  readonly number: number;
}

/** Returns the program unchanged, or throws TS-220 at the access whose order is not kept. */
export function checkOrder(program: TileProgram): TileProgram {
  const order = new Order(program);
  order.betweenPrograms();
  order.writtenBetween();
  order.readBack();
  order.readAcross();
  order.written();
  return program;
}

class Order {
  readonly #p: TileProgram;
  readonly #d: Definitions;
  readonly #places: Places;
  readonly #waits: Waits;
  readonly #loads: Access<Load>[] = [];
  readonly #stores: Access<Store>[] = [];

  constructor(program: TileProgram) {
    this.#p = program;
    this.#d = new Definitions(program);
    this.#places = new Places(program, this.#d);
    this.#waits = new Waits(program, this.#d);
    this.#collect(program.body, [], []);
  }

  #collect(ops: readonly Op[], loops: Access["loops"], branches: Access["branches"]): void {
    for (const op of ops) {
      if (op.op === "loop") this.#collect(op.body, [...loops, op], branches);
      if (op.op === "if")
        for (const yes of [true, false])
          this.#collect(yes ? op.yes : op.no, loops, [...branches, { branch: op, yes, depth: loops.length }]);
      if (op.op !== "load" && op.op !== "store") continue;
      const number = this.#loads.length + this.#stores.length;
      const around = { index: op.index.map((i) => this.#places.of(i)), loops, branches, number };
      if (op.op === "load") this.#loads.push({ op, ...around });
      else this.#stores.push({ op, ...around });
    }
  }

  /** Loads and stores of one tensor, in the order of the loads. */
  *#pairs(): Iterable<readonly [Access<Load>, Access<Store>]> {
    for (const l of this.#loads) for (const s of this.#stores) if (l.op.param === s.op.param) yield [l, s];
  }

  /** What one program reads, no other may write. */
  betweenPrograms(): void {
    for (const [l, s] of this.#pairs()) {
      const shared = this.#sharedDim(l, s);
      if (shared === undefined) continue;
      refuse(
        l.op.span,
        `"${l.op.param}" is read here and written by other programs of the grid ("${shared}") ${at(s.op.span)}`,
        "programs run in any order: write to another tensor, or index both by the program's own place",
      );
    }
  }

  /** What one program writes in one way, no other may write in another: which of them comes last is open. */
  writtenBetween(): void {
    for (const [n, one] of this.#stores.entries()) {
      for (const other of this.#stores.slice(n + 1)) {
        if (one.op.param !== other.op.param) continue;
        const alike = one.op.combine === other.op.combine;
        // One scatter in two statements, as in `written`.
        if (alike && (one.op.combine !== undefined || sameIndex(one, other))) continue;
        const shared = this.#sharedDim(one, other);
        if (shared === undefined) continue;
        refuse(
          other.op.span,
          `"${other.op.param}" is written here and by other programs of the grid ("${shared}") ${at(one.op.span)}`,
          alike
            ? "programs run in any order: index both by the program's own place, or write to another tensor"
            : ATOMIC,
        );
      }
    }
  }

  /** A dim of the grid in which two programs that are apart may both touch one element with these accesses. */
  #sharedDim(one: Access, other: Access): string | undefined {
    const { never, same } = this.#places.meet(one.index, other.index, () => false);
    if (never) return undefined;
    return this.#p.grid.find((g) => {
      const place = g.axis === undefined ? `program:${g.dim}` : `axis:${g.axis}`;
      return !same.has(place) && !promised(one, other, place);
    })?.dim;
  }

  /** What a program has written, it may not read. */
  readBack(): void {
    const after = (ops: readonly Op[], before: readonly Access<Store>[]): Access<Store>[] => {
      let seen = [...before];
      for (const op of ops) {
        if (op.op === "store") seen.push(...this.#stores.filter((s) => s.op === op));
        else if (op.op === "if") seen = [...new Set([...after(op.yes, seen), ...after(op.no, seen)])];
        else if (op.op === "loop") {
          seen = after(op.body, seen);
          this.#earlierTurns(op);
        } else if (op.op === "load") {
          const l = this.#loads.find((x) => x.op === op);
          const s = seen.find((x) => x.op.param === op.param && l !== undefined && !this.#within(l, x).never);
          if (s !== undefined)
            refuse(op.span, `"${op.param}" is read here and written before that, ${at(s.op.span)}`, AGAIN);
        }
      }
      return seen;
    };
    after(this.#p.body, []);
  }

  /**
   * What an earlier turn of a loop has written, a later one may read only where it belongs to the same lane and the
   * indices say that turns differ.
   */
  #earlierTurns(loop: Loop): void {
    for (const [l, s] of this.#pairs()) {
      if (!l.loops.includes(loop) || !s.loops.includes(loop)) continue;
      const meeting = this.#within(l, s);
      if (meeting.never || meeting.same.has(turnOf(loop))) continue;
      const turning = l.index.some(
        (p, i) => textOf(p) === textOf(s.index[i] ?? p) && this.#depends(l.op.index[i] ?? -1, loop.index.id),
      );
      if (turning && this.#ownLane(l, s, meeting)) continue;
      refuse(
        l.op.span,
        `"${l.op.param}" is read here and written in an earlier turn of the loop, too, ${at(s.op.span)}`,
        AGAIN,
      );
    }
  }

  /** What other lanes have yet to read, no lane may write. */
  readAcross(): void {
    for (const [l, s] of this.#pairs()) {
      const later = s.number > l.number || l.loops.some((x) => s.loops.includes(x));
      if (!later || exclusive(l, s)) continue;
      const meeting = this.#within(l, s);
      if (meeting.never || this.#ownLane(l, s, meeting)) continue;
      const apart = this.#axes(l).filter((a) => !meeting.same.has(`axis:${a}`));
      if (this.#waits.for(s.op, l.op, new Set(apart))) continue;
      refuse(
        l.op.span,
        `"${l.op.param}" is read here and written ${at(s.op.span)}, where one lane may write what another has yet to read`,
        ACROSS,
      );
    }
  }

  /** What two lanes write to one element would stay as it comes. */
  written(): void {
    for (const [n, one] of this.#stores.entries()) {
      for (const other of this.#stores.slice(n)) {
        if (one.op.param !== other.op.param || this.#ordered(one, other)) continue;
        const where = one === other ? "in several turns of the loop" : `and ${at(one.op.span)}`;
        refuse(
          other.op.span,
          `"${other.op.param}" is written here ${where}, where two lanes may write one element`,
          one.op.combine === undefined && other.op.combine === undefined ? ACROSS : ATOMIC,
        );
      }
    }
  }

  #ordered(one: Access<Store>, other: Access<Store>): boolean {
    if (one.op.combine !== undefined && one.op.combine === other.op.combine) return true;
    if (exclusive(one, other)) return true;
    const meeting = this.#within(one, other);
    if (meeting.never || this.#ownLane(one, other, meeting)) return true;
    // Whoever scatters says that no two elements go to one place, or that it does not matter which of them stays.
    if (one !== other) return one.op.combine === undefined && other.op.combine === undefined && sameIndex(one, other);
    const quantities = one.index.flatMap(quantitiesOf);
    return quantities.some((q) => q.data) || !quantities.some((q) => [...q.varies].some((v) => v.startsWith("turn:")));
  }

  /** What two accesses of one program have in common when they touch one element. */
  #within(one: Access, other: Access): Meeting {
    return this.#places.meet(one.index, other.index, (v) => v.startsWith("program:") || v.startsWith("block:"));
  }

  /** Is an element that both touch at the same place along all their axes? What has no axis, the first lane does. */
  #ownLane(one: Access, other: Access, { same }: Meeting): boolean {
    return [...this.#axes(one), ...this.#axes(other)].every((a) => same.has(`axis:${a}`));
  }

  #axes(access: Access): number[] {
    return [...new Set(access.op.index.flatMap((i) => this.#d.axesOf(i)))];
  }

  #depends(id: number, on: number): boolean {
    const op = this.#d.ops.get(id);
    return id === on || (op !== undefined && operands(op).some((x) => this.#depends(x, on)));
  }
}

/**
 * Do both go by the same element of some tensor at this place of the grid? That no two programs do is the kernel's
 * promise.
 */
function promised(l: Access, s: Access, place: string): boolean {
  return l.index.some(
    (p, i) =>
      textOf(p) === textOf(s.index[i] ?? new Map()) && quantitiesOf(p).some((q) => q.data && q.varies.has(place)),
  );
}

function sameIndex(one: Access, other: Access): boolean {
  return one.index.every((p, i) => textOf(p) === textOf(other.index[i] ?? p));
}

/** Do they stand on different sides of a branch that is taken once? */
function exclusive(one: Access, other: Access): boolean {
  return one.branches.some((a) =>
    other.branches.some((b) => a.branch === b.branch && a.yes !== b.yes && a.depth === 0),
  );
}

function at(span: Span): string {
  return `at ${shortName(span.file)}:${span.line}:${span.column}`;
}

function refuse(span: Span, message: string, help: string): never {
  throw new Located({ code: "TS-220", message, span, help });
}

const AGAIN =
  "lanes do not wait for each other: keep the value in a variable, write to another tensor, or make it two kernels";
const ACROSS =
  "lanes do not wait for each other: index both alike, so that each lane keeps to its own elements, write to another tensor, or make it two kernels";
const ATOMIC = "only updates of one kind may meet in an element: update another tensor, or make it two kernels";
