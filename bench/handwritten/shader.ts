/**
 * What the hand-written shaders share: the shape of a program that one subgroup or one thread runs, and the text around
 * it.
 *
 * These shaders are the yardstick for generated code, so each is written for the adapter it runs on, with sizes as
 * literals and as few cross-lane steps as the work allows. Templates spare writing the same row four times; every
 * instruction in them is deliberate.
 */

/** Who runs a hand-written shader. */
export interface Machine {
  readonly kind: "lavapipe" | "swiftshader" | "gpu";
  /** Lanes of a subgroup. */
  readonly subgroup: number;
  /** The subgroup size must be pinned by the shader. */
  readonly pinned: boolean;
}

/** A shader and the number of its workgroups. Bindings are group 0, in the order of the kernel's tensors. */
export interface Handwritten {
  readonly code: string;
  readonly workgroups: readonly [number, number];
}

/** `count` lines or terms, made from their numbers. */
export function repeat(count: number, text: (i: number) => string, separator = "\n  "): string {
  return Array.from({ length: count }, (_, i) => text(i)).join(separator);
}

/**
 * One program for each subgroup or, with `lanes` 1, for each thread: the directives and the head of `main`, which
 * defines `pid` and `lane`.
 */
export function frame(machine: Machine, lanes: number, workgroup: number, declarations: string, body: string): string {
  const grouped = lanes > 1;
  const head = grouped
    ? `enable subgroups;\n${machine.pinned ? "enable subgroup_size_control;\n" : ""}diagnostic(off, subgroup_uniformity);\n`
    : "";
  const pin = grouped && machine.pinned ? ` @subgroup_size(${lanes})` : "";
  const each = workgroup / lanes;
  return `${head}${declarations}
@compute @workgroup_size(${workgroup})${pin}
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let pid = group.x * ${each}u + thread / ${lanes}u;
  let lane = thread % ${lanes}u;
  ${body.trim()}
}
`;
}

/** A storage binding; its length is part of the type, which lets adapters drop checks. */
export function binding(number: number, name: string, type: string, length: number, writes = false): string {
  return `@group(0) @binding(${number}) var<storage, ${writes ? "read_write" : "read"}> ${name}: array<${type}, ${length}>;`;
}
