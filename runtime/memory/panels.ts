/**
 * Matrices in panels: pieces of 16 bytes of neighbouring rows lie side by side, as in the packed panels of matrix
 * libraries on CPUs.
 *
 * Row by row, lanes that own rows read as many streams of memory as there are rows. In panels of so many rows they read
 * one: [rows / panel, pieces of a row, panel, piece]. Only the order in memory differs: shape, indices and numbers are
 * those of the matrix.
 */
import { formatOf, inBlocks } from "../../compiler/ir/formats.ts";
import { bytesOf, DTYPES, type DType } from "./dtype.ts";

/** Bytes that stay together. */
const PIECE_BYTES = 16;
const WORDS = 4;

/** Real numbers that each stand for themselves: what shares a scale has it elsewhere. */
function goesInPanels(dtype: DType): boolean {
  return formatOf(dtype).value === "f32" && !inBlocks(dtype);
}

const POSSIBLE: readonly DType[] = DTYPES.filter(goesInPanels);

/** What is wrong with panels of this many rows for such a tensor; undefined where nothing is. */
export function panelProblem(shape: readonly number[], dtype: DType, panel: number): string | undefined {
  const width = shape.at(-1) ?? 0;
  const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1);
  if (!Number.isInteger(Math.log2(panel)) || panel > 64) return `panels have 1, 2, 4, … or 64 rows, got ${panel}`;
  if (!goesInPanels(dtype)) return `only ${POSSIBLE.join(", ").replace(/, (?=\w+$)/, " and ")} can lie in panels`;
  if (shape.length < 2 || rows % panel !== 0) return `panels of ${panel} rows do not divide ${rows} rows`;
  return (width * bytesOf(dtype)) % PIECE_BYTES === 0 ? undefined : `rows of panels are multiples of 16 bytes`;
}

/** Rows of `rowBytes` in panels. The bytes are those of whole panels. */
export function intoPanels(bytes: Uint8Array, rowBytes: number, panel: number): Uint8Array<ArrayBuffer> {
  return reordered(bytes, rowBytes, panel, true);
}

/** Rows of `rowBytes` in order, from the bytes of whole panels. */
export function fromPanels(bytes: Uint8Array, rowBytes: number, panel: number): Uint8Array<ArrayBuffer> {
  return reordered(bytes, rowBytes, panel, false);
}

function reordered(bytes: Uint8Array, rowBytes: number, panel: number, into: boolean): Uint8Array<ArrayBuffer> {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const from = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
  const to = new Uint32Array(from.length);
  const [rows, pieces] = [bytes.length / rowBytes, rowBytes / PIECE_BYTES];
  for (let row = 0; row < rows; row++) {
    const within = row % panel;
    let [inRows, inPanels] = [row * pieces * WORDS, ((row - within) * pieces + within) * WORDS];
    for (let p = 0; p < pieces; p++) {
      const [a, b] = into ? [inPanels, inRows] : [inRows, inPanels];
      for (let w = 0; w < WORDS; w++) to[a + w] = from[b + w] as number;
      inRows += WORDS;
      inPanels += panel * WORDS;
    }
  }
  return new Uint8Array(to.buffer);
}
