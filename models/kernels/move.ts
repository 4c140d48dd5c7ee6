/**
 * A sequence moves from one state to another: what it knows is a constant number of bytes, so joining a batch is a
 * copy.
 *
 * Where it goes to is read from memory (`to` [1, feed], as the columns SEQUENCE and TICK), so that one recorded copy
 * serves every place.
 */
import { block, program, range, type Scalar, size, type Tensor, type u32 } from "../../dsl/index.ts";
import { END, ID, POSITION, RESTS, ROW, SEED, SEQUENCE, TICK } from "./feed.ts";

/** One layer's keys, values and positions. */
export function moveCache(
  k: Tensor<"one groups slots dim">,
  v: Tensor<"one groups slots dim">,
  positions: Tensor<"layers one slots", u32>,
  layer: Scalar<u32>,
  to: Tensor<"one feed", u32>,
  toK: Tensor<"sequences groups slots dim">,
  toV: Tensor<"sequences groups slots dim">,
  toPositions: Tensor<"layers sequences slots", u32>,
): void {
  const s = program("slots");
  const g = program("groups");
  const i = block("dim");
  const b = to.at(0, SEQUENCE);
  toK.set([b, g, s, i], k.at(0, g, s, i));
  toV.set([b, g, s, i], v.at(0, g, s, i));
  if (g === 0) toPositions.set([layer, b, s], positions.at(layer, 0, s));
}

/** The rest: where it stands, how it draws, and the slot of its next token in the layers of one group. */
export function moveRow(
  feed: Tensor<"one feed", u32>,
  settings: Tensor<"one settings">,
  stops: Tensor<"one stops", u32>,
  free: Tensor<"layers lane", u32>,
  to: Tensor<"one feed", u32>,
  toFeed: Tensor<"sequences feed", u32>,
  toSettings: Tensor<"sequences settings">,
  toStops: Tensor<"sequences stops", u32>,
  toFree: Tensor<"layers lanes", u32>,
): void {
  const b = to.at(0, SEQUENCE);
  toFeed.set([b, POSITION], feed.at(0, POSITION));
  toFeed.set([b, ID], feed.at(0, ID));
  toFeed.set([b, END], feed.at(0, END));
  toFeed.set([b, SEED], feed.at(0, SEED));
  toFeed.set([b, RESTS], feed.at(0, RESTS));
  toFeed.set([b, SEQUENCE], b);
  toFeed.set([b, ROW], b);
  toFeed.set([b, TICK], to.at(0, TICK));
  for (const c of range(size("settings"))) toSettings.set([b, c], settings.at(0, c));
  for (const c of range(size("stops"))) toStops.set([b, c], stops.at(0, c));
  for (const l of range(size("layers"))) toFree.set([l, b], free.at(l, 0));
}

/** The slot of its next token in the layers of another group. */
export function moveFree(
  free: Tensor<"layers lane", u32>,
  to: Tensor<"one feed", u32>,
  toFree: Tensor<"layers lanes", u32>,
): void {
  const l = block("layers");
  toFree.set([l, to.at(0, SEQUENCE)], free.at(l, 0));
}

/** What the policy remembers, in the layers of one group. */
export function moveMemory(
  memory: Tensor<"layers one memories slots">,
  to: Tensor<"one feed", u32>,
  toMemory: Tensor<"layers sequences memories slots">,
): void {
  const l = program("layers");
  const m = program("memories");
  const s = block("slots");
  toMemory.set([l, to.at(0, SEQUENCE), m, s], memory.at(l, 0, m, s));
}
