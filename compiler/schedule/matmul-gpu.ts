/**
 * The GPU's schedule of matrix products: a workgroup owns a tile of rows x columns and walks the reduced dim in steps
 * that fit into its memory.
 *
 * Decides how large the tiles are, which lane holds which part of the result (a thread tile: each axis is spread over
 * some digits of the lane's number), how the lanes share the work of filling the rooms, and whether the products go to
 * matrix units. The shapes are the common ones of fast GPU kernels: subgroups as 4 x 8 lanes, 16-byte reads and writes,
 * lines padded by one element so that neighbouring lanes meet different banks.
 */

import { fitsHalf, inBlocks, perWord } from "../ir/formats.ts";
import type { Room, Width } from "../ir/lane/program.ts";
import type { Op, Specialised } from "../ir/tile/program.ts";
import { operands } from "../ir/tile/program.ts";
import { everyOp, extentOf } from "../ir/tile/traverse.ts";
import { type ProductLoop, type Products, productsOf } from "../passes/analysis/find-matmuls.ts";
import { Definitions } from "../passes/analysis/induction.ts";
import { type AxisLayout, lanesAlong, spreadOver } from "./layout.ts";
import type { Knobs, MatrixShape, Target } from "./target.ts";
import { type MatrixPlan, type Operand, roomBytes, type Staging, type TileLoop, type TilePlan } from "./tile-plan.ts";
import type { Schedule } from "./types.ts";

/** Rows or columns below which lanes are better spent along the reduced dim. */
const LEAST = 16;
/** Elements of the reduced dim below which there is nothing to reuse. */
const SHORTEST = 8;
/** Rows and columns of a tile, if there are as many. */
const WANTED = 64;
/** The longest dim that a program may take whole. */
const LONGEST = 128;
const LANES = 128;
/** Registers of sums in one lane. */
const SUMS = 64;
/** Fewer workgroups than this leave a GPU idle: smaller tiles are better then. */
const ENOUGH = 128;
/** Workgroup memory of every WebGPU. */
const CORE_BYTES = 16384;
/** Components by which lines of matrix operands are padded. */
const PADDING = 8;

/** The schedule of a kernel that consists of matrix products, for the gpu profile; undefined for all others. */
export function tiledSchedule(program: Specialised, target: Target, knobs: Knobs = {}): Schedule | undefined {
  const lanes = Math.min(knobs.lanes ?? LANES, target.maxInvocations);
  if (target.profile !== "gpu" || knobs.tileRows === 0 || lanes < 64 || !isPower(lanes)) return undefined;
  // Lanes of a tile hold a part of a block each.
  if (program.params.some((p) => p.kind === "tensor" && p.writes && inBlocks(program.binding.storage[p.name] ?? "f32")))
    return undefined;
  const products = productsOf(program);
  return products === undefined ? undefined : new Planner(program, target, knobs, products, lanes).plan();
}

interface Shape {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly lanes: number;
  readonly i: AxisLayout;
  readonly j: AxisLayout;
  readonly matrix?: Omit<MatrixPlan, "patch">;
}

class Planner {
  readonly #p: Specialised;
  readonly #target: Target;
  readonly #knobs: Knobs;
  readonly #products: Products;
  readonly #lanes: number;
  readonly #d: Definitions;

  constructor(program: Specialised, target: Target, knobs: Knobs, products: Products, lanes: number) {
    this.#p = program;
    this.#target = target;
    this.#knobs = knobs;
    this.#products = products;
    this.#lanes = lanes;
    this.#d = new Definitions(program);
  }

  plan(): Schedule | undefined {
    const { i, j, loops } = this.#products;
    const fits = (axis: number): boolean => {
      const extent = extentOf(this.#p, axis);
      return extent >= LEAST && (this.#p.axes[axis]?.kind === "block" || extent <= LONGEST);
    };
    if (!fits(i) || !fits(j) || loops.some((l) => extentOf(this.#p, l.k) < SHORTEST)) return undefined;
    const units = this.#units();
    const least = this.#p.axes[i]?.kind === "block" ? LEAST / 2 : extentOf(this.#p, i);
    for (const matrix of units === undefined ? [undefined] : [units, undefined])
      for (let rows = this.#rows(); rows >= least; rows /= 2)
        for (let depth = this.#depth(matrix); depth >= SHORTEST; depth /= 2) {
          const shape = this.#shape(rows, depth, matrix);
          const tiles = shape === undefined ? undefined : this.#tiles(shape);
          const bytes = tiles?.rooms.reduce((n, r) => n + roomBytes(r), 0) ?? 0;
          if (shape !== undefined && tiles !== undefined && bytes <= (this.#target.workgroupBytes ?? CORE_BYTES))
            return this.#schedule(shape, tiles);
        }
    return undefined;
  }

  // ---- Sizes --------------------------------------------------------------------------------------------------------

  #side(axis: number, wanted: number): number {
    const extent = extentOf(this.#p, axis);
    return this.#p.axes[axis]?.kind === "block" ? Math.min(wanted, ceilPower(extent)) : ceilPower(extent);
  }

  #rows(): number {
    const { i, j, loops } = this.#products;
    let rows = this.#side(i, this.#knobs.tileRows ?? WANTED);
    if (this.#knobs.tileRows !== undefined || this.#p.axes[i]?.kind !== "block") return rows;
    const columns = this.#columns();
    const sums = loops.reduce((n, l) => n + l.products.length, 0);
    const others = this.#p.grid.reduce(
      (n, g) => n * (g.axis === undefined ? (this.#p.binding.sizes[g.dim] ?? 1) : 1),
      Math.ceil(extentOf(this.#p, j) / columns),
    );
    const few = (): boolean => others * Math.ceil(extentOf(this.#p, i) / rows) < ENOUGH;
    while (rows > LEAST && ((rows * columns * sums) / this.#lanes > SUMS || few())) rows /= 2;
    return rows;
  }

  #columns(): number {
    return this.#side(this.#products.j, this.#knobs.tileColumns ?? WANTED);
  }

  #depth(matrix: MatrixShape | undefined): number {
    const narrow = this.#products.loops.some((l) =>
      l.products.some((p) => this.#storages([...p.left, ...p.right]).some((s) => perWord(s) > 1)),
    );
    const longest = Math.max(...this.#products.loops.map((l) => ceilPower(extentOf(this.#p, l.k))));
    const wanted = this.#knobs.tileDepth ?? (narrow || matrix?.component === "f16" ? 32 : 16);
    return Math.max(Math.min(longest, wanted), matrix?.K ?? SHORTEST);
  }

  /** Components of a register along j: as many as results are stored with at once. */
  #width(): Width {
    const extent = extentOf(this.#p, this.#products.j);
    return extent % 4 === 0 ? 4 : extent % 2 === 0 ? 2 : 1;
  }

  /** Results that one word holds go together: two halves, four of fewer bits. */
  #together(): Width {
    let found: Width = 1;
    everyOp(this.#p.body, (op) => {
      if (op.op !== "store") return;
      const per = perWord(this.#p.binding.storage[op.param] ?? "f32");
      if (per > found) found = per === 2 ? 2 : 4;
    });
    return found;
  }

  #shape(rows: number, depth: number, units: MatrixShape | undefined): Shape | undefined {
    return units === undefined ? this.#threads(rows, depth) : this.#matrices(rows, depth, units);
  }

  /** Each lane multiplies for itself. */
  #threads(wanted: number, depth: number): Shape {
    const lanes = this.#lanes;
    const groups = lanes / 32;
    const down = 2 ** Math.ceil(Math.log2(groups) / 2);
    const across = groups / down;
    const [high, wide] = [down * 4, across * 8];
    const rows = Math.max(wanted, high);
    let width = this.#width();
    const least = this.#together();
    while (width > least && wide * width > this.#columns()) width = (width / 2) as Width;
    const columns = Math.max(this.#columns(), wide * width);
    const [outer, inner] = [
      [
        { stride: 32 * across, count: down },
        { stride: 8, count: 4 },
      ],
      [
        { stride: 32, count: across },
        { stride: 1, count: 8 },
      ],
    ];
    return {
      rows,
      columns,
      depth,
      lanes,
      i: spreadOver(rows, high, 1, outer),
      j: spreadOver(columns, wide, width, inner),
    };
  }

  /** Each subgroup multiplies on its matrix units; its lanes are laid over one matrix for what follows. */
  #matrices(wanted: number, depth: number, { M, N, K, component }: MatrixShape): Shape | undefined {
    const size = this.#target.subgroup;
    let width = this.#width();
    const lanesAcross = (): number => Math.min(size, N / width);
    while (width > 1 && size / lanesAcross() > M) width = (width / 2) as Width;
    const [rowLanes, columnLanes] = [size / lanesAcross(), lanesAcross()];
    if (rowLanes > M || (width === 1 && this.#together() > 1) || depth < K) return undefined;
    const groups = Math.max(1, this.#lanes / size);
    const rows = Math.max(wanted, M);
    const down = Math.min(2 ** Math.ceil(Math.log2(groups) / 2), rows / M);
    let across = groups / down;
    while (across > 1 && across * N > this.#columns()) across /= 2;
    const columns = Math.max(this.#columns(), across * N);
    return {
      rows,
      columns,
      depth,
      lanes: down * across * size,
      i: spreadOver(rows, down * rowLanes, 1, [
        { stride: size * across, count: down },
        { stride: columnLanes, count: rowLanes },
      ]),
      j: spreadOver(columns, across * columnLanes, width, [
        { stride: size, count: across },
        { stride: 1, count: columnLanes },
      ]),
      matrix: {
        component: component as "f16" | "f32",
        M,
        N,
        K,
        lanes: size,
        down,
        across,
        rows: rows / (down * M),
        columns: columns / (across * N),
        rowLanes,
        columnLanes,
      },
    };
  }

  /**
   * The matrix units to use. Those of f32 serve everything. Those of f16 round what they are given, which is for
   * products of which one side is stored in f16 or in less: who keeps weights like that has chosen their precision.
   * Sums are f32 always.
   */
  #units(): MatrixShape | undefined {
    const { subgroup, matrix = [] } = this.#target;
    if (!isPower(subgroup) || subgroup > this.#lanes) return undefined;
    const { precision } = this.#knobs;
    const narrow = this.#products.loops.every((l) =>
      l.products.every((p) => [p.left, p.right].some((side) => this.#storages(side).some(fitsHalf))),
    );
    const halves = precision === 16 || (precision !== 32 && narrow);
    const usable = matrix.filter(
      (m) =>
        m.result === "f32" &&
        (m.component === "f32" || (m.component === "f16" && halves)) &&
        [m.M, m.N, m.K].every(isPower) &&
        m.M * m.N >= subgroup,
    );
    const work = (m: MatrixShape): number => m.M * m.N * m.K * (m.component === "f16" ? 2 : 1);
    return usable.sort((a, b) => work(b) - work(a))[0];
  }

  // ---- Filling rooms ------------------------------------------------------------------------------------------------

  #tiles(shape: Shape): TilePlan | undefined {
    const { i, j } = this.#products;
    const rooms: Room[] = [];
    const room = (base: Room["base"], width: Width, elements: number, taken: readonly Room[]): Room => {
      const free = rooms.find(
        (r) => r.base === base && r.width === width && r.elements === elements && !taken.includes(r),
      );
      const made = free ?? { name: `room${rooms.length}`, base, width, elements };
      if (free === undefined) rooms.push(made);
      return made;
    };
    const loops = this.#products.loops.map((l): TileLoop => {
      const sides: Operand[] = [];
      const taken: Room[] = [];
      const side = (axis: number, factors: readonly number[]): number => {
        const known = sides.findIndex((o) => o.axis === axis && o.factors.join() === factors.join());
        if (known >= 0) return known;
        const { along, ...staging } = this.#staging(factors, axis, l, shape);
        const size = axis === i ? shape.rows : shape.columns;
        const run = staging.layouts.get(along === "k" ? l.k : axis)?.width ?? 1;
        // Matrix units have an order of their own along i and j: neighbours stay so within a lane's registers.
        const own = (axis === i ? shape.i : shape.j).width;
        const width = shape.matrix === undefined || along === "k" || own % run === 0 ? run : 1;
        const [line, lines] = along === "k" ? [shape.depth, size] : [size, shape.depth];
        const stride = line / width + (shape.matrix !== undefined ? PADDING / width : along === "k" ? 1 : 0);
        const made = room(shape.matrix?.component ?? "f32", width, lines * stride, taken);
        taken.push(made);
        return sides.push({ ...staging, factors, along, room: made, stride }) - 1;
      };
      const products = l.products.map((p) => ({
        reduce: p.reduce,
        left: side(i, p.left),
        right: side(j, p.right),
      }));
      const sums = l.sums.map((s) => {
        const { along: _, ...staging } = this.#staging([s.x], s.axis, l, shape);
        const size = s.axis === i ? shape.rows : shape.columns;
        const made = room("f32", 1, size * lanesAlong(staging.layouts.get(l.k) as AxisLayout, 1), taken);
        taken.push(made);
        return { ...staging, reduce: s.reduce, x: s.x, room: made };
      });
      return { index: l.index, k: l.k, depth: shape.depth, operands: sides, products, sums, carried: l.carried };
    });
    const stages = this.#knobs.tileStages === 1 ? 1 : 2;
    if (shape.matrix === undefined) return { i, j, loops, rooms, stages };
    const { M, N, down, across } = shape.matrix;
    return {
      i,
      j,
      loops,
      rooms,
      stages,
      matrix: { ...shape.matrix, patch: room("f32", 1, M * N * down * across, rooms) },
    };
  }

  /** Lanes lie along what is contiguous in the most memory that is read, 16 bytes each if that leaves nobody idle. */
  #staging(
    factors: readonly number[],
    axis: number,
    l: ProductLoop,
    shape: Shape,
  ): Staging & { readonly along: "k" | "own" } {
    const size = axis === this.#products.i ? shape.rows : shape.columns;
    const loads = this.#loads(factors);
    const touched = (along: number): number =>
      loads
        .filter((op) => this.#walks(op) === along)
        .reduce((n, op) => n + op.axes.reduce((m, a) => m * (a === axis ? size : a === l.k ? shape.depth : 1), 1), 0);
    const along = touched(axis) > touched(l.k) ? "own" : "k";
    const [run, runSize, other, otherSize] =
      along === "k" ? [l.k, shape.depth, axis, size] : [axis, size, l.k, shape.depth];
    const extent = extentOf(this.#p, run);
    const width = ([4, 2] as const).find((w) => extent % w === 0) ?? 1;
    const formats = loads
      .filter((op) => this.#walks(op) === run)
      .map((op) => perWord(this.#p.binding.storage[op.param] ?? "f32"));
    let chunk = width === 4 ? Math.max(1, ...formats) : 1;
    const least = formats.includes(8) && width === 4 ? 2 : 1;
    const bad = (): boolean =>
      runSize % (4 * chunk) !== 0 || extent % (4 * chunk) !== 0 || (runSize * otherSize) / (4 * chunk) < shape.lanes;
    while (chunk > least && bad()) chunk /= 2;
    const runLanes = Math.min(shape.lanes, runSize / (width * chunk));
    const otherLanes = Math.min(shape.lanes / runLanes, otherSize);
    const layouts = new Map<number, AxisLayout>([
      [run, { ...spreadOver(runSize, runLanes, width, [{ stride: 1, count: runLanes }]), chunk }],
      [other, spreadOver(otherSize, otherLanes, 1, [{ stride: runLanes, count: otherLanes }])],
    ]);
    return { axis, k: l.k, layouts, lanes: runLanes * otherLanes, along };
  }

  #walks(op: Op & { op: "load" }): number | undefined {
    const last = op.index.at(-1);
    return last === undefined ? undefined : this.#d.walk(last)?.axis;
  }

  /** The loads that these values are computed from. */
  #loads(ids: readonly number[]): readonly (Op & { op: "load" })[] {
    const found = new Map<number, Op & { op: "load" }>();
    const visit = (id: number): void => {
      const op = this.#d.ops.get(id);
      if (op === undefined) return;
      if (op.op === "load") found.set(id, op);
      for (const x of operands(op)) visit(x);
    };
    for (const id of ids) visit(id);
    return [...found.values()];
  }

  #storages(ids: readonly number[]): Specialised["binding"]["storage"][string][] {
    return this.#loads(ids).map((op) => this.#p.binding.storage[op.param] ?? "f32");
  }

  #schedule(shape: Shape, tiles: TilePlan): Schedule {
    const whole = (n: number): AxisLayout => ({ spread: false, size: n, count: n, width: 1, chunk: 1 });
    const axes = this.#p.axes.map((a) => {
      if (a.id === tiles.i) return shape.i;
      return a.id === tiles.j ? shape.j : whole(shape.depth);
    });
    const grid = this.#p.grid.map((g) => {
      const extent = this.#p.binding.sizes[g.dim] ?? 0;
      return g.axis === undefined ? extent : Math.ceil(extent / (axes[g.axis]?.size ?? 1));
    });
    return {
      mode: "workgroup",
      lanes: shape.lanes,
      workgroupSize: shape.lanes,
      programsPerWorkgroup: 1,
      axes,
      grid,
      programs: grid.reduce((a, b) => a * b, 1),
      tiles,
    };
  }
}

function isPower(n: number): boolean {
  return n >= 1 && (n & (n - 1)) === 0;
}

/** The smallest power of two that is not below n. */
function ceilPower(n: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, n)));
}
