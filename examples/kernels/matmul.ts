/**
 * Matrix-matrix product, and one with something done to each element on the way out.
 *
 * A program owns a block of rows; the columns lie across its lanes, so that a row of B is read contiguously and an element of A serves them all. The second
 * kernel passes a function to the first one's body: helpers are inlined, so the epilogue costs no memory traffic (the idea of CUTLASS's epilogues).
 */
import { block, dot, over, type real, type Tensor, tanh } from "tilestate/dsl";

/** c [m, n] = f(a [m, k] · b [k, n]). */
function product(
  a: Tensor<"m k">,
  b: Tensor<"k n", real>,
  c: Tensor<"m n">,
  f: (x: number, columns: number) => number,
): void {
  const i = block("m", 4);
  const j = block("n");
  let acc = 0;
  for (const k of over("k")) acc += dot(a.at(i, k), b.at(k, j));
  c.set([i, j], f(acc, j));
}

/** c [m, n] = a [m, k] · b [k, n]. */
export function matmul(a: Tensor<"m k">, b: Tensor<"k n", real>, c: Tensor<"m n">): void {
  product(a, b, c, (x, _) => x);
}

/** c [m, n] = gelu(a [m, k] · b [k, n] + bias [n]), with the tanh form of GELU (Hendrycks & Gimpel 2016). */
export function matmulGelu(a: Tensor<"m k">, b: Tensor<"k n", real>, bias: Tensor<"n">, c: Tensor<"m n">): void {
  product(a, b, c, (x, j) => {
    const z = x + bias.at(j);
    return 0.5 * z * (1 + tanh(0.7978845608 * (z + 0.044715 * z * z * z)));
  });
}
