/**
 * Scheduling: who does what.
 *
 * Decides whether a program is one thread, one subgroup or one workgroup, which axes are *spread* over its lanes
 * (element (r·W + lane)·V + v in lane `lane`, register r, component v) and which are *owned* whole by every lane, and
 * how large the blocks are. The shapes are those that facts.md measured: contiguous axes across the lanes of one
 * subgroup with 16-byte loads, rows owned, no barrier; element-wise work one thread a vector.
 */

import { unfit } from "../host/diagnostics.ts";
import { blockOf, capacity, inBlocks, perWord } from "../ir/formats.ts";
import type { Op, PartialAxis, Specialised } from "../ir/tile/program.ts";
import { isValue } from "../ir/tile/program.ts";
import { everyOp, extentOf } from "../ir/tile/traverse.ts";
import { Definitions } from "../passes/analysis/induction.ts";
import type { AxisLayout } from "./layout.ts";
import { columns } from "./matmul-cpu.ts";
import type { Knobs, Target } from "./target.ts";
import type { Schedule } from "./types.ts";

/** Registers of one tile beyond which code would be too large to compile quickly. */
const MOST_REGISTERS = 64;

export function schedule(program: Specialised, target: Target, knobs: Knobs = {}): Schedule {
  const product = columns(program, new Definitions(program), target, knobs);
  if (product !== undefined) {
    const { axes, dealt } = product;
    const plan = finish(program, "subgroup", target.subgroup, axes, 1);
    return dealt === undefined ? plan : { ...plan, dealt };
  }
  const { weights, conflicts, reduces, narrow, together, blocked } = survey(program);
  const order = [...weights.keys()].sort((a, b) => (weights.get(b) ?? 0) - (weights.get(a) ?? 0));
  const best = order[0];
  const elementwise = reduces.size === 0 && (best === undefined || program.axes[best]?.kind === "block");
  const spread = new Set<number>();
  if (elementwise) {
    if (best !== undefined) spread.add(best);
  } else {
    for (const a of order) if (![...spread].some((b) => conflicts.get(a)?.has(b))) spread.add(a);
    // A reduced axis that touches no other spread axis may as well be spread; it is contiguous nowhere but shares the
    // work.
    for (const a of reduces)
      if (
        !spread.has(a) &&
        ![...spread].some((b) => conflicts.get(a)?.has(b)) &&
        program.axes[a]?.kind === "over" &&
        order.length === 0
      )
        spread.add(a);
  }
  const anyLane = spread.size > 0;
  let mode: Schedule["mode"] = elementwise || !anyLane ? "thread" : target.subgroup > 0 ? "subgroup" : "workgroup";
  let lanes = mode === "thread" ? 1 : mode === "subgroup" ? target.subgroup : Math.min(64, target.maxInvocations);
  if (knobs.lanes !== undefined)
    [mode, lanes] = [
      knobs.lanes === 1 ? "thread" : knobs.lanes === target.subgroup ? "subgroup" : "workgroup",
      knobs.lanes,
    ];

  // A whole row that one subgroup cannot hold in registers is given to a larger workgroup.
  const longest = Math.max(
    0,
    ...[...spread].filter((a) => program.axes[a]?.kind === "whole").map((a) => extentOf(program, a)),
  );
  while (mode !== "thread" && longest > lanes * 4 * 16 && lanes * 2 <= target.maxInvocations)
    [mode, lanes] = ["workgroup", Math.max(64, lanes * 2)];

  // Tiles over two blocks of rows take the product of their sizes.
  const blocks = program.axes.filter((a, id) => a.kind === "block" && !spread.has(id) && extentOf(program, id) > 1);
  const planned = program.axes.map((axis, id): AxisLayout => {
    const extent = Math.max(1, extentOf(program, id));
    if (spread.has(id)) {
      // Whole blocks that are stored lie in one lane.
      const own = extent % 4 === 0 ? (blocked.get(id) ?? 0) / 4 : 0;
      const width =
        own > 0
          ? 4
          : (([4, 2] as const).find((v) => extent % v === 0 && (extent >= v * lanes || mode === "thread")) ??
            wordsAlong(extent, together.get(id) ?? 1));
      const chunk =
        own > 0 ? own : width === 4 && axis.kind !== "block" ? widest(narrow.get(id) ?? 1, extent, lanes) : 1;
      const turn = lanes * width * chunk;
      const wanted =
        axis.kind === "whole"
          ? extent
          : axis.kind === "block"
            ? Math.min(axis.size ?? turn, extent)
            : turn * Math.max(1, Math.min(knobs.depth ?? 1, Math.floor(extent / turn)));
      const turns = Math.max(1, Math.ceil(wanted / turn));
      return {
        spread: true,
        size: axis.kind === "block" && axis.size !== undefined ? Math.min(axis.size, extent) : turn * turns,
        count: turns * chunk,
        width,
        chunk,
      };
    }
    const size =
      axis.kind === "whole"
        ? extent
        : axis.kind === "block"
          ? Math.min(extent, axis.size ?? blocked.get(id) ?? knobs.rows ?? (blocks.length > 1 ? 2 : 4))
          : Math.min(extent, blocked.get(id) ?? knobs.unroll ?? 2);
    return { spread: false, size, count: size, width: 1, chunk: 1 };
  });

  const axes = knobs.unroll === undefined && target.profile === "software" ? shorten(program, planned, lanes) : planned;
  checkRegisters(program, axes);
  const programs = gridOf(program, axes).reduce((a, b) => a * b, 1);
  const room = Math.max(1, Math.floor(Math.min(64, target.maxInvocations) / lanes));
  const spreadOut =
    target.profile === "software" ? (mode === "thread" ? Math.max(1, Math.floor(programs / 8)) : 1) : room;
  return finish(program, mode, lanes, axes, mode === "workgroup" ? 1 : Math.max(1, Math.min(room, spreadOut)));
}

/**
 * Owned over-loops take one element a turn instead of two where two would need more loads than the processor has
 * registers for: software adapters spill the rest, and lose more than a second element gains.
 */
function shorten(program: Specialised, axes: readonly AxisLayout[], lanes: number): AxisLayout[] {
  const definitions = new Definitions(program);
  const loads = new Map<number, number>();
  everyOp(program.body, (op, loops) => {
    if (op.op !== "load") return;
    const own = [...new Set(op.index.flatMap((i) => definitions.axesOf(i)))];
    for (const l of loops) {
      const axis = l.axis;
      if (axis === undefined || axes[axis]?.spread !== false || axes[axis]?.count !== 2) continue;
      const registers = own.reduce((n, a) => n * (axes[a]?.count ?? 1), 1) * (own.includes(axis) ? 1 : 0);
      loads.set(axis, (loads.get(axis) ?? 0) + registers);
    }
  });
  return axes.map((layout, id) => ((loads.get(id) ?? 0) > LOADS / lanes ? { ...layout, size: 1, count: 1 } : layout));
}

/** Loads of a turn, times lanes, that software adapters' processors hold in registers. */
const LOADS = 64;

function checkRegisters(program: Specialised, axes: readonly AxisLayout[]): void {
  everyOp(program.body, (op) => {
    if (!isValue(op)) return;
    const registers = op.axes.reduce((n, a) => n * (axes[a]?.count ?? 1), 1);
    if (registers > MOST_REGISTERS && (op.op === "load" || op.op === "reduce")) {
      const dims = op.axes.map((a) => `${program.axes[a]?.dim}: ${axes[a]?.size}`).join(", ");
      throw unfit({
        code: "TS-301",
        message: `kernel ${program.name}: this tile (${dims}) takes ${registers} registers a lane, more than ${MOST_REGISTERS}`,
        span: op.span,
        help: "walk one of its dims with `for (const i of over(…))` instead of taking it whole",
      });
    }
  });
}

/** Programs along each dim of the grid. */
function gridOf(program: Specialised, axes: readonly AxisLayout[]): number[] {
  return program.grid.map((g) => {
    const extent = program.binding.sizes[g.dim] ?? 0;
    return g.axis === undefined ? extent : Math.ceil(extent / (axes[g.axis]?.size ?? 1));
  });
}

function finish(
  program: Specialised,
  mode: Schedule["mode"],
  lanes: number,
  axes: readonly AxisLayout[],
  programsPerWorkgroup: number,
): Schedule {
  const grid = gridOf(program, axes);
  const programs = grid.reduce((a, b) => a * b, 1);
  return { mode, lanes, workgroupSize: lanes * programsPerWorkgroup, programsPerWorkgroup, axes, grid, programs };
}

/** The schedule with a layout for the twin of the axis that is dealt out. */
export function withTwin(plan: Schedule, twin: number): Schedule {
  const axes = [...plan.axes];
  if (plan.dealt !== undefined) axes[twin] = plan.dealt.layout;
  return { ...plan, axes };
}

/** The schedule with a layout for each partial axis: one register a lane. */
export function withPartials(plan: Schedule, made: ReadonlyMap<number, PartialAxis>): Schedule {
  const axes = [...plan.axes];
  for (const [to, { from, dot }] of made) {
    const width = dot ? 1 : (axes[from]?.width ?? 1);
    axes[to] = { spread: true, size: plan.lanes * width, count: 1, width, chunk: 1 };
  }
  return { ...plan, axes };
}

/** Part of the last turn that may be wasted on dead elements for the sake of wider loads. */
const WASTE = 1.35;

/** The largest chunk up to `wanted` whose turns cover the extent without much waste. */
function widest(wanted: number, extent: number, lanes: number): number {
  let chunk = wanted;
  const covered = (): number => Math.ceil(extent / (lanes * 4 * chunk)) * lanes * 4 * chunk;
  while (chunk > 1 && (extent % (4 * chunk) !== 0 || covered() > WASTE * extent)) chunk /= 2;
  return chunk;
}

/** Elements of a word that is stored along an axis; 1 where the axis cuts words. */
function wordsAlong(extent: number, together: number): 1 | 2 | 4 {
  const most = together >= 4 ? 4 : together === 2 ? 2 : 1;
  return extent % most === 0 ? most : 1;
}

interface Survey {
  readonly weights: Map<number, number>;
  readonly conflicts: Map<number, Set<number>>;
  readonly reduces: Set<number>;
  /** Axis -> registers in 16 bytes of the narrowest format read along it. */
  readonly narrow: Map<number, number>;
  /** Axis -> elements that are stored along it in one word. */
  readonly together: Map<number, number>;
  /** Axis -> elements of the blocks that are stored along it. */
  readonly blocked: Map<number, number>;
}

/** How much memory each axis walks contiguously, which axes meet in one tile, and which are reduced. */
function survey(program: Specialised): Survey {
  const definitions = new Definitions(program);
  const weights = new Map<number, number>();
  const conflicts = new Map<number, Set<number>>();
  const reduces = new Set<number>();
  const narrow = new Map<number, number>();
  const together = new Map<number, number>();
  const blocked = new Map<number, number>();
  const size = (a: number): number => Math.max(1, extentOf(program, a));
  const meet = (axes: readonly number[]): void => {
    for (const a of axes) {
      const set = conflicts.get(a) ?? new Set<number>();
      for (const b of axes) if (b !== a) set.add(b);
      conflicts.set(a, set);
    }
  };
  everyOp(program.body, (op: Op, loops) => {
    if (isValue(op)) meet(op.axes);
    if (op.op === "reduce") {
      reduces.add(op.axis);
      meet([...op.axes, op.axis]);
    }
    if (op.op !== "load" && op.op !== "store") return;
    const own = new Set(op.index.flatMap((i) => definitions.axesOf(i)));
    meet([...own]);
    const last = op.index.at(-1);
    const walk = last === undefined ? undefined : definitions.walk(last);
    if (walk === undefined) return;
    const storage = program.binding.storage[op.param] ?? "f32";
    if (op.op === "store") together.set(walk.axis, Math.max(together.get(walk.axis) ?? 1, perWord(storage)));
    if (op.op === "store" && inBlocks(storage))
      blocked.set(walk.axis, Math.max(blocked.get(walk.axis) ?? 1, blockOf(storage)));
    if (op.op === "load") narrow.set(walk.axis, Math.max(narrow.get(walk.axis) ?? 1, capacity(storage) / 4));
    let touched = [...own].reduce(
      (n, a) => n * (program.axes[a]?.kind === "block" ? (program.axes[a]?.size ?? size(a)) : size(a)),
      1,
    );
    for (const l of loops) if (l.axis === undefined || !own.has(l.axis)) touched *= l.axis === undefined ? 8 : 1;
    // A block whose size the author chose is what one program works on, rows as a rule: lanes are better spent
    // elsewhere.
    if (program.axes[walk.axis]?.kind === "block" && program.axes[walk.axis]?.size !== undefined)
      touched = Math.min(touched, 64);
    weights.set(walk.axis, (weights.get(walk.axis) ?? 0) + touched);
  });
  return { weights, conflicts, reduces, narrow, together, blocked };
}
