/** A generic kernel, epilogues and a specialised kernel in another file, as a project shares them. */
import {
  block,
  type DType,
  dot,
  type Instance,
  max,
  over,
  type real,
  type Static,
  specialise,
  type Tensor,
} from "../../dsl/index.ts";

export type Options = Static<{
  /** Rows of a program. */
  rows?: number;
  transposed?: boolean;
  mode?: "plain" | "square";
  prologue?: (x: number, k: number) => number;
  epilogue?: (x: number, row: number, column: number) => number;
}>;

/** c [m, n] = epilogue(prologue(a [m, k]) · b), with b [k, n], or [n, k] when it is transposed. */
export function product(
  a: Tensor<"m k">,
  b: Tensor<"k n", real>,
  bt: Tensor<"n k", real>,
  c: Tensor<"m n">,
  { rows = 2, transposed = false, mode = "plain", prologue, epilogue = same }: Options,
): void {
  const i = block("m", rows);
  const j = block("n");
  let acc = 0;
  for (const k of over("k")) {
    const left = prologue === undefined ? a.at(i, k) : prologue(a.at(i, k), k);
    acc += dot(left, transposed ? bt.at(j, k) : b.at(k, j), "k");
  }
  if (mode === "square") acc *= acc;
  c.set([i, j], epilogue(acc, i, j));
}

function same(x: number): number {
  return x;
}

/** An epilogue that takes less than it is given. */
export function relu(x: number): number {
  return max(x, 0);
}

/** An epilogue that is a constant, and calls another helper. */
export const leaky = (x: number, row: number): number => relu(x) - 0.1 * relu(-x) + row;

export const squared: Instance<typeof product> = specialise(product, { mode: "square", rows: 3 });

/** The last element that is larger than its neighbour before: a helper for tensors of any element type. */
export function copy<T extends DType>(x: Tensor<"n", T>, y: Tensor<"n", T>, f: (v: number) => number): void {
  const i = block("n");
  y.set([i], f(x.at(i)));
}
