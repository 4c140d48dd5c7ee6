/**
 * What a kernel of matrix products looks like once it goes through workgroup memory: the product of tiles.ts, which tile-loop.ts carries out.
 */
import type { MatrixUnits, Room } from "../ir/lane/program.ts";
import type { AxisLayout } from "./layout.ts";

/** How the lanes of a workgroup compute a tile together before they put it into a room: a layout for i or j and one for k. */
export interface Staging {
  readonly axis: number;
  readonly k: number;
  readonly layouts: ReadonlyMap<number, AxisLayout>;
  /** Lanes with work; those behind them do what others do and must not write. */
  readonly lanes: number;
}

/** One side of a product: computed once a turn by all lanes together, read by many. */
export interface Operand extends Staging {
  readonly factors: readonly number[];
  /** What lies side by side in the room: elements of k, or of the operand's own axis. */
  readonly along: "k" | "own";
  readonly room: Room;
  /** Room elements from one line to the next. */
  readonly stride: number;
}

/** A sum of lines: each lane adds up what it computes, and the lanes meet after the loop. */
export interface TileSum extends Staging {
  readonly reduce: number;
  readonly x: number;
  readonly room: Room;
}

export interface TileLoop {
  /** The loop's index value. */
  readonly index: number;
  readonly k: number;
  /** Elements of k in one turn. */
  readonly depth: number;
  readonly operands: readonly Operand[];
  /** `left` and `right` count operands. */
  readonly products: readonly { readonly reduce: number; readonly left: number; readonly right: number }[];
  readonly sums: readonly TileSum[];
  readonly carried: readonly (readonly number[])[];
}

/** How the subgroups of a workgroup share a tile of rows x columns among their matrix units. */
export interface MatrixPlan extends MatrixUnits {
  /** Subgroups along i and j. */
  readonly down: number;
  readonly across: number;
  /** Matrices of one subgroup along i and j. */
  readonly rows: number;
  readonly columns: number;
  /** Lanes of a subgroup along i and j when its results are elements again. */
  readonly rowLanes: number;
  readonly columnLanes: number;
  /** One matrix for each subgroup. */
  readonly patch: Room;
}

export interface TilePlan {
  readonly i: number;
  readonly j: number;
  readonly loops: readonly TileLoop[];
  readonly rooms: readonly Room[];
  /** 2: what a turn needs is loaded while the one before it multiplies. */
  readonly stages: 1 | 2;
  readonly matrix?: MatrixPlan;
}

/** Bytes of a room. */
export function roomBytes(r: Room): number {
  return r.elements * r.width * (r.base === "f16" ? 2 : 4);
}
