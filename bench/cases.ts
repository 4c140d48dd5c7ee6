/**
 * What is measured: kernels of the language beside the hand-written shaders that do the same, at the shapes that
 * language models and their neighbours use.
 *
 * A case makes its tensors when it is run and frees them afterwards. The numbers in them come from a fixed hash, so
 * that every run does the same work.
 */
import type { panelOn } from "../models/weights/load.ts";
import type { DeviceTensor, DType, Gpu } from "../runtime/index.ts";
import type { TensorOptions } from "../runtime/memory/layout.ts";
import { attend } from "./handwritten/attend.ts";
import { matmul } from "./handwritten/matmul.ts";
import { matvec, type WeightFormat } from "./handwritten/matvec.ts";
import { norm } from "./handwritten/norm.ts";
import type { Machine } from "./handwritten/shader.ts";
import { matvecTexture, type TexelFormat } from "./handwritten/texture.ts";
import type { Duel } from "./harness.ts";
import type { Kernels } from "./kernels/index.ts";

/** One line of the table. */
export interface Case {
  readonly name: string;
  readonly dtype: string;
  readonly shape: string;
  /** Bytes that must move to or from memory at least, each counted once. */
  readonly bytes: number;
  /** Multiplications and additions. */
  readonly flops: number;
  /** How often a step does it, for the cases of a model's shape. */
  readonly count?: number;
  /** The only kind of adapter that it means something on. */
  readonly on?: Machine["kind"];
  duel(bench: Bench): Duel;
}

/** What the cases take from a library: from this checkout's, or from another's that is measured by the same cases. */
export interface Library {
  readonly kernels: Kernels;
  readonly panelOn: typeof panelOn;
}

/** Loaded kernels, and tensors that are freed after each case. */
export class Bench {
  readonly gpu: Gpu;
  readonly machine: Machine;
  readonly kernels: Kernels;
  readonly panelOn: Library["panelOn"];
  readonly #held: { destroy(): void }[] = [];

  constructor(gpu: Gpu, machine: Machine, library: Library) {
    this.gpu = gpu;
    this.machine = machine;
    this.kernels = library.kernels;
    this.panelOn = library.panelOn;
  }

  /** With the kernels of this checkout, which are loaded here, so that this file can be used without them. */
  static async open(gpu: Gpu, machine: Machine): Promise<Bench> {
    const [{ loadKernels }, { panelOn }] = await Promise.all([
      import("./kernels/index.ts"),
      import("../models/weights/load.ts"),
    ]);
    return new Bench(gpu, machine, { kernels: await loadKernels(gpu), panelOn });
  }

  /** A tensor of numbers between -1 and 1. */
  filled(
    shape: readonly number[],
    dtype: DType,
    seed: number,
    place: Pick<TensorOptions, "panel" | "texture"> = {},
  ): DeviceTensor {
    const length = shape.reduce((a, b) => a * b, 1);
    return this.#hold(this.gpu.tensor(shape, dtype, { data: numbers(length, seed), ...place }));
  }

  empty(shape: readonly number[]): DeviceTensor {
    return this.#hold(this.gpu.tensor(shape));
  }

  words(values: readonly number[]): DeviceTensor {
    return this.#hold(this.gpu.tensor([values.length], "u32", { data: Uint32Array.from(values) }));
  }

  /** A uniform buffer of one number, as the hand-written shaders read scalars. */
  uniform(value: number): GPUBuffer {
    const device = this.gpu.device.raw;
    const buffer = device.createBuffer({ label: "scalar", size: 16, usage: 0x40 | 0x8 });
    device.queue.writeBuffer(buffer, 0, new Float32Array([value]));
    this.#held.push(buffer);
    return buffer;
  }

  #hold(tensor: DeviceTensor): DeviceTensor {
    this.#held.push(tensor);
    return tensor;
  }

  free(): void {
    for (const held of this.#held.splice(0)) held.destroy();
  }
}

/** Numbers between -1 and 1 from the finaliser of MurmurHash3. */
function numbers(length: number, seed: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    let x = (Math.imul(i + 1, 0x9e3779b9) + seed) | 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    out[i] = (x ^ (x >>> 16)) / 2 ** 31;
  }
  return out;
}

const STORED: Readonly<Record<WeightFormat, number>> = { f32: 4, f16: 2, q8: 1 + 2 / 32, q4: 0.5 + 2 / 32 };

/**
 * `asWeights`: the matrix lies as a decoder's weights do on this adapter, in panels in a texture on lavapipe, and not
 * row after row in a buffer.
 */
export function matvecCase(format: WeightFormat, rows: number, k: number, asWeights = false): Case {
  return {
    name: asWeights ? "weights" : "matvec",
    dtype: format,
    shape: `${rows}x${k}`,
    bytes: rows * k * STORED[format] + 4 * (rows + k),
    flops: 2 * rows * k,
    duel(bench): Duel {
      const panel = asWeights && isTexel(format) ? bench.panelOn(bench.gpu.capabilities, rows) : 1;
      const w = bench.filled([rows, k], format, 1, { panel, texture: panel > 1 });
      const [x, y] = [bench.filled([k], "f32", 2), bench.empty([rows])];
      return {
        ours: () => bench.kernels.matvec(w, x, y),
        handwritten:
          w.pitch !== undefined && isTexel(format)
            ? matvecTexture(bench.machine, format, rows, k, { panel, pitch: w.pitch })
            : matvec(bench.machine, format, rows, k),
        bindings: [w, x, y],
        outputs: [y],
        tolerance: 1e-4,
      };
    },
  };
}

function matmulCase(m: number, n: number, k: number): Case {
  return {
    name: "matmul",
    dtype: "f32",
    shape: `${m}x${n}x${k}`,
    bytes: 4 * (m * k + n * k + m * n),
    flops: 2 * m * n * k,
    duel(bench): Duel {
      const [a, b, c] = [bench.filled([m, k], "f32", 1), bench.filled([n, k], "f32", 2), bench.empty([m, n])];
      return {
        ours: () => bench.kernels.matmul(a, b, c),
        handwritten: matmul(bench.machine, m, n, k),
        bindings: [a, b, c],
        outputs: [c],
        tolerance: 1e-4,
      };
    },
  };
}

/** One query against a full cache, a KV head for every head. */
function attendCase(heads: number, dim: number, slots: number): Case {
  return {
    name: "attend",
    dtype: "f32",
    shape: `${heads}x${dim}x${slots}`,
    bytes: 4 * (2 * heads * slots * dim + 2 * heads * dim + heads * slots + heads),
    flops: 4 * heads * slots * dim,
    duel(bench): Duel {
      const q = bench.filled([heads, dim], "f32", 1);
      const k = bench.filled([heads, slots, dim], "f32", 2);
      const v = bench.filled([heads, slots, dim], "f32", 3);
      const clock = bench.words([slots - 1]);
      const feed = bench.words([slots - 1, 0, 0, 0, 0, 0, 0, 0]).view([1, 8]);
      const slot = bench.words([slots - 1]);
      const positions = bench.words(Array.from({ length: slots }, (_, i) => i)).view([1, 1, slots]);
      const [out, scores, lse] = [bench.empty([heads, dim]), bench.empty([heads, slots]), bench.empty([heads])];
      return {
        ours: () => {
          const [one, queries] = [
            [1, heads, 1, dim],
            [1, heads, slots, dim],
          ];
          const [rows, keys, values] = [q.view(one), k.view(queries), v.view(queries)];
          const byGroup = scores.view([1, 1, heads, 1, slots]);
          bench.kernels.attend(
            rows,
            keys,
            values,
            feed,
            slot,
            out.view(one),
            byGroup,
            lse.view([1, 1, heads, 1]),
            positions,
            0,
          );
        },
        handwritten: attend(bench.machine, heads, dim, slots),
        bindings: [q, k, v, clock, out, scores, lse],
        outputs: [out, scores, lse],
        tolerance: 1e-4,
      };
    },
  };
}

function normCase(rows: number, dim: number): Case {
  return {
    name: "rmsnorm",
    dtype: "f32",
    shape: `${rows}x${dim}`,
    bytes: 4 * (2 * rows * dim + dim),
    flops: 4 * rows * dim,
    duel(bench): Duel {
      const eps = 1e-5;
      const [x, gamma, y] = [
        bench.filled([rows, dim], "f32", 1),
        bench.filled([dim], "f32", 2),
        bench.empty([rows, dim]),
      ];
      return {
        ours: () => bench.kernels.norm(x, gamma, eps, y),
        handwritten: norm(bench.machine, rows, dim),
        bindings: [x, gamma, y, bench.uniform(eps)],
        outputs: [y],
        tolerance: 1e-4,
      };
    },
  };
}

export const FORMATS: readonly WeightFormat[] = ["f32", "f16", "q8", "q4"];

const IN_TEXTURES: readonly TexelFormat[] = ["f32", "f16"];

function isTexel(format: WeightFormat): format is TexelFormat {
  return format === "f32" || format === "f16";
}

/** The table of `tilestate bench kernels`. */
export const CASES: readonly Case[] = [
  ...FORMATS.flatMap((f) => [matvecCase(f, 4096, 4096), matvecCase(f, 2048, 2048), matvecCase(f, 768, 288)]),
  ...IN_TEXTURES.flatMap((f) =>
    (
      [
        [4096, 4096],
        [2048, 2048],
        [768, 288],
      ] as const
    ).map(([rows, k]): Case => ({ ...matvecCase(f, rows, k, true), on: "lavapipe" })),
  ),
  matmulCase(128, 1024, 1024),
  attendCase(32, 64, 2048),
  attendCase(8, 128, 8192),
  normCase(256, 2048),
];

/** The same work in small: what the tests check on every adapter. */
export const SMALL: readonly Case[] = [
  ...FORMATS.map((f) => matvecCase(f, 128, 256)),
  ...FORMATS.map((f) => matvecCase(f, 192, 288)),
  ...IN_TEXTURES.map((f) => matvecCase(f, 192, 288, true)),
  matmulCase(64, 128, 64),
  attendCase(4, 64, 33),
  attendCase(2, 128, 16),
  normCase(32, 256),
];
