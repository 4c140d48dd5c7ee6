/**
 * What a cache policy says, and nothing else: which token of a full state goes. The framework does protection, ties,
 * empty slots, rows at rest, the victim, and the memory that a policy declares.
 *
 * `score` and `update` are functions of the kernel language: they are never run, but read in the source and compiled
 * into the eviction kernel (kernels/evict.ts), one dispatch a step for all layers of one shape. So they stand in the
 * object itself, and the object in the file whose `import.meta` it has.
 */
import type { RememberingView } from "../../kernels/evict.ts";

/** A whole number, as in `tova:128,recent=16`. */
export interface NumberOption {
  /** Tells it from other options. */
  readonly is: "number";
  /** What it is unless given. */
  readonly default: number;
  /** 0 unless given. */
  readonly least?: number;
  /** The largest that may be given; 2^24 unless given. */
  readonly most?: number;
  /** One line on what it does. */
  readonly help: string;
}

/** A number that need not be whole, as in `h2o:128,decay=0.99`; from 0 to 1 unless given. */
export interface FractionOption {
  /** Tells it from other options. */
  readonly is: "fraction";
  /** What it is unless given. */
  readonly default: number;
  /** The smallest that may be given; 0 unless given. */
  readonly least?: number;
  /** The largest that may be given; 1 unless given. */
  readonly most?: number;
  /** One line on what it does. */
  readonly help: string;
}

/** One of some words, as in `snap:128,pool=max`; to the policy it is its place among them, counted from 0. */
export interface WordOption {
  /** Tells it from other options. */
  readonly is: "word";
  /** What may be written. */
  readonly words: readonly string[];
  /** The word unless one is given. */
  readonly default: string;
  /** One line on what it does. */
  readonly help: string;
}

/** An option of a policy: what may be written for it. */
export type PolicyOption = NumberOption | FractionOption | WordOption;

/**
 * A policy's options by name, in the order in which they are listed. What may be written, what is said when it is
 * wrong, and help come from it.
 */
export type OptionTable<O extends string = string> = Readonly<Record<O, PolicyOption>>;

/** What was given for each option, or its default; a word by its place among the words. */
export type OptionValues = Readonly<Record<string, number>>;

/** The shape of a model, as far as it matters to a state. */
export interface StateShape {
  /** Number of layers. */
  readonly layers: number;
  /** Query heads. */
  readonly heads: number;
  /** KV heads; divides `heads`. */
  readonly groups: number;
  /** Elements of a head. */
  readonly headDim: number;
}

/** A number that a policy remembers, set back to `initial` when another token comes into its slot. */
export interface PolicyMemory {
  /** Of what it is one: a slot (of all heads of its layer), a KV head of a slot, or a layer. So far: a slot. */
  readonly per: "slot" | "head" | "layer";
  /** What it is for a token that has just come. */
  readonly initial: number;
}

/** What attention leaves behind for a policy; what is not asked for is not written. */
export interface Observed {
  /** The newest query's scores of every slot. */
  readonly scores?: "newest";
}

/** Tokens that no policy drops: the newest and the first ones. They count among the slots. */
export interface Protection {
  /** How many of the newest. */
  readonly recent: number;
  /** How many of the first. */
  readonly first: number;
}

/** A cache policy, as an object. `M` names what it remembers, `O` its options. */
export interface CachePolicy<M extends string = never, O extends string = never> {
  /** As it is written before the number of slots. A literal, since the source is searched for it. */
  readonly name: string;
  /** `import.meta` of the file. */
  readonly module: { readonly url: string };
  /** One line on what it does. */
  readonly help: string;
  /** What may be given behind the number of slots. */
  readonly options: OptionTable<O>;
  /** Who has a kept set of its own: a layer, or each KV head of it. So far: a layer. */
  readonly scope: "layer" | "kv-head";
  /**
   * By which positions kept keys are rotated: those of the text, or by rank among the kept. So far: those of the text.
   */
  readonly positions: "absolute" | "rank" | "gap";
  /**
   * Tokens that each layer keeps, constant from the first token; as many in each unless given.
   * @param shape of the model
   * @param kept tokens that a layer keeps on average
   * @param options what was given for each option
   */
  budgets?(shape: StateShape, kept: number, options: OptionValues): readonly number[];
  /** What it remembers, by name. */
  readonly memory?: Readonly<Record<M, PolicyMemory>>;
  /** What attention leaves behind for it. */
  readonly observes?: Observed;
  /** Protection that may be asked of it, both unless given. What it does anyway nobody need ask for. */
  readonly protection?: readonly (keyof Protection)[];
  /**
   * What it never drops by what it is, where that is more than was asked for.
   * @param kept tokens that a layer keeps
   * @param asked the protection that was asked for
   */
  protects?(kept: number, asked: Protection): Protection;
  /** One number a slot: the lowest goes, of several the oldest. Left out by policies that drop nothing. */
  readonly score?: (view: RememberingView<M, O>) => number;
  /** The new value of each number in `memory`, by name; asked once a step for each name. */
  readonly update?: (view: RememberingView<M, O>, name: M) => number;
}

/** Any policy, whatever it remembers: the host knows no more of its functions than that they are there. */
export interface AnyPolicy extends Omit<CachePolicy, "memory" | "options" | "score" | "update"> {
  /** What may be given behind the number of slots. */
  readonly options: OptionTable;
  /** What it remembers, by name. */
  readonly memory?: Readonly<Record<string, PolicyMemory>>;
  /** A function of the kernel language; left out by policies that drop nothing. */
  readonly score?: unknown;
  /** A function of the kernel language. */
  readonly update?: unknown;
}
