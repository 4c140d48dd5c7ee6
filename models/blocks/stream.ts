/** What tokens carry from block to block: rows of memory that all layers use in turn. */
import type { DeviceTensor } from "../../runtime/index.ts";

/** Rows of tokens, as wide as the widest layer has them. */
export interface Stream {
  readonly tokens: number;
  /** The residual stream, [tokens, dim]. */
  readonly x: DeviceTensor;
  /** cos and sin of each token's position, [tokens, 2, pairs]. */
  readonly angles: DeviceTensor;
  /** Queries, [tokens, heads, headDim]. */
  readonly q: DeviceTensor;
  /** What attention gives, [tokens, heads, headDim]. */
  readonly out: DeviceTensor;
  /** Between the products of the feed-forward half, [tokens, width]. */
  readonly h: DeviceTensor;
}

/** The first `tokens` rows of it. */
export function streamOf(all: Omit<Stream, "tokens">, tokens: number): Stream {
  const { x, angles, q, out, h } = all;
  const rows = (t: DeviceTensor): DeviceTensor => t.slice(0, tokens);
  return { tokens, x: rows(x), angles: rows(angles), q: rows(q), out: rows(out), h: rows(h) };
}
