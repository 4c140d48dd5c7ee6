/**
 * What the benchmark and an engine say to each other, over the lines of pairs/lines.ts.
 *
 * Every engine is a process of its own, so that two copies of Dawn never meet, its CPU time is its own, and it can be
 * stopped while another one works.
 */
import type { PeerWeights } from "./graph.ts";

/** What to load. */
export interface Setup {
  readonly shape: string;
  readonly weights: PeerWeights;
  /** Positions that prompt and answer need together. */
  readonly capacity: number;
  /**
   * Whether the graph for ONNX Runtime makes logits for the last token of a prompt only, as the others do, or for all,
   * as most exported graphs do.
   */
  readonly logits: "last" | "all";
}

export interface About {
  readonly engine: string;
  readonly version: string;
  /** Name of the adapter, where the engine says it. */
  readonly adapter?: string;
}

/** Seconds on the clock, and of CPU over all threads of the process. */
export interface Span {
  readonly seconds: number;
  readonly cpu: number;
}

/** One answer: `prefill` lasts until the first id is known, `decode` makes `decoded` tokens after that. */
export interface Run {
  readonly ids: readonly number[];
  readonly prefill: Span;
  readonly decode: Span;
  readonly decoded: number;
}

export interface Candidate {
  readonly id: number;
  readonly logit: number;
}

/** The two likeliest next tokens, and the standard deviation of all logits to measure their distance by. */
export interface Top {
  readonly best: Candidate;
  readonly second: Candidate;
  readonly deviation: number;
}

/** How a prompt is read. */
export interface Reading {
  /** At most so many tokens at a time, for an engine that has a choice; all at once unless given. */
  readonly piece?: number;
}

export interface Exchanges {
  readonly load: { readonly request: Setup; readonly reply: About };
  readonly run: {
    readonly request: { readonly prompt: readonly number[]; readonly tokens: number } & Reading;
    readonly reply: Run;
  };
  readonly top: { readonly request: { readonly ids: readonly number[] } & Reading; readonly reply: Top };
}

export type Action = keyof Exchanges;
export type Request = { readonly [A in Action]: { readonly do: A } & Exchanges[A]["request"] }[Action];
