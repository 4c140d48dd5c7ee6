/**
 * The measured kernels, loaded for one GPU. They have a module of their own because a kernel is found by the name it
 * has where it is loaded.
 */
import { attend } from "../../models/kernels/attend.ts";
import type { Gpu, Launch } from "../../runtime/index.ts";
import { arithmetic } from "./arithmetic.ts";
import { matmul } from "./matmul.ts";
import { matvec } from "./matvec.ts";
import { norm } from "./norm.ts";

export interface Kernels {
  readonly arithmetic: Launch<typeof arithmetic>;
  readonly attend: Launch<typeof attend>;
  readonly matmul: Launch<typeof matmul>;
  readonly matvec: Launch<typeof matvec>;
  readonly norm: Launch<typeof norm>;
}

export function loadKernels(gpu: Gpu): Promise<Kernels> {
  return gpu.kernels(import.meta, { arithmetic, attend, matmul, matvec, norm });
}
