/**
 * The schedule of a kernel: who does what.
 */
import type { AxisLayout } from "./layout.ts";
import type { TilePlan } from "./tile-plan.ts";

export interface Schedule {
  readonly mode: "thread" | "subgroup" | "workgroup";
  /** Lanes that share one program. */
  readonly lanes: number;
  readonly workgroupSize: number;
  readonly programsPerWorkgroup: number;
  readonly axes: readonly AxisLayout[];
  /** Programs along each dim of the grid. */
  readonly grid: readonly number[];
  readonly programs: number;
  /** Set where matrix products go through workgroup memory. */
  readonly tiles?: TilePlan;
  /** An axis that lanes share out where they do not differ otherwise, and the layout of its twin; see deal.ts. */
  readonly dealt?: { readonly axis: number; readonly layout: AxisLayout };
}
