/**
 * What is asked of a process that measures one checkout. It runs this checkout's measuring code on the library of the
 * checkout that it is told to open, so that two commits are measured by the same code.
 */
import type { WeightFormat } from "../../models/index.ts";
import type { Facts } from "../facts.ts";

/** Names a matrix-vector product that is in no table of cases. */
export interface Matrix {
  readonly format: "f32" | "f16" | "q8" | "q4";
  readonly rows: number;
  readonly k: number;
}

/** A decoder that reads a prompt and writes tokens. */
export interface DecoderJob {
  readonly kind: "decoder";
  readonly title: string;
  readonly model?: string;
  readonly shape?: string;
  readonly weights?: WeightFormat;
  /** With its slots. */
  readonly state: string;
  readonly batch: number;
  readonly context: number;
  readonly tokens: number;
  readonly ids?: readonly number[];
}

/** A generated kernel, again and again. */
export interface KernelJob {
  readonly kind: "kernel";
  /** Of the table of cases, or anything with a `matrix`. */
  readonly title: string;
  readonly matrix?: Matrix;
  /** The only kind of adapter that it means something on. */
  readonly on?: string;
  /** Runs of a batch, where they are known. */
  readonly times?: number;
  /** Milliseconds that a batch should take. */
  readonly batch_ms: number;
}

/** A recorded step on Dawn's null backend. */
export interface HostJob extends Omit<DecoderJob, "kind" | "context" | "tokens" | "ids" | "batch"> {
  readonly kind: "host";
}

/** New processes that run `tilestate generate`; these are not asked of a process but started. */
export interface ColdJob {
  readonly kind: "cold";
  readonly title: string;
}

export type AskedJob = DecoderJob | KernelJob | HostJob;
export type Job = AskedJob | ColdJob;

export interface Opened {
  /** What has to be the same on both sides. */
  readonly settings: Facts;
  /** What is worth a word where it differs. */
  readonly environment: Facts;
}

export interface Prepared {
  /** A sentence on what this checkout lacks: the case is left out. */
  readonly missing?: string;
  readonly settings: Facts;
  readonly environment: Facts;
  /** Runs that make a batch, for kernels. */
  readonly times?: number;
}

/** One part of a turn, for each of its units (tokens, runs, starts). */
export interface Part {
  readonly clock_ms: number;
  /** Of all threads of the process; undefined where nobody measured it. */
  readonly cpu_ms?: number | undefined;
}

export interface Turn {
  readonly parts: Readonly<Record<string, Part>>;
  /** What was computed: ids, or sums over the results. */
  readonly result: readonly number[];
}

export interface PairExchanges {
  readonly open: {
    readonly request: { readonly root: string; readonly sources: string; readonly adapter?: string };
    readonly reply: Opened;
  };
  readonly prepare: { readonly request: { readonly job: AskedJob }; readonly reply: Prepared };
  readonly turn: { readonly request: { readonly times?: number }; readonly reply: Turn };
  /** Frees what was prepared, and says how much CPU time the process has used. */
  readonly free: { readonly request: object; readonly reply: { readonly cpu_ms: number } };
}

export type PairRequest = {
  readonly [A in keyof PairExchanges]: { readonly do: A } & PairExchanges[A]["request"];
}[keyof PairExchanges];
