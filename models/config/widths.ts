/** The sizes of what passes through a model's layers, for memory that all of them share: of each size the largest. */
import type { ModelSpec } from "./spec.ts";

/** The sizes of a model that memory is counted with. */
export interface Widths {
  /** Name to show. */
  readonly name: string;
  /** Number of layers. */
  readonly layers: number;
  /** Width of the residual stream. */
  readonly dim: number;
  /** Query heads. */
  readonly heads: number;
  /** Key/value heads. */
  readonly groups: number;
  /** Numbers of a head of queries, keys or values. */
  readonly headDim: number;
  /** Width between the products of the feed-forward half. */
  readonly ff: number;
  /** Rows of the embedding, [vocab, dim]. */
  readonly vocab: number;
  /** Positions the model was trained on. */
  readonly context: number;
}

/**
 * The sizes of a model.
 * @param spec what the model computes
 */
export function widthsOf(spec: ModelSpec): Widths {
  const { name, layers, dim, vocab, context } = spec;
  const most = (of: (layer: ModelSpec["layers"][number]) => number): number => Math.max(...layers.map(of));
  return {
    name,
    layers: layers.length,
    dim,
    heads: most(({ attention }) => attention.heads),
    groups: most(({ attention }) => attention.kvHeads),
    headDim: most(({ attention }) => Math.max(attention.keyDim, attention.valueDim)),
    ff: most(({ mlp }) => mlp.width),
    vocab,
    context,
  };
}
