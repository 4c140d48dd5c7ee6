/**
 * Addresses in matrices that lie in panels: [rows / panel, pieces of a row, panel, piece], where a piece is 16 bytes
 * (what the order is good for: runtime/memory/panels.ts).
 *
 * Everything else about a load stays as it is. A run of a lane that is longer than a piece goes on a panel further.
 */
import type { Emitter } from "../../ir/lane/emitter.ts";
import type { Atom } from "../../ir/lane/program.ts";
import { constant, U32 } from "../../ir/lane/program.ts";

/** How one tensor lies. Counts are in elements. */
export interface Panel {
  readonly rows: number;
  readonly piece: number;
  readonly width: number;
}

/** The address of an element from its row, leading dims taken together, and its column. Both may be vectors. */
export function inPanel(e: Emitter, { rows, piece, width }: Panel, row: Atom, column: Atom): Atom {
  const [bits, within] = [Math.log2(rows), Math.log2(piece)];
  const panel = e.binary("mul", e.shift(row, bits), constant(rows * width, U32));
  const own = e.binary("mul", e.low(row, bits), constant(piece, U32));
  // Pieces before the column's are rows · piece apart; what is left of the column lies in its own piece.
  const pieces = e.binary("mul", e.shift(column, within), constant(rows * piece, U32));
  return e.binary("add", e.binary("add", e.binary("add", panel, own), pieces), e.low(column, within));
}

/**
 * How far the element at `at` of a lane's run lies from its start, which begins a piece unless the run is shorter than
 * one.
 */
export function alongRun(panel: Panel | undefined, at: number): number {
  if (panel === undefined) return at;
  return Math.floor(at / panel.piece) * panel.piece * panel.rows + (at % panel.piece);
}
