/**
 * Tokens whose keys and values exist already go through the state one by one: a piece of a prompt that costs others
 * their place, and the recordings of `trace`.
 *
 * `append`, attention, the policy and `advance` make one token; a cursor (one row of `feed`) says which one it is.
 */
import { block, program, range, type Scalar, size, type Tensor, type u32 } from "../../dsl/index.ts";
import { POSITION, RESTS, ROW, SEQUENCE, TICK } from "./feed.ts";

/** Copies the cursor's row of the given keys and values to the slot `free` of its sequence. */
export function append(
  givenK: Tensor<"rows groups dim">,
  givenV: Tensor<"rows groups dim">,
  cursor: Tensor<"one feed", u32>,
  free: Tensor<"sequences", u32>,
  k: Tensor<"sequences groups slots dim">,
  v: Tensor<"sequences groups slots dim">,
): void {
  const g = program("groups");
  const i = block("dim");
  const row = cursor.at(0, ROW);
  const b = cursor.at(0, SEQUENCE);
  k.set([b, g, free.at(b), i], givenK.at(row, g, i));
  v.set([b, g, free.at(b), i], givenV.at(row, g, i));
}

/**
 * The next token gets the next empty slot, or each layer's victim's when there is none; the cursor moves on, and from
 * the last row back to the first.
 */
export function advance(
  victim: Tensor<"layers lanes", u32>,
  slots: Scalar<u32>,
  free: Tensor<"layers lanes", u32>,
  cursor: Tensor<"one feed", u32>,
): void {
  const row = cursor.at(0, ROW);
  const b = cursor.at(0, SEQUENCE);
  const seen = cursor.at(0, POSITION) + 1;
  const next = row + 1 < cursor.at(0, TICK) ? row + 1 : 0;
  for (const l of range(size("layers"))) free.set([l, b], seen < slots ? seen : victim.at(l, b));
  cursor.set([0, ROW], next);
  cursor.set([0, POSITION], seen + next - row - 1);
}

/**
 * What `advance` and `choose` do for the layers of one group, for those of another: free [layers, lanes] gets the slot
 * of the next token of every sequence that goes on. Before them, since they move the clock.
 */
export function commit(
  victim: Tensor<"layers lanes", u32>,
  slots: Scalar<u32>,
  feed: Tensor<"sequences feed", u32>,
  free: Tensor<"layers lanes", u32>,
): void {
  const row = program("sequences");
  const seen = feed.at(row, POSITION) + 1;
  const b = feed.at(row, SEQUENCE);
  if (feed.at(row, RESTS) === 0)
    for (const l of range(size("layers"))) free.set([l, b], seen < slots ? seen : victim.at(l, b));
}
