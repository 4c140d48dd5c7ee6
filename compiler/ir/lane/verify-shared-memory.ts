/**
 * The verifier's rules for workgroup memory and matrix units: a part of verify-lanes.ts.
 *
 * Rooms belong to programs that are a workgroup; their elements have the type they were declared with; matrices are
 * named once and used as what they are. That reads wait for writes is for the simulator to see: where lanes meet in a
 * room depends on numbers.
 */
import type { Atom, LaneProgram, LaneType, MatrixStmt, Room } from "./program.ts";
import { F32, U32 } from "./program.ts";

/** What the rest of the verifier lends. */
export interface RoomHost {
  bad(what: string): never;
  is(a: Atom, type: LaneType, what: string): void;
}

type Kind = "sum" | "left" | "right";

export class RoomChecker {
  readonly #p: LaneProgram;
  readonly #h: RoomHost;
  readonly #rooms: ReadonlyMap<string, Room>;
  readonly #matrices: Map<string, Kind> = new Map();

  constructor(program: LaneProgram, host: RoomHost) {
    this.#p = program;
    this.#h = host;
    this.#rooms = new Map((program.rooms ?? []).map((r) => [r.name, r]));
  }

  /** What can be said before the first statement. */
  shape(): void {
    const { rooms = [], matrix: m, mode, lanes } = this.#p;
    if (this.#rooms.size !== rooms.length) this.#h.bad("two rooms have one name");
    if (rooms.length > 0 && mode !== "workgroup") this.#h.bad(`rooms in a program that is one ${mode}`);
    for (const r of rooms) {
      if (!(Number.isInteger(r.elements) && r.elements > 0)) this.#h.bad(`"${r.name}" has ${r.elements} elements`);
      if (r.base === "f16" && m?.component !== "f16") this.#h.bad(`"${r.name}" is f16, and no matrix units read it`);
    }
    if (m === undefined) return;
    if (![m.M, m.N, m.K].every((n) => Number.isInteger(n) && n > 0))
      this.#h.bad(`matrices of ${m.M} x ${m.K} and ${m.K} x ${m.N}`);
    if (!(m.lanes > 0) || lanes % m.lanes !== 0) this.#h.bad(`${lanes} lanes are no subgroups of ${m.lanes}`);
  }

  #room(name: string): Room {
    return this.#rooms.get(name) ?? this.#h.bad(`there is no room "${name}"`);
  }

  /** The type of an element, or of a component of it. */
  element(name: string, index: Atom, part: Atom | undefined): LaneType {
    const r = this.#room(name);
    this.#h.is(index, U32, `an index of "${name}"`);
    if (index.kind === "const" && index.value >= r.elements)
      this.#h.bad(`the constant index ${index.value} of "${name}" is beyond its ${r.elements} elements`);
    if (part === undefined) return { base: "f32", width: r.width };
    this.#h.is(part, U32, `a component of "${name}"`);
    if (r.width === 1 || (part.kind === "const" && part.value >= r.width))
      this.#h.bad(`"${name}" has elements of ${r.width}, which have no such component`);
    return F32;
  }

  read(name: string, index: Atom, part: Atom | undefined): LaneType {
    if (this.#room(name).base !== "f32") this.#h.bad(`lanes read "${name}", which is for matrix units`);
    return this.element(name, index, part);
  }

  barrier(): void {
    if (this.#p.mode !== "workgroup") this.#h.bad(`a barrier in a program that is one ${this.#p.mode}`);
  }

  matrix(s: MatrixStmt): void {
    const m = this.#p.matrix ?? this.#h.bad(`"${s.op}" in a program without matrix units`);
    if (s.op === "matrix" || s.op === "fetch") {
      if (this.#matrices.has(s.name)) this.#h.bad(`${s.name} is defined twice`);
      this.#matrices.set(s.name, s.op === "matrix" ? "sum" : s.side);
    }
    if (s.op === "multiply") {
      for (const [name, kind] of [
        [s.name, "sum"],
        [s.left, "left"],
        [s.right, "right"],
      ] as const)
        this.#kind(name, kind);
      return;
    }
    if (s.op === "matrix") return;
    const r = this.#room(s.room);
    this.#h.is(s.index, U32, `the place of ${s.name} in "${s.room}"`);
    const base = s.op === "fetch" ? m.component : "f32";
    if (r.base !== base) this.#h.bad(`"${s.room}" is an array of ${r.base}, and ${s.name} is made of ${base}`);
    const [rows, columns] = s.op === "spill" ? [m.M, m.N] : s.side === "left" ? [m.M, m.K] : [m.K, m.N];
    const line = s.op === "fetch" && s.columns ? rows : columns;
    if (s.stride * r.width < line) this.#h.bad(`lines of ${line} numbers of ${s.name} lie ${s.stride * r.width} apart`);
    if (s.op === "spill") this.#kind(s.name, "sum");
  }

  #kind(name: string, kind: Kind): void {
    const found = this.#matrices.get(name) ?? this.#h.bad(`there is no matrix ${name}`);
    if (found !== kind) this.#h.bad(`${name} is the ${found} of a product, used as its ${kind}`);
  }
}
