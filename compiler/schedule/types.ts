/**
 * The schedule of a kernel: who does what.
 */
import type { AxisLayout } from "./layout.ts";
import type { TilePlan } from "./tile-plan.ts";

/** Which lanes run a program, and how its axes are shared out among them. */
export interface Schedule {
  /** What runs one program: an invocation, a subgroup, or a workgroup. */
  readonly mode: "thread" | "subgroup" | "workgroup";
  /** Lanes that share one program. */
  readonly lanes: number;
  /** Invocations of a workgroup. */
  readonly workgroupSize: number;
  /** Programs that a workgroup runs side by side. */
  readonly programsPerWorkgroup: number;
  /** The layout of each axis, by its id. */
  readonly axes: readonly AxisLayout[];
  /** Programs along each dim of the grid. */
  readonly grid: readonly number[];
  /** Programs of a dispatch: the product of `grid`. */
  readonly programs: number;
  /** Set where matrix products go through workgroup memory. */
  readonly tiles?: TilePlan;
  /** An axis that lanes share out where they do not differ otherwise, and the layout of its twin; see deal.ts. */
  readonly dealt?: { readonly axis: number; readonly layout: AxisLayout };
}
