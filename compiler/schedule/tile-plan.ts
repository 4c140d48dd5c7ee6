/**
 * What a kernel of matrix products looks like once it goes through workgroup memory: the product of tiles.ts, which
 * tile-loop.ts carries out.
 */
import type { MatrixUnits, Room } from "../ir/lane/program.ts";
import type { AxisLayout } from "./layout.ts";

/**
 * How the lanes of a workgroup compute a tile together before they put it into a room: a layout for i or j and one for
 * k.
 */
export interface Staging {
  /** Id of the axis i or j. */
  readonly axis: number;
  /** Id of the reduced axis. */
  readonly k: number;
  /** Layouts of both, by the id of the axis. */
  readonly layouts: ReadonlyMap<number, AxisLayout>;
  /** Lanes with work; those behind them do what others do and must not write. */
  readonly lanes: number;
}

/** One side of a product: computed once a turn by all lanes together, read by many. */
export interface Operand extends Staging {
  /** Ids of the values that are multiplied before they lie in the room. */
  readonly factors: readonly number[];
  /** What lies side by side in the room: elements of k, or of the operand's own axis. */
  readonly along: "k" | "own";
  /** Where it lies, in workgroup memory. */
  readonly room: Room;
  /** Room elements from one line to the next. */
  readonly stride: number;
}

/** A sum of lines: each lane adds up what it computes, and the lanes meet after the loop. */
export interface TileSum extends Staging {
  /** Id of the reduction. */
  readonly reduce: number;
  /** Id of the value that is added up. */
  readonly x: number;
  /** Where the lanes' parts meet, in workgroup memory. */
  readonly room: Room;
}

/** One loop over the reduced dim, a tile at a time. */
export interface TileLoop {
  /** The loop's index value. */
  readonly index: number;
  /** Id of the reduced axis. */
  readonly k: number;
  /** Elements of k in one turn. */
  readonly depth: number;
  /** Tiles that a turn loads. */
  readonly operands: readonly Operand[];
  /** `left` and `right` count operands. */
  readonly products: readonly { readonly reduce: number; readonly left: number; readonly right: number }[];
  /** Sums of lines that are taken along. */
  readonly sums: readonly TileSum[];
  /** Ids of the reductions that are added up, for each variable that the loop carries. */
  readonly carried: readonly (readonly number[])[];
}

/** How the subgroups of a workgroup share a tile of rows x columns among their matrix units. */
export interface MatrixPlan extends MatrixUnits {
  /** Subgroups along i. */
  readonly down: number;
  /** Subgroups along j. */
  readonly across: number;
  /** Matrices of one subgroup along i. */
  readonly rows: number;
  /** Matrices of one subgroup along j. */
  readonly columns: number;
  /** Lanes of a subgroup along i when its results are elements again. */
  readonly rowLanes: number;
  /** Lanes of a subgroup along j then. */
  readonly columnLanes: number;
  /** One matrix for each subgroup. */
  readonly patch: Room;
}

/** A kernel of matrix products [i, k] · [k, j] with operands in workgroup memory. */
export interface TilePlan {
  /** Id of the axis of rows. */
  readonly i: number;
  /** Id of the axis of columns. */
  readonly j: number;
  /** Its loops, in the order of the source. */
  readonly loops: readonly TileLoop[];
  /** Arrays of workgroup memory that they use together. */
  readonly rooms: readonly Room[];
  /** 2: what a turn needs is loaded while the one before it multiplies. */
  readonly stages: 1 | 2;
  /** Set where the subgroups' matrix units multiply. */
  readonly matrix?: MatrixPlan;
}

/** Bytes of a room. */
export function roomBytes(r: Room): number {
  return r.elements * r.width * (r.base === "f16" ? 2 : 4);
}
