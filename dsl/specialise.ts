/**
 * Specialising a kernel by hand: the one part of the language that host code calls.
 *
 * What is made here is a note, nothing is compiled yet. Numbers and flags are taken from it when the kernel is loaded;
 * functions have no name that survives bundlers, so the compiler reads them where they stand in the source, in the
 * object that is passed here.
 */
import type { StaticsOf } from "./types.ts";

/** A kernel with its compile-time parameters given; `gpu.kernels` loads it like a kernel. */
export interface Instance<F extends (...args: never[]) => void = (...args: never[]) => void> {
  /** The kernel itself. */
  readonly kernel: F;
  /** Its compile-time parameters, by name. */
  readonly values: StaticsOf<F>;
}

/**
 * A kernel with its compile-time parameters given, for `gpu.kernels(import.meta, { name: specialise(kernel, { … }) })`,
 * in place or as a constant of that name. Functions must stand in the object itself, by name or as arrows.
 *
 * @param kernel A kernel whose last parameter is a `Static` object.
 * @param values Every compile-time parameter of that object.
 * @returns A note of both; nothing is compiled yet.
 */
export function specialise<F extends (...args: never[]) => void>(kernel: F, values: StaticsOf<F>): Instance<F> {
  return { kernel, values };
}
