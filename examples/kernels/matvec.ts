/**
 * Matrix-vector product, the operation that decoding a language model consists of.
 *
 * One kernel for every weight format: `real` stands for f32, f16, bf16, q8 and q4, and the kernel is specialised by the
 * tensor it is given. A program owns some rows (the compiler knows how many are good on this adapter), so that each
 * piece of x that was loaded serves several products.
 */
import { block, dot, over, type real, type Tensor } from "tilestate/dsl";

/** y [rows] = w [rows, k] · x [k]. */
export function matvec(w: Tensor<"rows k", real>, x: Tensor<"k">, y: Tensor<"rows">): void {
  const r = block("rows");
  let acc = 0;
  for (const k of over("k")) acc += dot(w.at(r, k), x.at(k));
  y.set([r], acc);
}
