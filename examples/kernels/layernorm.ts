/**
 * Layer normalisation (Ba, Kiros & Hinton 2016): each row is moved to mean 0 and scaled to variance 1, then scaled and
 * shifted by learned vectors.
 *
 * The mean is known before the squares are summed, so a row far from zero loses no digits (the two-pass form; Chan,
 * Golub & LeVeque 1983).
 */
import { over, program, type real, rsqrt, type Scalar, size, sum, type Tensor } from "tilestate/dsl";

/** y [rows, columns] = (x - mean) / sqrt(variance + eps) · gamma + beta, row by row. */
export function layerNorm(
  x: Tensor<"rows columns">,
  gamma: Tensor<"columns", real>,
  beta: Tensor<"columns", real>,
  eps: Scalar,
  y: Tensor<"rows columns">,
): void {
  const r = program("rows");
  let total = 0;
  for (const c of over("columns")) total += sum(x.at(r, c));
  const mean = total / size("columns");
  let square = 0;
  for (const c of over("columns")) {
    const d = x.at(r, c) - mean;
    square += sum(d * d);
  }
  const scale = rsqrt(square / size("columns") + eps);
  for (const c of over("columns")) y.set([r, c], (x.at(r, c) - mean) * scale * gamma.at(c) + beta.at(c));
}
