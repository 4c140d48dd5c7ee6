/** Kernels of matrix products in all the shapes that go through workgroup tiles. */
import {
  block,
  dot,
  type f16,
  type f32,
  idiv,
  over,
  program,
  type real,
  rsqrt,
  type Scalar,
  select,
  silu,
  size,
  sum,
  type Tensor,
  type u32,
  zeros,
} from "tilestate/dsl";

/** c = a · bᵀ: both operands contiguous along k. */
export function rowsByRows(a: Tensor<"m k", real>, b: Tensor<"n k", real>, c: Tensor<"m n", f32 | f16>): void {
  const i = block("m");
  const j = block("n");
  let acc = 0;
  for (const k of over("k")) acc += dot(a.at(i, k), b.at(j, k));
  c.set([i, j], acc);
}

/** c = a · b, b contiguous along n. */
export function rowsByColumns(a: Tensor<"m k", real>, b: Tensor<"k n", real>, c: Tensor<"m n">): void {
  const i = block("m", 4);
  const j = block("n");
  let acc = 0;
  for (const k of over("k")) acc += dot(a.at(i, k), b.at(k, j));
  c.set([i, j], acc);
}

/** c = aᵀ · b, transposed on the way out; neither is contiguous along k. */
export function turned(a: Tensor<"k m", real>, b: Tensor<"k n">, c: Tensor<"n m">): void {
  const i = block("m");
  const j = block("n");
  let acc = 0;
  for (const k of over("k")) acc += dot(a.at(k, i), b.at(k, j));
  c.set([j, i], 2 * acc + 1);
}

/** One product for each head, over the live keys only, scaled and added to what is there. */
export function heads(
  q: Tensor<"heads queries dim">,
  k: Tensor<"groups keys dim", real>,
  live: Scalar<u32>,
  y: Tensor<"heads queries keys">,
): void {
  const h = program("heads");
  const g = idiv(h, idiv(size("heads"), size("groups")));
  const i = block("queries");
  const j = block("keys");
  let acc = 0;
  for (const d of over("dim", live)) acc += dot(q.at(h, i, d), k.at(g, j, d));
  y.set([h, i, j], y.at(h, i, j) + acc * rsqrt(size("dim")));
}

/**
 * The gated half of a feed-forward layer with its norm: two products that share a side, and a sum of squares for each
 * row.
 */
export function gated(
  x: Tensor<"tokens dim">,
  gamma: Tensor<"dim", real>,
  gate: Tensor<"ff dim", real>,
  up: Tensor<"ff dim", real>,
  eps: Scalar,
  h: Tensor<"tokens ff">,
  norms: Tensor<"tokens">,
): void {
  const t = block("tokens");
  const r = block("ff");
  let square = 0;
  let a = 0;
  let b = 0;
  for (const d of over("dim")) {
    const y = x.at(t, d);
    const n = y * gamma.at(d);
    square += sum(y * y, "dim");
    a += dot(n, gate.at(r, d));
    b += dot(n, up.at(r, d));
  }
  const scale = rsqrt(square / size("dim") + eps);
  h.set([t, r], silu(a * scale) * b * scale);
  norms.set([t], scale);
}

/**
 * A whole dim of columns, two loops one after the other, a start that is not zero, and a factor for each column inside
 * the sum.
 */
export function twice(
  a: Tensor<"m k">,
  b: Tensor<"k n", real>,
  c: Tensor<"l n">,
  d: Tensor<"m l">,
  by: Tensor<"n">,
  y: Tensor<"m n">,
): void {
  const i = block("m");
  let acc = zeros("n") + by.at();
  for (const k of over("k")) acc += dot(a.at(i, k), b.at(k) * by.at());
  for (const l of over("l")) acc += dot(d.at(i, l), c.at(l)) + dot(d.at(i, l) * 2, c.at(l));
  y.set([i], acc);
}

/** The reduced dim taken whole, twice, with something done to one side first; scores as attention has them. */
export function wholes(q: Tensor<"m k">, k: Tensor<"n k", real>, by: Tensor<"k">, y: Tensor<"m n">): void {
  const i = block("m", 2);
  const j = block("n");
  const scores = dot(q.at(i) * rsqrt(size("k")) * by.at(), k.at(j));
  y.set([i, j], select(j <= i, scores + dot(q.at(i), k.at(j)), -1));
}

/** No product: the distance between rows of a and rows of b. */
export function distances(a: Tensor<"m k">, b: Tensor<"n k">, c: Tensor<"m n">): void {
  const i = block("m", 4);
  const j = block("n", 4);
  let acc = 0;
  for (const k of over("k")) acc += sum((a.at(i, k) - b.at(j, k)) ** 2, "k");
  c.set([i, j], acc);
}
