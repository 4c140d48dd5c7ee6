/**
 * Matrix-matrix product, and one with something done to each element on the way out.
 *
 * A program owns a block of rows; the columns lie across its lanes, so that a row of B is read contiguously and an
 * element of A serves them all. What is done to an element is a compile-time parameter: functions are inlined, so the
 * epilogue costs no memory traffic (the idea of CUTLASS's epilogues).
 */
import { block, dot, over, type real, type Static, type Tensor, tanh } from "tilestate/dsl";

type Options = Static<{ rows?: number; epilogue?: (x: number, columns: number) => number }>;

/** c [m, n] = epilogue(a [m, k] · b [k, n]). */
export function matmul(
  a: Tensor<"m k">,
  b: Tensor<"k n", real>,
  c: Tensor<"m n">,
  { rows = 4, epilogue = (x) => x }: Options,
): void {
  const i = block("m", rows);
  const j = block("n");
  let acc = 0;
  for (const k of over("k")) acc += dot(a.at(i, k), b.at(k, j));
  c.set([i, j], epilogue(acc, j));
}

/** c [m, n] = gelu(a [m, k] · b [k, n] + bias [n]), with the tanh form of GELU (Hendrycks & Gimpel 2016). */
export function matmulGelu(a: Tensor<"m k">, b: Tensor<"k n", real>, bias: Tensor<"n">, c: Tensor<"m n">): void {
  matmul(a, b, c, { epilogue: (x, j) => gelu(x + bias.at(j)) });
}

function gelu(z: number): number {
  return 0.5 * z * (1 + tanh(0.7978845608 * (z + 0.044715 * z * z * z)));
}
