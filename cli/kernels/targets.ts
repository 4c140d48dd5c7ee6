/** Adapters that code can be shown for without being there, and sizes of dims nobody gave. */
import type { StorageType, Target, TileProgram } from "../../compiler/index.ts";
import { TRAITS } from "../../runtime/adapters/traits.ts";

const SOFTWARE = { profile: "software", pinned: false, traits: TRAITS.lavapipe } as const;

const GPU: Target = {
  profile: "gpu",
  subgroup: 32,
  pinned: true,
  maxInvocations: 1024,
  storageBuffers: 16,
  workgroupBytes: 49152,
  traits: TRAITS.gpu,
};

/**
 * What `targetOf` gives for these adapters; `gpu` is a common discrete one, `L4` one with matrix units as well, `L0`
 * what every WebGPU has.
 */
export const TARGETS: Readonly<Record<string, Target>> = {
  lavapipe: { ...SOFTWARE, subgroup: 8, maxInvocations: 1024, storageBuffers: 16 },
  swiftshader: { ...SOFTWARE, subgroup: 4, maxInvocations: 256, storageBuffers: 16, traits: TRAITS.swiftshader },
  gpu: GPU,
  L4: { ...GPU, matrix: [{ component: "f16", result: "f32", M: 16, N: 16, K: 16 }] },
  L0: { ...SOFTWARE, subgroup: 0, maxInvocations: 256, storageBuffers: 8 },
};

/** Sizes that the kernels meet in hearth with tova:128, and the constants of the decoder. */
const SIZES: Readonly<Record<string, number>> = {
  dim: 256,
  inner: 256,
  tokens: 1,
  sequences: 1,
  scored: 1,
  feed: 8,
  queries: 2,
  layers: 6,
  lanes: 64,
  lane: 64,
  stops: 16,
  ff: 640,
  vocab: 1024,
  heads: 4,
  groups: 2,
  slots: 129,
  half: 32,
  halves: 2,
  parts: 2,
  scales: 2,
  turns: 1024,
  clock: 8,
  settings: 4,
  ring: 64,
  one: 1,
};
/** One word means different things in different kernels. */
const SPECIAL: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  attend: { dim: 64 },
  append: { dim: 64 },
  flash: { dim: 64, tokens: 64 },
  moveCache: { dim: 64 },
  place: { dim: 64 },
  qkv: { rows: 8 },
};
const OTHERWISE = 64;

/** Every dim of the kernel with a size: the given ones, else hearth's, else 64. */
export function sizesOf(program: TileProgram, given: Readonly<Record<string, number>>): Record<string, number> {
  const dims = new Set(program.params.flatMap((p) => (p.kind === "tensor" ? p.dims : [])));
  const guess = (d: string): number => SPECIAL[program.name]?.[d] ?? SIZES[d] ?? OTHERWISE;
  return Object.fromEntries([...dims].map((d) => [d, given[d] ?? guess(d)]));
}

/** The storage of each tensor: the given one, else the first that the kernel accepts. */
export function storageOf(program: TileProgram, given: Readonly<Record<string, string>>): Record<string, StorageType> {
  const out: Record<string, StorageType> = {};
  for (const p of program.params) {
    if (p.kind === "tensor") out[p.name] = (given[p.name] as StorageType | undefined) ?? (p.storage[0] as StorageType);
  }
  return out;
}
