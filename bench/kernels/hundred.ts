/**
 * A file of a hundred lines, for measuring the compiler: what a decoder's layer looks like when it is written in one
 * place.
 *
 * Generic matrix kernel with prologue and epilogue, norm, attention with an online softmax, top-k, and helpers among
 * them.
 */
import {
  amax,
  block,
  cast,
  dot,
  emptyTopk,
  every,
  exp,
  idiv,
  log,
  max,
  over,
  program,
  type real,
  rsqrt,
  type Scalar,
  type Static,
  select,
  silu,
  size,
  sum,
  type Tensor,
  topk,
  type u32,
  zeros,
} from "../../dsl/index.ts";

const EPSILON = 1e-5;

type Product = Static<{
  rows?: number;
  before?: (x: number, k: number) => number;
  after?: (x: number, r: number) => number;
}>;

/** y = after(w · before(x)) */
export function product(
  w: Tensor<"rows k", real>,
  x: Tensor<"k">,
  y: Tensor<"rows">,
  { rows = 4, before, after }: Product,
): void {
  const r = block("rows", rows);
  let acc = 0;
  for (const k of over("k")) {
    const v = before === undefined ? x.at(k) : before(x.at(k), k);
    acc += dot(w.at(r, k), v);
  }
  y.set([r], after === undefined ? acc : after(acc, r));
}

function scaleOf(x: Tensor<"k">): number {
  let squares = 0;
  for (const k of over("k")) squares += sum(x.at(k) ** 2);
  return rsqrt(squares / size("k") + EPSILON);
}

/** y = w · norm(x) + rest */
export function normed(
  w: Tensor<"rows k", real>,
  x: Tensor<"k">,
  gain: Tensor<"k">,
  rest: Tensor<"rows">,
  y: Tensor<"rows">,
): void {
  const scale = scaleOf(x);
  product(w, x, y, { before: (v, k) => v * gain.at(k), after: (v, r) => v * scale + rest.at(r) });
}

/** y = silu(gate · x) x (up · x), with the first half of the rows as the gate. */
export function gated(
  gate: Tensor<"rows k", real>,
  up: Tensor<"rows k", real>,
  x: Tensor<"k">,
  y: Tensor<"rows">,
): void {
  product(gate, x, y, {
    rows: 2,
    after: (g, r) => {
      let u = 0;
      for (const k of over("k")) u += dot(up.at(r, k), x.at(k), "k");
      return silu(g) * u;
    },
  });
}

/** One query over live slots, by online softmax; scores and their log-sum go to the policy. */
export function attend(
  q: Tensor<"heads dim">,
  keys: Tensor<"groups slots dim", real>,
  values: Tensor<"groups slots dim", real>,
  live: Scalar<u32>,
  out: Tensor<"heads dim">,
  lse: Tensor<"heads">,
): void {
  const h = program("heads");
  const g = idiv(h, idiv(size("heads"), size("groups")));
  const query = q.at(h) * rsqrt(cast(size("dim"), "f32"));
  let peak = -Infinity;
  let total = 0;
  let acc = zeros("dim");
  for (const s of over("slots", live)) {
    const score = dot(keys.at(g, s), query);
    const next = max(peak, amax(score));
    const p = exp(score - next);
    const fade = exp(peak - next);
    total = total * fade + sum(p);
    acc = acc * fade + dot(p, values.at(g, s));
    peak = next;
  }
  out.set([h], acc / total);
  lse.set([h], peak + log(total));
}

/** The k likeliest tokens and their share of the softmax, banned ones left out. */
export function likeliest(
  logits: Tensor<"vocab">,
  banned: Tensor<"vocab", u32>,
  ids: Tensor<"k", u32>,
  p: Tensor<"k">,
): void {
  let [best, at] = emptyTopk("k");
  let total = 0;
  for (const v of over("vocab")) {
    const x = select(banned.at(v) > 0, -Infinity, logits.at(v));
    [best, at] = topk(x, v, [best, at]);
    total += sum(exp(x));
  }
  ids.set([every("k")], at);
  p.set([every("k")], exp(best) / total);
}
