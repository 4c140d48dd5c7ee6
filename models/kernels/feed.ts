/**
 * What the kernels of a step are told about each token: one row of `feed` [tokens, FEED], written by the host before a
 * prompt and by `choose` after each step.
 *
 * The matrix products do not care which sequence a token belongs to, so a batch of sequences, a piece of one prompt and
 * a single token are the same work on more or fewer rows; only what reads or writes a cache looks at the columns below.
 * One tensor instead of seven keeps kernels within the 8 bindings that every adapter has.
 */

/** Absolute position of the token in its sequence; for a sequence, of its newest token. */
export const POSITION = 0;
/** Which sequence's cache its key and value belong to. */
export const SEQUENCE = 1;
/** Which row of queries, attention outputs and residuals is its own. */
export const ROW = 2;
/** The token itself. */
export const ID = 3;
/**
 * While generating: steps taken so far, by which `picked` is indexed. While a prompt is read one by one: how many rows
 * there are.
 */
export const TICK = 4;
/** Number of tokens at which the sequence comes to rest. */
export const END = 5;
/** Seed of its random numbers. */
export const SEED = 6;
/** Not 0: the sequence is at rest; steps go by without changing its state. */
export const RESTS = 7;
/** Columns in all. */
export const FEED = 8;
