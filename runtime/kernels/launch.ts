/**
 * The types of loading and calling kernels: what `gpu.kernels` takes, and the typed call that a kernel function
 * becomes. In goes the type of the source's function, out comes that of the call.
 */
import type { Statics, StaticValue } from "../../compiler/index.ts";
import type { DType, RunTime, Tensor } from "../../dsl/index.ts";
import type { DeviceTensor } from "../memory/tensor.ts";

/**
 * What is passed for a parameter: a tensor on the GPU, or for a Scalar a number or a one-element tensor (read at every
 * run).
 */
export type Argument<P> = P extends Tensor<string, DType> ? DeviceTensor : number | DeviceTensor;

/** What `gpu.kernels` loads: a kernel, or one with its compile-time parameters given. */
export type Loadable =
  | ((...args: never[]) => void)
  | { readonly kernel: (...args: never[]) => void; readonly values: unknown };

/** The compile-time parameters that have a value here; functions are the source's business. */
export function staticsOf(functions: Readonly<Record<string, Loadable>>): Statics {
  const found: Record<string, Record<string, StaticValue>> = {};
  for (const [name, f] of Object.entries(functions)) {
    if (typeof f === "function") continue;
    found[name] = Object.fromEntries(
      Object.entries(f.values as object).filter(([, v]) => ["number", "boolean", "string"].includes(typeof v)),
    ) as Record<string, StaticValue>;
  }
  return found;
}

/** The call that a kernel function becomes once it is loaded; compile-time parameters are settled by then. */
export type Launch<F> = F extends { readonly kernel: infer G }
  ? Launch<G>
  : F extends (...args: infer A) => void
    ? (...args: Arguments<RunTime<A>>) => void
    : never;

/** What is passed for a list of parameters. */
export type Arguments<A> = { [I in keyof A]: Argument<A[I]> };
