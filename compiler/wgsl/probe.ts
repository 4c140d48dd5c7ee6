/**
 * The probe of subgroups: a shader that writes what each invocation is in its subgroup, for the runtime to compare with
 * what kernels are compiled for.
 */

/**
 * Words that an invocation writes: its subgroup's size, its own number in it, and the lowest and highest number in the
 * workgroup of the subgroup's invocations.
 */
export const PROBE_WORDS = 4;

/**
 * The probe's shader. Its one binding is an array of `PROBE_WORDS` words for each invocation of one workgroup, in the
 * order of local_invocation_index.
 * @param invocations of the workgroup.
 * @param pinned the subgroup size that is asked for, as kernels ask for it; undefined where they leave it to the
 *   adapter.
 */
export function subgroupProbe(invocations: number, pinned?: number): string {
  return [
    "enable subgroups;",
    ...(pinned === undefined ? [] : ["enable subgroup_size_control;"]),
    `@group(0) @binding(0) var<storage, read_write> seen: array<vec4<u32>, ${invocations}>;`,
    `@compute @workgroup_size(${invocations})${pinned === undefined ? "" : ` @subgroup_size(${pinned})`}`,
    "fn main(@builtin(local_invocation_index) lid: u32, @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) size: u32) {",
    "  seen[lid] = vec4<u32>(size, lane, subgroupMin(lid), subgroupMax(lid));",
    "}",
    "",
  ].join("\n");
}
