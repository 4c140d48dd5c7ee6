/**
 * Attention over a whole prompt with a causal mask, without the score matrix in memory (FlashAttention; Dao et al.
 * 2022).
 *
 * A program owns a block of queries of one head and walks the keys that its last query may see. Softmax is kept up as
 * in softmax.ts, one peak and one sum a query. Heads share keys and values in groups (grouped-query attention; Ainslie
 * et al. 2023).
 */
import {
  amax,
  block,
  dot,
  exp,
  idiv,
  max,
  over,
  program,
  rsqrt,
  select,
  size,
  sum,
  type Tensor,
  zeros,
} from "tilestate/dsl";

/**
 * out [heads, queries, dim]: query i sees keys 0 … i + keys - queries, so that the last query sees all of them. Where
 * there are more queries than keys, the first ones see nothing, and their rows are 0. q [heads, queries, dim]; k and v
 * [groups, keys, dim].
 */
export function flash(
  q: Tensor<"heads queries dim">,
  k: Tensor<"groups keys dim">,
  v: Tensor<"groups keys dim">,
  out: Tensor<"heads queries dim">,
): void {
  const h = program("heads");
  const i = block("queries", 4);
  const g = idiv(h, idiv(size("heads"), size("groups")));
  // How many keys: the difference of the sizes alone may be negative, which u32 has not.
  const sees = max(i + 1 + size("keys"), size("queries")) - size("queries");
  const query = q.at(h, i) * rsqrt(size("dim"));
  let peak = -Infinity;
  let total = 0;
  let acc = zeros("dim");
  for (const s of over("keys", amax(sees))) {
    const score = select(s < sees, dot(query, k.at(g, s)), -Infinity);
    const next = max(peak, amax(score, "keys"));
    const p = exp(score - next);
    const fade = exp(peak - next);
    total = total * fade + sum(p, "keys");
    acc = acc * fade + dot(p, v.at(g, s));
    peak = next;
  }
  out.set([h, i], select(sees > 0, acc / total, 0));
}
