/** Kernels on the lane simulator: the targets that tests compile for, and one call from a tile program to its results. */
import { generate, type HostTensor, type Target, type TileProgram } from "../../compiler/index.ts";
import { simulateTensors } from "../../compiler/simulate.ts";
import { verifyLanes } from "../../compiler/verify-lanes.ts";

/** Subgroups of the sizes that adapters have (0: none may be used, rung L0), for both profiles. */
export const LANE_TARGETS: readonly Target[] = [8, 4, 32, 0].flatMap((subgroup) =>
  (["software", "gpu"] as const).map((profile) => ({
    profile,
    subgroup,
    pinned: subgroup === 32,
    maxInvocations: 256,
    storageBuffers: 10,
  })),
);

/** A target in a few words. */
export function nameOf(target: Target): string {
  const lanes = target.subgroup === 0 ? "L0" : `${target.subgroup} lanes${target.pinned ? ", pinned" : ""}`;
  return `simulator (${target.profile}, ${lanes})`;
}

/** A deep copy of tensors. */
export function copyOf(tensors: Readonly<Record<string, HostTensor>>): Record<string, HostTensor> {
  return Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, { ...t, data: t.data.slice() }]));
}

/** What the compiled kernel leaves in its tensors; those given stay as they are. Scalars named in `cells` are read from memory. */
export function simulated(
  program: TileProgram,
  target: Target,
  tensors: Readonly<Record<string, HostTensor>>,
  scalars: Readonly<Record<string, number>> = {},
  cells: readonly string[] = [],
): Record<string, HostTensor> {
  const sizes: Record<string, number> = {};
  const storage: Record<string, HostTensor["storage"]> = {};
  for (const p of program.params) {
    const t = tensors[p.name];
    if (p.kind !== "tensor" || t === undefined) continue;
    for (const [i, dim] of p.dims.entries()) sizes[dim] = t.shape[i] ?? 1;
    storage[p.name] = t.storage;
  }
  const { lanes } = generate(program, { sizes, storage, cells }, target);
  const made = copyOf(tensors);
  simulateTensors(verifyLanes(lanes, "sweep"), made, scalars);
  return made;
}
