/** The compile target of an adapter: in go its capabilities, out comes what code generation asks for. */
import type { Target } from "../../compiler/index.ts";
import type { Capabilities } from "./capabilities.ts";

/**
 * What code generation needs to know of an adapter.
 * @param c capabilities of the adapter
 */
export function targetOf(c: Capabilities): Target {
  const order = ["L0", "L1", "L2", "L3", "L4"];
  const featureLevel = order.indexOf(c.featureLevel);
  const { subgroups } = c;
  const fixed = featureLevel >= 1 && subgroups !== undefined && subgroups.min === subgroups.max;
  const pinned = !fixed && featureLevel >= 3 && subgroups !== undefined;
  return {
    profile: c.profile,
    subgroup: fixed ? subgroups.min : pinned ? Math.min(32, subgroups.max) : 0,
    pinned,
    maxInvocations: c.limits.workgroupInvocations,
    storageBuffers: c.limits.storageBuffers,
    workgroupBytes: c.limits.workgroupBytes,
    traits: c.traits,
    ...(featureLevel >= 4 ? { matrix: c.subgroupMatrix } : {}),
  };
}
