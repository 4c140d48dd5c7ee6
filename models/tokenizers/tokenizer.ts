/**
 * What the rest of the package needs from a tokenizer, and text that grows by one token at a time.
 *
 * One token is not always text: a character may be spread over several, and many decoders treat the first space of what
 * they are given specially. So a stream decodes each token together with a little of what came before and gives out the
 * difference, once it is whole.
 */

/** How a text becomes ids. */
export interface EncodeOptions {
  /** Begin with the BOS token; by default as the model's own tokenizer files say. */
  readonly bos?: boolean | undefined;
  /**
   * What becomes of a control token that is spelled out in the text, as in "<|eot_id|>". `parse` makes it that token,
   * which is what whoever writes the prompt's frame wants; `text` takes the characters as they stand, so that nothing a
   * user types ends a turn or begins another. `parse` unless given.
   */
  readonly special?: "parse" | "text" | undefined;
}

/** Text that grows by one token at a time. */
export interface TextStream {
  /**
   * Takes the next id and gives the text that is now complete, which may be none. Push the prompt too: the first word
   * after it keeps its space.
   * @param id of a token
   */
  push(id: number): string;
  /** Gives what was held back; bytes that never became a character come out as U+FFFD. */
  end(): string;
}

/** Texts to ids and back. */
export interface Tokenizer {
  /**
   * Ids of a text, with one BOS at most, also where the text begins with it.
   * @param text any text
   * @param options whether it begins with BOS, and what becomes of control tokens in it
   * @throws UserError when a BOS is asked for that the tokenizer does not have
   */
  encode(text: string, options?: EncodeOptions): number[];
  /**
   * Text of ids. Special tokens and ids the tokenizer does not know give nothing.
   * @param ids of tokens
   */
  decode(ids: readonly number[]): string;
  /** A stream that nothing was pushed into yet. */
  stream(): TextStream;
  /** Number of ids. */
  readonly vocab: number;
  /** The id that texts begin with, where there is one. */
  readonly bos?: number | undefined;
}

/** Longest run of tokens that is kept waiting for a character to become whole; only broken output comes near it. */
const PATIENCE = 64;

/** A stream over any decoder, at a cost per token that does not grow with the text. */
export function streamOf(decode: (ids: readonly number[]) => string): TextStream {
  // `recent` is a few tokens whose text has been given out, then those still held back; `given` characters of its text
  // are out.
  let recent: number[] = [];
  let fresh = 0;
  let given = 0;
  const settle = (text: string): void => {
    const tail = recent.slice(fresh);
    const alone = decode(tail);
    // Tokens without text (specials) cannot stand for "something came before", so they do not replace the context.
    if (alone !== "") {
      recent = tail;
      given = alone.length;
    } else {
      given = text.length;
    }
    fresh = recent.length;
  };
  return {
    push(id: number): string {
      recent.push(id);
      const text = decode(recent);
      // An unfinished character shows as a replacement character at the end.
      const whole = text.replace(/\uFFFD+$/, "");
      if (whole.length < text.length && recent.length - fresh < PATIENCE) {
        const out = whole.slice(given);
        given = Math.max(given, whole.length);
        return out;
      }
      const out = text.slice(given);
      settle(text);
      return out;
    },
    end(): string {
      const out = decode(recent).slice(given);
      recent = [];
      fresh = 0;
      given = 0;
      return out;
    },
  };
}
