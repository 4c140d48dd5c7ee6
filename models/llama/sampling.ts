/** How the next token is chosen and how long a text may become: the options of a generation, and what is wrong with them. */
import { UserError } from "../../runtime/errors.ts";
import { STOPS } from "./scratch.ts";

export interface Sampling {
  /** 0 = the most likely token. */
  readonly temperature?: number;
  /** 0 = all tokens. */
  readonly topK?: number;
  /** 1 = all tokens. */
  readonly topP?: number;
  /** A whole number below 2^32; the same seed gives the same text. */
  readonly seed?: number;
}

export interface GenerateOptions extends Sampling {
  /** Most tokens to generate; may be Infinity. */
  readonly tokens: number;
  readonly prefill?: "recurrent" | "oneshot";
  /** Go on from the state that the last text left, with the prompt behind it (which may be empty after a text that had all its tokens). Read recurrently. */
  readonly resume?: boolean;
  /** Ids that end the text; the model's own unless given. */
  readonly stop?: readonly number[];
}

/** Below this every temperature picks the most likely token, and its inverse would leave the range of f32. */
const COLDEST = 1e-6;

/** The numbers that the choosing kernel reads, [temperature, top-k, top-p, unused]. Throws a `UserError` naming what is out of range. */
export function samplingSettings(sampling: Sampling): number[] {
  const { temperature = 0, topK = 0, topP = 1, seed = 0 } = sampling;
  if (!(temperature >= 0 && temperature < Infinity))
    throw new UserError(`temperature must be 0 or more, got ${temperature}`);
  if (!(topP > 0 && topP <= 1)) throw new UserError(`top-p must be above 0 and at most 1, got ${topP}`);
  if (!(Number.isInteger(topK) && topK >= 0))
    throw new UserError(`top-k must be a whole number of at least 0, got ${topK}`);
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32))
    throw new UserError(`the seed must be a whole number from 0 to ${2 ** 32 - 1}, got ${seed}`);
  return [temperature === 0 ? 0 : Math.max(temperature, COLDEST), topK, topP, 0];
}

/** The ids that end a text, as the choosing kernel reads them. Throws a `UserError` when there are too many. */
export function stopTokens(stop: ReadonlySet<number>): Uint32Array {
  if (stop.size > STOPS) throw new UserError(`at most ${STOPS} tokens can end a text, got ${stop.size}`);
  const ids = new Uint32Array(STOPS).fill(0xffffffff);
  ids.set([...stop].map((id) => (Number.isInteger(id) && id >= 0 && id < 2 ** 32 ? id : 0xffffffff)));
  return ids;
}

/** Throws a `UserError` unless `tokens` is a count of tokens. */
export function checkTokens(tokens: number): void {
  if (!(tokens >= 1 && (tokens === Infinity || Number.isInteger(tokens))))
    throw new UserError(`the number of tokens to generate must be a whole number of at least 1, got ${tokens}`);
}
