/** Ways of running a kernel on an adapter, and where its tensors lie in each: harness.ts goes through them. */

import type { TileProgram } from "../../compiler/index.ts";
import { isNarrow } from "../../compiler/ir/formats.ts";
import type { Knobs, Target } from "../../compiler/schedule/target.ts";
import { TRAITS } from "../../runtime/adapters/traits.ts";
import type { Device } from "../../runtime/device/device.ts";
import { createTensor, type TensorSpec } from "../../runtime/memory/create.ts";
import { bytesOf, type DType } from "../../runtime/memory/dtype.ts";
import type { DeviceTensor } from "../../runtime/memory/tensor.ts";

/** A way of running a kernel on an adapter. */
export interface Level {
  readonly label: string;
  readonly target: Target;
  readonly knobs?: Knobs;
  /** Run where products go through workgroup memory, and left out elsewhere. */
  readonly tiles?: boolean;
  /** All tensors lie in one GPU buffer. */
  readonly together?: boolean;
  /** What is only read lies in textures, as much of it as the adapter allows. */
  readonly textures?: boolean;
}

export type Specs = Readonly<Record<string, TensorSpec>>;

/** Each tensor in a buffer of its own, or in a texture. */
export function separate(device: Device, specs: Specs, textures: readonly string[]): [string, DeviceTensor][] {
  return Object.entries(specs).map(([label, { shape, dtype, data, panel }]) => [
    label,
    createTensor(device, shape, dtype ?? "f32", { label, data, panel, texture: textures.includes(label) }),
  ]);
}

/** Tensors that may lie in textures: those that are not written, and no more than the adapter gives a kernel. */
export function inTextures(program: TileProgram, device: Device, specs: Specs): string[] {
  const read = program.params.filter((p) => p.name in specs && !(p.kind === "tensor" && p.writes));
  return read.slice(0, device.capabilities.limits.storageTextures).map((p) => p.name);
}

/**
 * As few bindings as there can be: one, and another two for each tensor that must be bound alone and lies in between.
 */
export function packed(program: TileProgram, own: Target, specs: Readonly<Record<string, TensorSpec>>): Level {
  // Elements that are parts of words may be stored one by one, which are atomic operations.
  const narrow = (name: string): boolean => isNarrow(specs[name]?.dtype ?? "f32");
  const alone = program.params.filter(
    (p) => p.kind === "tensor" && (p.atomic === true || (p.writes && narrow(p.name))),
  ).length;
  return { label: "all in one buffer", target: { ...own, storageBuffers: 1 + 2 * alone }, together: true };
}

/**
 * With bindings as short as they can be: what is only read comes in up to three parts, as the adapter's bindings allow.
 * Nothing where what is written is as long.
 */
export function parted(
  program: TileProgram,
  own: Target,
  specs: Readonly<Record<string, TensorSpec & { dtype: DType }>>,
): Level[] {
  const bytes = (name: string): number => {
    const { shape, dtype } = specs[name] as TensorSpec & { dtype: DType };
    return bytesOf(dtype) * (shape as readonly number[]).reduce((a, b) => a * b, 1);
  };
  const all = Object.keys(specs).map(bytes);
  const written = program.params.flatMap((p) => (p.kind === "tensor" && p.writes ? [bytes(p.name)] : []));
  for (const parts of [3, 2]) {
    const bindingBytes = Math.ceil(Math.max(Math.max(...all) / parts, ...written) / 256) * 256;
    if (Math.max(...all) <= bindingBytes) return [];
    const bindings = all.reduce((n, b) => n + Math.ceil(b / bindingBytes), 0);
    if (bindings <= own.storageBuffers) return [{ label: "in parts", target: { ...own, bindingBytes } }];
  }
  return [];
}

/** The levels that every adapter has, and its own. */
export function levelsOf(own: Target): Level[] {
  const none = { ...own, subgroup: 0, pinned: false };
  return [
    ...(own.subgroup === 0 ? [] : [{ label: `${own.subgroup} lanes`, target: own }]),
    { label: "L0", target: none },
    { label: "one thread a program", target: own, knobs: { lanes: 1 } },
    {
      label: "workgroup tiles",
      target: { ...own, profile: "gpu", traits: TRAITS.gpu, subgroup: 0, pinned: false },
      tiles: true,
    },
  ];
}
