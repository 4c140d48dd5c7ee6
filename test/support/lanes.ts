/**
 * Kernels on the lane simulator: the targets that tests compile for, and one call from a tile program to its results.
 */

import {
  generate,
  type HostTensor,
  type Packing,
  planPacking,
  type Target,
  type TileProgram,
} from "../../compiler/index.ts";
import { isNarrow } from "../../compiler/ir/formats.ts";
import { verifyLanes } from "../../compiler/ir/lane/verify.ts";
import { encodeBuffer } from "../../compiler/oracle/simulate/buffers.ts";
import { simulateTensors } from "../../compiler/oracle/simulate/index.ts";
import { TRAITS } from "../../runtime/adapters/traits.ts";

/**
 * Subgroups of the sizes that adapters have (0: none may be used, feature level L0), for both profiles; two that bind
 * one buffer, for tensors that share it; and two that bind 256 bytes at once.
 */
export const LANE_TARGETS: readonly Target[] = [
  ...[8, 4, 32, 0].flatMap((subgroup) =>
    (["software", "gpu"] as const).map((profile) => target(profile, subgroup, 10)),
  ),
  target("gpu", 4, 1),
  target("software", 0, 1),
  { ...target("gpu", 8, 99), bindingBytes: 256 },
  { ...target("software", 0, 99), bindingBytes: 256 },
];

function target(profile: Target["profile"], subgroup: number, storageBuffers: number): Target {
  const traits = profile === "gpu" ? TRAITS.gpu : subgroup === 4 ? TRAITS.swiftshader : TRAITS.lavapipe;
  return { profile, subgroup, pinned: subgroup === 32, maxInvocations: 256, storageBuffers, traits };
}

/** A target in a few words. */
export function nameOf(target: Target): string {
  const lanes = target.subgroup === 0 ? "L0" : `${target.subgroup} lanes${target.pinned ? ", pinned" : ""}`;
  return `simulator (${target.profile}, ${lanes}${target.storageBuffers === 1 ? ", packed" : ""}${target.bindingBytes === undefined ? "" : ", in parts"})`;
}

/** A deep copy of tensors. */
export function copyOf(tensors: Readonly<Record<string, HostTensor>>): Record<string, HostTensor> {
  return Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, { ...t, data: t.data.slice() }]));
}

/**
 * What the compiled kernel leaves in its tensors; those given stay as they are. Scalars named in `cells` are read from
 * memory.
 */
export function simulated(
  program: TileProgram,
  target: Target,
  tensors: Readonly<Record<string, HostTensor>>,
  scalars: Readonly<Record<string, number>> = {},
  cells: readonly string[] = [],
): Record<string, HostTensor> {
  const sizes: Record<string, number> = {};
  const storage: Record<string, HostTensor["storage"]> = {};
  const panels: Record<string, number> = {};
  for (const p of program.params) {
    const t = tensors[p.name];
    if (p.kind !== "tensor" || t === undefined) continue;
    for (const [i, dim] of p.dims.entries()) sizes[dim] = t.shape[i] ?? 1;
    storage[p.name] = t.storage;
    if (t.panel !== undefined) panels[p.name] = t.panel;
  }
  const packing = packingFor(program, target, tensors, cells);
  const { lanes } = generate(program, { sizes, storage, cells, panels, packing }, target);
  const made = copyOf(tensors);
  simulateTensors(verifyLanes(lanes, "sweep"), made, scalars);
  return made;
}

/**
 * The packing where all tensors lie in one GPU buffer and the target binds one, or each in its own and the target binds
 * them in parts.
 */
function packingFor(
  program: TileProgram,
  target: Target,
  tensors: Readonly<Record<string, HostTensor>>,
  cells: readonly string[],
): Packing | undefined {
  if (target.storageBuffers !== 1 && target.bindingBytes === undefined) return undefined;
  let end = 0;
  const places = program.params.flatMap((p) => {
    const t = tensors[p.name];
    if (t === undefined && !cells.includes(p.name)) return [];
    const bytes = t === undefined ? 4 : encodeBuffer(t).byteLength;
    const offset = end;
    end += Math.ceil(bytes / 256) * 256;
    const [writes, atomic] =
      p.kind === "tensor"
        ? [p.writes, p.atomic === true || (p.writes && isNarrow(t?.storage ?? "f32"))]
        : [false, false];
    return [{ name: p.name, home: target.storageBuffers === 1 ? "one" : p.name, offset, bytes, writes, atomic }];
  });
  return planPacking(places, { bindings: target.storageBuffers, bindingBytes: target.bindingBytes ?? 2 ** 27 });
}
