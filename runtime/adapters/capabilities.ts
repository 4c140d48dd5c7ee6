/**
 * What an adapter can do, as the compiler and the kernels' schedules need to know it.
 *
 * Two schedules exist for one source: "software" (few fat invocations, no shared memory) and "gpu" (coalesced, tiles);
 * and feature levels say which features the generated code may lean on. Each feature level includes those below it, so
 * a variant is named by one word.
 */
import type { AdapterTraits } from "../../compiler/index.ts";
import { env } from "../common/env.ts";
import { UserError } from "../common/errors.ts";
import { familyOf, traitsOf } from "./traits.ts";

/** L0 core WebGPU; L1 subgroups of unknown size; L2 f16 storage; L3 pinned subgroup size; L4 subgroup matrices. */
export type FeatureLevel = "L0" | "L1" | "L2" | "L3" | "L4";

/** One shape that the adapter's matrix units multiply: [M, K] x [K, N] of `component` into [M, N] of `result`. */
export interface SubgroupMatrix {
  /** Type of the operands, as `f16`. */
  readonly component: string;
  /** Type of the sums, as `f32`. */
  readonly result: string;
  /** Rows of the left operand and of the result. */
  readonly M: number;
  /** Columns of the right operand and of the result. */
  readonly N: number;
  /** Columns of the left operand, rows of the right. */
  readonly K: number;
}

/** The largest sizes a kernel may use here. */
export interface Limits {
  /** Bytes of one storage binding. */
  readonly bindingBytes: number;
  /** Bytes of one buffer. */
  readonly bufferBytes: number;
  /** Invocations of one workgroup. */
  readonly workgroupInvocations: number;
  /** Bytes of workgroup memory. */
  readonly workgroupBytes: number;
  /** Storage buffers of one kernel. */
  readonly storageBuffers: number;
  /** Workgroups along one dimension of a dispatch. */
  readonly workgroups: number;
  /** Textures that one kernel reads. */
  readonly storageTextures: number;
  /** Texels along a side of a texture. */
  readonly textureExtent: number;
}

/** Everything that code generation and scheduling ask about an adapter. */
export interface Capabilities {
  /** What the adapter calls itself, in short. */
  readonly name: string;
  /** The maker's name as WebGPU gives it; empty where it gives none. */
  readonly vendor: string;
  /** The family of GPUs as WebGPU gives it; empty where it gives none. */
  readonly architecture: string;
  /** The driver's own sentence; empty where it gives none. */
  readonly description: string;
  /** What it runs on: the CPU, a GPU in its package, or a card. */
  readonly kind: "software" | "integrated" | "discrete" | "unknown";
  /** Which of the two kinds of schedule it gets. */
  readonly profile: "software" | "gpu";
  /** Shaders may compute in half precision. */
  readonly f16: boolean;
  /** Least and most lanes of a subgroup; undefined where it has none. */
  readonly subgroups: { readonly min: number; readonly max: number } | undefined;
  /** A shader may pin the size of its subgroups. */
  readonly subgroupSizeControl: boolean;
  /** Shapes that its matrix units multiply; empty where it has none. */
  readonly subgroupMatrix: readonly SubgroupMatrix[];
  /** Dispatches can be timed. */
  readonly timestamps: boolean;
  /** The largest sizes a kernel may use. */
  readonly limits: Limits;
  /** The features that generated code leans on. */
  readonly featureLevel: FeatureLevel;
  /** What it is like beyond features and limits. */
  readonly traits: AdapterTraits;
}

/** The part of an adapter that is read here; a device offers the same under other names. */
export interface AdapterFacts {
  readonly info: GPUAdapterInfo;
  readonly features: { has(name: string): boolean };
  readonly limits: GPUSupportedLimits;
}

const FEATURE_LEVELS: readonly FeatureLevel[] = ["L0", "L1", "L2", "L3", "L4"];

/**
 * Describes an adapter, or a device through `{ info: device.adapterInfo, features: device.features, limits:
 * device.limits }`. TILESTATE_FEATURE_LEVEL lowers the feature level, and never raises it.
 * @param traits that count in place of the adapter's own, for tests and experiments.
 * @throws UserError when TILESTATE_FEATURE_LEVEL is not a feature level, and for traits that are none.
 */
export function describeAdapter(adapter: AdapterFacts, traits: Partial<AdapterTraits> = {}): Capabilities {
  const { info, features, limits } = adapter;
  const kind = kindOf(info);
  const { subgroupMinSize: min, subgroupMaxSize: max } = info;
  const subgroups =
    features.has("subgroups") && min !== undefined && max !== undefined && min > 0 ? { min, max } : undefined;
  const found = {
    f16: features.has("shader-f16"),
    subgroups,
    subgroupSizeControl: features.has("subgroup-size-control"),
    subgroupMatrix: features.has("chromium-experimental-subgroup-matrix") ? matricesOf(info) : [],
  };
  return {
    name: nameOf(info),
    vendor: info.vendor,
    architecture: info.architecture,
    description: info.description,
    kind,
    profile: kind === "software" ? "software" : "gpu",
    ...found,
    timestamps: features.has("timestamp-query"),
    limits: {
      bindingBytes: limits.maxStorageBufferBindingSize,
      bufferBytes: limits.maxBufferSize,
      workgroupInvocations: limits.maxComputeInvocationsPerWorkgroup,
      workgroupBytes: limits.maxComputeWorkgroupStorageSize,
      storageBuffers: limits.maxStorageBuffersPerShaderStage,
      workgroups: limits.maxComputeWorkgroupsPerDimension,
      storageTextures: limits.maxStorageTexturesPerShaderStage,
      textureExtent: limits.maxTextureDimension2D,
    },
    featureLevel: lowered(featureLevelOf(found)),
    traits: traitsOf(info, traits),
  };
}

/** True for adapters that run on the CPU. */
export function isSoftware(info: GPUAdapterInfo): boolean {
  return familyOf(info) !== "gpu";
}

/** True for the backend of Dawn that validates and compiles but computes nothing. */
export function isNullBackend(info: GPUAdapterInfo): boolean {
  return info.device === "null-backend";
}

/** A readable name: Dawn writes the device as one word with hyphens for everything else. */
export function nameOf(info: GPUAdapterInfo): string {
  // Some implementations give the device's number instead.
  const device = /^(0x)?\d*$/.test(info.device) ? "" : info.device.replace(/-+/g, " ").trim();
  return device || info.description || [info.vendor, info.architecture].filter(Boolean).join(" ") || "unnamed adapter";
}

/** WebGPU does not tell what sort of device it is, so this goes by vendor and name, and says "unknown" in doubt. */
function kindOf(info: GPUAdapterInfo): Capabilities["kind"] {
  if (isSoftware(info)) return "software";
  const name = `${info.device} ${info.description}`.toLowerCase().replace(/-+/g, " ");
  switch (info.vendor.toLowerCase()) {
    case "nvidia":
      return /tegra|orin|xavier|thor|jetson/.test(name) ? "integrated" : "discrete";
    case "intel":
      return /arc \(?(tm\)? )?(pro )?[ab]\d/.test(name) ? "discrete" : "integrated";
    case "amd":
      if (/\brx \d|radeon pro|instinct|\bmi\d{2,3}/.test(name)) return "discrete";
      return /graphics|\d{3}m\b/.test(name) ? "integrated" : "unknown";
    case "apple":
    case "arm":
    case "qualcomm":
    case "img-tec":
      return "integrated";
    default:
      return "unknown";
  }
}

function matricesOf(info: GPUAdapterInfo): readonly SubgroupMatrix[] {
  interface Config {
    readonly componentType: string;
    readonly resultComponentType: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }
  // Experimental in Dawn and absent from the published types.
  const configs = [...((info as { readonly subgroupMatrixConfigs?: Iterable<Config> }).subgroupMatrixConfigs ?? [])];
  // The null backend has the feature, names no shape and compiles any: a common one lets tensor-core kernels be checked
  // there.
  if (configs.length === 0 && isNullBackend(info)) return [{ component: "f16", result: "f32", M: 16, N: 16, K: 16 }];
  return configs.map(({ componentType, resultComponentType, M, N, K }) => ({
    component: componentType,
    result: resultComponentType,
    M,
    N,
    K,
  }));
}

function featureLevelOf(
  found: Pick<Capabilities, "f16" | "subgroups" | "subgroupSizeControl" | "subgroupMatrix">,
): FeatureLevel {
  if (found.subgroups === undefined) return "L0";
  if (!found.f16) return "L1";
  if (!found.subgroupSizeControl) return "L2";
  return found.subgroupMatrix.length === 0 ? "L3" : "L4";
}

function lowered(featureLevel: FeatureLevel): FeatureLevel {
  const wish = env("TILESTATE_FEATURE_LEVEL")?.toUpperCase();
  if (wish === undefined) return featureLevel;
  const index = FEATURE_LEVELS.indexOf(wish as FeatureLevel);
  if (index < 0)
    throw new UserError(`TILESTATE_FEATURE_LEVEL: expected one of ${FEATURE_LEVELS.join(", ")}, got "${wish}"`);
  return FEATURE_LEVELS[Math.min(index, FEATURE_LEVELS.indexOf(featureLevel))] as FeatureLevel;
}
