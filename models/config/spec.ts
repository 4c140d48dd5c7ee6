/**
 * What a model computes, as a value: a list of layers, each of which says how it attends, what its feed-forward half
 * is, and where its norms stand. Families differ in these values alone; a family's parser makes them from its
 * config.json.
 *
 * The fields say more than there are kernels for: `blocks/supported.ts` refuses what none computes.
 */

/** A decoder-only transformer. */
export interface ModelSpec {
  /** Name to show, taken from the folder or file. */
  readonly name: string;
  /** The family whose parser made it, as in "llama". */
  readonly family: string;
  /** Width of the residual stream. */
  readonly dim: number;
  /** Rows of the embedding. */
  readonly vocab: number;
  /** Positions the model was trained on. */
  readonly context: number;
  /** In the order in which a token meets them. */
  readonly layers: readonly LayerSpec[];
  /** The norm before the output matrix. */
  readonly norm: NormSpec;
  /** Whether the output matrix is the embedding. */
  readonly tied: boolean;
  /** Factors on the residual stream's way. */
  readonly scales: Scales;
  /** Ids that a text begins with. */
  readonly bos: readonly number[];
  /** Any of these ids ends a text. */
  readonly eos: readonly number[];
}

/** Factors on the residual stream's way; 1 where a family has none. */
export interface Scales {
  /** Of the embedding's rows. */
  readonly embedding: number;
  /** Of what attention and feed-forward half add. */
  readonly residual: number;
  /** Of the logits. */
  readonly logits: number;
}

/** A layer: x += attention(norm(x)), then x += mlp(norm(x)), where both norms stand before. */
export interface LayerSpec {
  /** How the layer attends. */
  readonly attention: AttentionSpec;
  /** Its feed-forward half. */
  readonly mlp: MlpSpec;
  /**
   * What attention and feed-forward half read is normed before, and what they give after; undefined where it is not.
   */
  readonly norms: {
    readonly attention: Places;
    readonly mlp: Places;
  };
}

/** Norms around a half of a layer. */
export interface Places {
  /** Of what the half reads. */
  readonly before: NormSpec | undefined;
  /** Of what the half gives, before it is added. */
  readonly after: NormSpec | undefined;
}

/** x · (weight + offset), where x was divided by the root of its mean square (RMSNorm; Zhang & Sennrich 2019). */
export interface NormSpec {
  /** By the root of the mean square, without a mean of its own. */
  readonly kind: "rms";
  /** Added to the mean square. */
  readonly eps: number;
  /** Added to each weight: 1 where files store what differs from 1. */
  readonly offset: 0 | 1;
}

/** Attention with query heads that may share keys and values (GQA; Ainslie et al. 2023). */
export interface AttentionSpec {
  /** Query heads. */
  readonly heads: number;
  /** Key/value heads; divides `heads`. */
  readonly kvHeads: number;
  /** Numbers of a query's and a key's head. */
  readonly keyDim: number;
  /** Numbers of a value's head. */
  readonly valueDim: number;
  /** What scores are multiplied by; 1/√keyDim unless given. */
  readonly scale: number | undefined;
  /** Numbers that are added to the products: to q, k and v, and to the output. */
  readonly bias: { readonly qkv: boolean; readonly o: boolean };
  /** The norm of queries and keys before they are rotated, over each head or over all of them. */
  readonly qkNorm: { readonly norm: NormSpec; readonly over: "head" | "all" } | undefined;
  /** How positions enter; undefined for a layer that does not know them. */
  readonly rope: RopeSpec | undefined;
  /** Tokens that a query sees, itself included; all unless given. */
  readonly window: number | undefined;
  /** c · tanh(score / c) in the place of the score. */
  readonly softCap: number | undefined;
  /** A learnt score of each head that takes part in the softmax and has no value. */
  readonly sinks: boolean;
}

/**
 * Rotary position embedding (Su et al. 2021): pair i of `dims` numbers turns by theta^(-2i / dims) a position, scaled.
 */
export interface RopeSpec {
  /** Base of the angles. */
  readonly theta: number;
  /** Numbers of a head that are rotated, from the first: all of `keyDim`, or an even number of them. */
  readonly dims: number;
  /** How the angles are stretched. */
  readonly scaling: RopeScaling;
}

/** How the angles of a model are stretched beyond the positions that it was first trained on. */
export type RopeScaling =
  | { readonly kind: "none" }
  /** Every angle divided by a factor (Chen et al. 2023). */
  | { readonly kind: "linear"; readonly factor: number }
  | Llama3Scaling
  | YarnScaling;

/**
 * Llama 3.1's: pairs that turn less than `lowTurns` times within the original context are slowed by the factor, those
 * that turn more than `highTurns` times are not, and between the two it goes over linearly with the number of turns.
 */
export interface Llama3Scaling {
  /** Tells it from other scalings. */
  readonly kind: "llama3";
  /** What the slow pairs' angles are divided by. */
  readonly factor: number;
  /** Turns within the original context below which a pair is slow. */
  readonly lowTurns: number;
  /** Turns within the original context above which a pair is left alone. */
  readonly highTurns: number;
  /** Positions the model was first trained on. */
  readonly original: number;
}

/** YaRN (Peng et al. 2023): between two numbers of turns the passage is linear in the number of the pair. */
export interface YarnScaling {
  /** Tells it from other scalings. */
  readonly kind: "yarn";
  /** What the slow pairs' angles are divided by. */
  readonly factor: number;
  /** Pairs that turn at least so often within the original context are left alone: β_fast, or the paper's β. */
  readonly fastTurns: number;
  /** Pairs that turn at most so often are slowed by all of the factor: β_slow, or the paper's α. */
  readonly slowTurns: number;
  /** Positions the model was first trained on. */
  readonly original: number;
  /** Whether the passage begins and ends at whole pairs. */
  readonly truncate: boolean;
  /** What cosines and sines are multiplied by, so that scores grow by its square. */
  readonly amplitude: number;
}

/** The feed-forward half: down · (f(gate · x) · up · x), or plain: down · f(up · x) (Shazeer 2020). */
export interface MlpSpec {
  /** With a gate beside the product up, or without. */
  readonly kind: "gated" | "plain";
  /** Numbers between the products. */
  readonly width: number;
  /** The function f; `gelu-tanh` is its approximation by tanh. */
  readonly activation: "silu" | "gelu" | "gelu-tanh" | "relu";
  /** Numbers that are added to all its products. */
  readonly bias: boolean;
}
