/**
 * Where loads and stores are in a kernel, and how many elements of a tensor each of them can move at once.
 *
 * A site is *wide* when the last index walks along a spread axis, nothing else does, and the address is known to be
 * aligned.
 */
import { capacity, isNarrow, perWord } from "../../ir/formats.ts";
import type { Specialised } from "../../ir/tile/program.ts";
import type { Definitions } from "../../passes/analysis/induction.ts";
import type { Schedule } from "../../schedule/types.ts";
import type { Panel } from "./panels.ts";

export interface Site {
  readonly param: string;
  readonly index: readonly number[];
  readonly store: boolean;
}

/** Row-major strides, in elements. */
export function stridesOf(program: Specialised, param: string): number[] {
  const p = program.params.find((x) => x.name === param);
  const sizes = p?.kind === "tensor" ? p.dims.map((d) => program.binding.sizes[d] ?? 1) : [];
  const strides = sizes.map(() => 1);
  for (let i = sizes.length - 2; i >= 0; i--) strides[i] = (strides[i + 1] ?? 1) * (sizes[i + 1] ?? 1);
  return strides;
}

/** How a tensor lies that lies in panels. */
export function panelOf(program: Specialised, param: string): Panel | undefined {
  const rows = program.binding.panels?.[param] ?? 1;
  const piece = capacity(program.binding.storage[param] ?? "f32");
  return rows === 1 ? undefined : { rows, piece, width: stridesOf(program, param).at(-2) ?? 1 };
}

/**
 * How many elements from the start of a lane's run this site can move at once, a power of two; 1 when its addresses are
 * not contiguous or not aligned. Loads may take 16 bytes; a store moves one register, or several of one element each.
 */
export function wideness(program: Specialised, schedule: Schedule, definitions: Definitions, site: Site): number {
  const spreads = (id: number): boolean => definitions.axesOf(id).some((a) => (schedule.axes[a]?.width ?? 1) > 1);
  const last = site.index.at(-1);
  if (last === undefined || site.index.slice(0, -1).some(spreads)) return 1;
  const walk = definitions.walk(last);
  const layout = walk === undefined ? undefined : schedule.axes[walk.axis];
  const storage = program.binding.storage[site.param] ?? "f32";
  if (walk === undefined || layout === undefined || layout.width * layout.chunk === 1) return 1;
  // Single elements that lie side by side in a lane make a run only where each of them is a word.
  if (layout.width === 1 && perWord(storage) > 1) return 1;
  // Where words are not made of whole elements no run can be unpacked at once.
  if (isNarrow(storage) && perWord(storage) === 1) return 1;
  const strides = stridesOf(program, site.param).slice(0, -1);
  const block = program.axes[walk.axis]?.kind === "block" ? layout.size : 0;
  const steps = [walk.offset, block, ...strides];
  const own = layout.width * layout.chunk;
  const most = site.store && layout.width > 1 ? layout.width : Math.min(capacity(storage), own);
  const param = program.params.find((p) => p.name === site.param);
  if (param?.kind === "tensor" && param.atomic) return 1;
  const least = Math.max(layout.width, perWord(storage), 2);
  // Beyond a piece an address that begins none would leave the panel's row.
  const start = panelOf(program, site.param) === undefined ? least : Math.max(least, Math.min(capacity(storage), own));
  for (let run = most; run >= start; run /= 2) if (steps.every((n) => n % run === 0)) return run;
  return 1;
}
