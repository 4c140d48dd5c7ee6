/**
 * The shape of matrix products on software adapters: lanes own columns of the result, and what they all need of the
 * other factor is handed around.
 *
 * Measured in facts.md and again by `tilestate bench kernels`: adapters that load memory lane by lane pay for every
 * load site of every lane. With lanes along the reduced dim each of them loads its own part of x beside its part of w;
 * with a lane for each row of w (a column of the result) x is loaded once a subgroup, a piece by each lane, and handed
 * around by broadcasts, and no sum crosses lanes. The same shape, with more rows of the other factor, is a matrix
 * product. GPUs want the loads of neighbouring lanes side by side instead, so they do not get it.
 */

import { capacity, isNarrow, type StorageType } from "../ir/formats.ts";
import type { Op, Specialised } from "../ir/tile/program.ts";
import { everyOp, extentOf } from "../ir/tile/traverse.ts";
import type { Definitions } from "../passes/analysis/induction.ts";
import type { AxisLayout } from "./layout.ts";
import type { Knobs, Target } from "./target.ts";

/**
 * Layouts of all axes, and the axis (if any) whose elements the lanes share out among them when a value has no column,
 * with the layout of its twin.
 */
export interface Columns {
  readonly axes: readonly AxisLayout[];
  readonly dealt?: { readonly axis: number; readonly layout: AxisLayout };
}

/** What the survey of a kernel finds. */
interface Product {
  /** The block axis whose elements the lanes own. */
  readonly column: number;
  /** Axes of over-loops that are summed along, and contiguous in memory. */
  readonly along: ReadonlySet<number>;
  /** The narrowest format that is read along the sum. */
  readonly format: StorageType;
  /** Columns that lie side by side in panels; 1 where none do. */
  readonly panel: number;
  /** Do they lie in a texture, too? */
  readonly texture: boolean;
  /** Sums that are carried through the loops for each column. */
  readonly sums: number;
  /** Places in the kernel that store each column. */
  readonly stores: number;
}

/** The layout of this shape where the kernel is such a product and the adapter wants it. */
export function columns(
  program: Specialised,
  definitions: Definitions,
  target: Target,
  knobs: Knobs,
): Columns | undefined {
  const lanes = target.subgroup;
  if (target.profile !== "software" || lanes === 0 || knobs.lanes !== undefined) return undefined;
  const product = find(program, definitions);
  if (product === undefined || extentOf(program, product.column) < lanes) return undefined;

  const rows = rowsOf(program, product, lanes);
  const many = [...rows.values()].reduce((a, b) => a * b, 1);
  const turn = knobs.depth === undefined ? turnOf(product, lanes, many) : 4 * knobs.depth;
  const axes: AxisLayout[] = [];
  for (const axis of program.axes) {
    const extent = Math.max(1, extentOf(program, axis.id));
    if (axis.id === product.column) {
      const count = knobs.rows ?? columnsOf(program, product, target, many);
      // A lane's columns lie side by side, so that it stores them together; but if they are rows of panels, lanes read
      // side by side.
      const together = product.panel === 1 && (count === 2 || count === 4);
      axes.push({ spread: true, size: lanes * count, count, width: 1, chunk: together ? count : 1 });
    } else if (product.along.has(axis.id)) {
      let size = turn;
      while (size > Math.min(turn, capacity(product.format)) && extent % size !== 0) size /= 2;
      if (extent % size !== 0) return undefined;
      axes.push({ spread: false, size, count: size / 4, width: 4, chunk: size / 4 });
    } else {
      const count =
        rows.get(axis.id) ??
        (axis.kind === "whole"
          ? extent
          : Math.min(extent, axis.kind === "block" ? (axis.size ?? 1) : (knobs.unroll ?? 2)));
      if (axis.kind === "whole" && count > 8) return undefined;
      axes.push({ spread: false, size: count, count, width: 1, chunk: 1 });
    }
  }
  return { axes, ...dealt(program, product, axes, lanes) };
}

/** The axis to share out: rows, if there are enough for all lanes, or else the run along the sum. */
function dealt(
  program: Specialised,
  product: Product,
  axes: readonly AxisLayout[],
  lanes: number,
): Pick<Columns, "dealt"> {
  for (const { id, kind } of program.axes) {
    const layout = axes[id];
    if (layout === undefined || layout.spread || kind !== "block" || layout.count % lanes !== 0) continue;
    return { dealt: { axis: id, layout: { ...layout, spread: true, count: layout.count / lanes } } };
  }
  for (const id of product.along) {
    const { size } = axes[id] as AxisLayout;
    if (size % lanes !== 0) continue;
    const width = ([4, 2] as const).find((w) => size % (w * lanes) === 0) ?? 1;
    return { dealt: { axis: id, layout: { spread: true, size, count: size / (width * lanes), width, chunk: 1 } } };
  }
  return {};
}

/**
 * Elements along the sum that one turn takes. A vector wants a whole block of a format that is unpacked, whose scale
 * then comes once; a matrix, whose rows share what was unpacked, wants few, since a turn's code grows with rows and
 * columns, and adapters' compilers take their time with it.
 */
function turnOf(product: Product, lanes: number, rows: number): number {
  const piece = capacity(product.format);
  if (rows > 1) return piece > 4 ? 8 : 4;
  const share = shareOf(product, lanes);
  // The fewer columns a lane has, the more elements of x it fetches at a time: up to 16 bytes.
  if (share !== undefined) return Math.max(piece, (MOST_COLUMNS * lanes) / share);
  return piece > 8 ? 32 : Math.max(lanes, piece);
}

/**
 * How many rows (block axes without a size that are not the column) a program takes: as many as keep the sums in the
 * processor's registers.
 */
function rowsOf(program: Specialised, product: Product, lanes: number): Map<number, number> {
  const rows = new Map<number, number>();
  const columns = Math.max(1, Math.floor(4 / Math.max(1, product.sums)));
  let room = Math.max(1, Math.min(4 * lanes, Math.floor(STORES / (product.stores * columns))));
  if (room > lanes) room -= room % lanes;
  for (const { id, kind, size } of program.axes) {
    if (kind !== "block" || id === product.column || size !== undefined) continue;
    const extent = Math.max(1, extentOf(program, id));
    const parts = Math.ceil(extent / room);
    let count = Math.ceil(extent / parts);
    if (count > lanes) count = Math.ceil(count / lanes) * lanes;
    rows.set(id, count);
    room = Math.max(1, Math.floor(room / count));
  }
  return rows;
}

/** Columns of a lane: those of the tables, or fewer where the last program would own too many that are not there. */
function columnsOf(program: Specialised, product: Product, target: Target, rows: number): number {
  const { format, sums, column } = product;
  const lanes = target.subgroup;
  const alone = target.traits.vectorRegisters > 0 ? COLUMNS.inRegisters : COLUMNS.inMemory;
  const room = SUMS / Math.max(1, rows * sums);
  const ofVector = shareOf(product, lanes) ?? alone[capacity(format) as keyof typeof alone] / Math.max(1, sums);
  const most = rows > 1 ? Math.min(MOST_COLUMNS, room) : ofVector;
  const extent = extentOf(program, column);
  // Two threads share the programs: not five for one and four for the other.
  const waste = (n: number): number => (Math.ceil(extent / (lanes * n)) * lanes * n) / extent;
  let count = Math.max(1, Math.floor(most));
  while (count > 1 && waste(count) > 1.1) count--;
  return count;
}

/**
 * Columns of a lane where they lie in panels in a texture. Whole texels come so fast that memory is what lanes wait
 * for, and it gives most where all that a program reads is one stream: a program takes the panel's columns, no more and
 * no fewer.
 */
function shareOf({ panel, texture }: Product, lanes: number): number | undefined {
  return texture && panel > 1 ? Math.max(1, Math.min(MOST_COLUMNS, panel / lanes)) : undefined;
}

/** Columns of a lane where there are many rows, or a panel has so many. */
const MOST_COLUMNS = 4;
/**
 * Columns of a lane beside one row, by the elements in 16 bytes of the weights. Where sums stay in registers few
 * columns fill them; where they lie in memory anyway, more of them cost nothing and share the loads of the row.
 */
const COLUMNS = { inMemory: { 4: 4, 8: 4, 16: 8, 32: 12 }, inRegisters: { 4: 2, 8: 4, 16: 2, 32: 4 } } as const;
/** Sums of a lane, and its stores, that adapters' compilers cope with. */
const SUMS = 128;
const STORES = 128;

/** Looks for sums of products along an over-loop, one factor of which has a column and is contiguous along the sum. */
function find(program: Specialised, definitions: Definitions): Product | undefined {
  const summed = new Set<number>();
  const barred = new Set<number>();
  const loads: (Op & { op: "load" })[] = [];
  const stored = new Map<number, number>();
  const last = new Set<number>();
  let sums: number[][] = [];
  everyOp(program.body, (op) => {
    if (op.op === "reduce") {
      if (op.fn === "sum" && op.type === "f32" && program.axes[op.axis]?.kind === "over") summed.add(op.axis);
      else barred.add(op.axis);
      for (const a of op.axes) if (program.axes[a]?.kind !== "block") barred.add(op.axis);
    }
    if (op.op === "scan") barred.add(op.axis);
    if (op.op === "loop") sums.push(...op.carried.map((c) => [...c.inside.axes]));
    if (op.op === "load") loads.push(op);
    if (op.op === "store") {
      for (const i of op.index) for (const a of definitions.axesOf(i)) stored.set(a, (stored.get(a) ?? 0) + 1);
      const walk = definitions.walk(op.index.at(-1) ?? -1);
      if (walk !== undefined) last.add(walk.axis);
      const storage = program.binding.storage[op.param] ?? "f32";
      if (walk !== undefined && isNarrow(storage)) barred.add(walk.axis);
    }
  });
  for (const a of barred) summed.delete(a);
  type Candidate = Pick<Product, "format" | "panel" | "texture"> & { weight: number; readonly along: Set<number> };
  const candidates = new Map<number, { -readonly [K in keyof Candidate]: Candidate[K] }>();
  for (const l of loads) {
    const walk = definitions.walk(l.index.at(-1) ?? -1);
    if (walk === undefined || walk.offset !== 0 || !summed.has(walk.axis) || extentOf(program, walk.axis) % 4 !== 0)
      continue;
    for (const i of l.index.slice(0, -1)) {
      const c = definitions.walk(i)?.axis ?? -1;
      const axis = program.axes[c];
      if (axis?.kind !== "block" || axis.size !== undefined || summed.has(c) || barred.has(c)) continue;
      const storage = program.binding.storage[l.param] ?? "f32";
      const none = { weight: 0, along: new Set<number>(), format: "f32" as StorageType, panel: 1, texture: false };
      const found = candidates.get(c) ?? none;
      found.panel = Math.max(found.panel, program.binding.panels?.[l.param] ?? 1);
      found.texture ||= program.binding.pitches?.[l.param] !== undefined;
      found.weight += extentOf(program, c);
      found.along.add(walk.axis);
      if (capacity(storage) > capacity(found.format)) found.format = storage;
      candidates.set(c, found);
    }
  }
  const best = [...candidates]
    .filter(([c]) => last.has(c) || !stored.has(c))
    .sort(([, a], [, b]) => b.weight - a.weight)[0];
  if (best === undefined) return undefined;
  const [column, { along, format, panel, texture }] = best;
  sums = sums.filter((axes) => axes.includes(column));
  return { column, along, format, panel, texture, sums: sums.length, stores: Math.max(1, stored.get(column) ?? 1) };
}
