/**
 * Workgroup memory and matrix units of the lane simulator.
 *
 * Between two barriers nothing orders what lanes do to a room, so what one of them writes there, no other may read or
 * write before the next barrier, and what one has read, no other may overwrite. Matrix operations count as done by a
 * subgroup at once, which is nobody in particular. Their products are plain ones: operands as the room holds them, sums
 * in f32.
 */
import type { Atom, LaneProgram, MatrixStmt, Room } from "../../ir/lane/program.ts";
import { encode } from "../round.ts";

/** Refuses what no adapter promises. */
type Bad = (what: string, lane?: number) => never;

/** Several lanes, or a subgroup. */
const MANY = -2;
const NOBODY = -1;

class SimulatedRoom {
  readonly room: Room;
  readonly #values: Float64Array;
  readonly #writer: Int32Array;
  readonly #reader: Int32Array;
  readonly #written: Float64Array;
  readonly #read: Float64Array;

  constructor(room: Room) {
    this.room = room;
    const n = room.elements * room.width;
    this.#values = new Float64Array(n);
    [this.#writer, this.#reader] = [new Int32Array(n), new Int32Array(n)];
    [this.#written, this.#read] = [new Float64Array(n), new Float64Array(n)];
    this.clear();
  }

  /** As a program finds it: nothing defines what is in it. */
  clear(): void {
    this.#values.fill(Number.NaN);
    for (const x of [this.#written, this.#read]) x.fill(-1);
  }

  read(me: number, at: number, time: number, bad: Bad): number {
    const lane = me >= 0 ? me : undefined;
    if (!(at < this.#values.length)) bad(`reads component ${at} of "${this.room.name}"${this.#size()}`, lane);
    const writer = this.#written[at] === time ? (this.#writer[at] as number) : NOBODY;
    if (writer !== NOBODY && (writer !== me || me === MANY))
      bad(`reads "${this.room.name}"[${at}], which ${who(writer)} has written since the last barrier`, lane);
    const before = this.#read[at] === time ? (this.#reader[at] as number) : me;
    this.#reader[at] = before === me ? me : MANY;
    this.#read[at] = time;
    return this.#values[at] as number;
  }

  write(me: number, at: number, value: number, time: number, bad: Bad): void {
    const lane = me >= 0 ? me : undefined;
    if (!(at < this.#values.length)) bad(`writes component ${at} of "${this.room.name}"${this.#size()}`, lane);
    for (const [times, whose, what] of [
      [this.#written, this.#writer, "written"],
      [this.#read, this.#reader, "read"],
    ] as const) {
      const other = times[at] === time ? (whose[at] as number) : me;
      if (other !== me || (other === MANY && times[at] === time))
        bad(`writes "${this.room.name}"[${at}], which ${who(other)} has ${what} since the last barrier`, lane);
    }
    this.#writer[at] = me;
    this.#written[at] = time;
    this.#values[at] = this.room.base === "f16" ? encode(value, "f16") : value;
  }

  #size(): string {
    return `, which has ${this.#values.length}`;
  }
}

function who(lane: number): string {
  return lane === MANY ? "a subgroup, or more than one lane," : `lane ${lane}`;
}

/** The rooms and matrices of one workgroup. */
export class Rooms {
  readonly #p: LaneProgram;
  readonly #bad: Bad;
  readonly #rooms: ReadonlyMap<string, SimulatedRoom>;
  /** Name -> the matrix of each subgroup. */
  readonly #matrices: Map<string, Float64Array[]> = new Map();
  /** Barriers so far. */
  #time = 0;

  constructor(program: LaneProgram, bad: Bad) {
    this.#p = program;
    this.#bad = bad;
    this.#rooms = new Map((program.rooms ?? []).map((r) => [r.name, new SimulatedRoom(r)]));
  }

  /** The next workgroup. */
  clear(): void {
    this.#time = 0;
    for (const r of this.#rooms.values()) r.clear();
  }

  barrier(active: readonly number[]): void {
    if (active.length < this.#p.lanes) this.#bad(`a barrier is reached by ${active.length} of ${this.#p.lanes} lanes`);
    this.#time++;
  }

  #room(name: string): SimulatedRoom {
    return this.#rooms.get(name) ?? this.#bad(`there is no room "${name}"`);
  }

  read(name: string, lane: number, index: number, part: number): number {
    const r = this.#room(name);
    if (Number.isNaN(index)) this.#bad(`reads an element of "${name}" that nothing defines`, lane);
    return r.read(lane, index * r.room.width + part, this.#time, this.#bad);
  }

  write(name: string, lane: number, index: number, part: number, value: number): void {
    const r = this.#room(name);
    if (Number.isNaN(index)) this.#bad(`writes an element of "${name}" that nothing defines`, lane);
    r.write(lane, index * r.room.width + part, value, this.#time, this.#bad);
  }

  /** A matrix operation of all subgroups; `operand` gives what each lane holds. */
  matrix(s: MatrixStmt, active: readonly number[], operand: (a: Atom) => Float64Array): void {
    const m = this.#p.matrix ?? this.#bad(`"${s.op}" without matrix units`);
    if (active.length < this.#p.lanes) this.#bad(`"${s.op}" is reached by ${active.length} of ${this.#p.lanes} lanes`);
    const groups = Array.from({ length: this.#p.lanes / m.lanes }, (_, g) => g);
    const named = (name: string, group: number): Float64Array =>
      this.#matrices.get(name)?.[group] ?? this.#bad(`there is no matrix ${name}`);
    const start = (a: Atom, group: number): number => {
      const cells = operand(a).subarray(group * m.lanes, (group + 1) * m.lanes);
      const first = cells[0] as number;
      const other = cells.findIndex((x) => x !== first);
      if (other >= 0) this.#bad(`lanes of a subgroup name different places of a matrix`, group * m.lanes + other);
      return first;
    };
    switch (s.op) {
      case "matrix":
        this.#matrices.set(
          s.name,
          groups.map(() => new Float64Array(m.M * m.N)),
        );
        return;
      case "fetch": {
        const r = this.#room(s.room);
        const [rows, columns] = s.side === "left" ? [m.M, m.K] : [m.K, m.N];
        const made = groups.map((g) => {
          const first = start(s.index, g);
          return Float64Array.from({ length: rows * columns }, (_, n) => {
            const [row, column] = [Math.floor(n / columns), n % columns];
            const [line, within] = s.columns ? [column, row] : [row, column];
            return r.read(MANY, (first + line * s.stride) * r.room.width + within, this.#time, this.#bad);
          });
        });
        this.#matrices.set(s.name, made);
        return;
      }
      case "multiply":
        for (const g of groups) {
          const [a, b, sum] = [named(s.left, g), named(s.right, g), named(s.name, g)];
          for (let row = 0; row < m.M; row++)
            for (let column = 0; column < m.N; column++) {
              let x = sum[row * m.N + column] as number;
              for (let k = 0; k < m.K; k++)
                x = Math.fround(x + (a[row * m.K + k] as number) * (b[k * m.N + column] as number));
              sum[row * m.N + column] = x;
            }
        }
        return;
      case "spill": {
        const r = this.#room(s.room);
        for (const g of groups) {
          const [first, values] = [start(s.index, g), named(s.name, g)];
          for (const [n, x] of values.entries()) {
            const line = (first + Math.floor(n / m.N) * s.stride) * r.room.width;
            r.write(MANY, line + (n % m.N), x, this.#time, this.#bad);
          }
        }
      }
    }
  }
}
