/**
 * The tokenizer file of llama2.c: SentencePiece pieces with their scores, and the merging that project does.
 *
 * The format is the length of the longest piece, then (score f32, length i32, bytes) for every piece; ids 0, 1, 2 are
 * unknown, BOS and EOS, and 3 to 258 are the single bytes. Encoding starts from characters (bytes where a character has
 * no piece) and joins the neighbours whose joined piece scores best, the leftmost of equals, until none is left.
 * Control tokens are never read out of a text. A heap over the neighbours makes that n log n instead of the original's
 * n squared.
 */

import { UserError } from "../../runtime/common/errors.ts";
import type { ByteSource } from "../io/bytes.ts";
import { mistaken, sniffSource } from "../io/sniff.ts";
import { streamOf, type Tokenizer } from "./tokenizer.ts";

const BOS = 1;
const SPECIALS = 3;
const BYTES = 256;

type Pieces = {
  readonly texts: readonly string[];
  readonly scores: readonly number[];
  readonly ids: ReadonlyMap<string, number>;
};

/**
 * Reads a tokenizer file of exactly `vocab` pieces. Throws a `UserError` when it is truncated or has another number.
 */
export async function loadLlama2cTokenizer(source: ByteSource, vocab: number): Promise<Tokenizer> {
  const found = await sniffSource(source);
  if (found.kind !== "llama2.c-tokenizer" && found.kind !== "unknown" && found.kind !== "text") {
    throw mistaken(source.where, "the tokenizer of a llama2.c model", found);
  }
  const pieces = parse(await source.read(0, source.size), source.where);
  if (pieces.texts.length !== vocab) {
    throw new UserError(
      `${source.where}: expected a tokenizer of ${vocab} pieces, as the model has, got ${pieces.texts.length}`,
    );
  }
  if (vocab < SPECIALS + BYTES) {
    throw new UserError(
      `${source.where}: expected at least ${SPECIALS + BYTES} pieces (specials and bytes), got ${vocab}`,
    );
  }
  const decode = (ids: readonly number[]): string => decodeIds(pieces, ids);
  return {
    encode: (text, options = {}) => [...((options.bos ?? true) ? [BOS] : []), ...encodeText(pieces, text)],
    decode,
    stream: () => streamOf(decode),
    vocab,
    bos: BOS,
  };
}

function parse(bytes: Uint8Array<ArrayBuffer>, where: string): Pieces {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const texts: string[] = [];
  const scores: number[] = [];
  const ids = new Map<string, number>();
  let at = 4;
  while (at < bytes.byteLength) {
    const length = at + 8 <= bytes.byteLength ? view.getInt32(at + 4, true) : 0;
    if (at + 8 > bytes.byteLength || length < 0 || at + 8 + length > bytes.byteLength) {
      throw new UserError(
        `${where}: truncated: piece ${texts.length} begins at byte ${at}, but the file has ${bytes.byteLength} bytes`,
      );
    }
    const text = decoder.decode(bytes.subarray(at + 8, at + 8 + length));
    // No text becomes a control token; this project never parses them.
    if (texts.length >= SPECIALS && !ids.has(text)) ids.set(text, texts.length);
    texts.push(text);
    scores.push(view.getFloat32(at, true));
    at += 8 + length;
  }
  return { texts, scores, ids };
}

type Symbol = { id: number; text: string; before: number; after: number };
type Pair = {
  readonly score: number;
  readonly left: number;
  readonly right: number;
  readonly id: number;
  readonly text: string;
};

function encodeText(pieces: Pieces, text: string): number[] {
  const symbols: Symbol[] = [];
  const add = (id: number): void => {
    symbols.push({ id, text: pieces.texts[id] ?? "", before: symbols.length - 1, after: symbols.length + 1 });
  };
  const encoder = new TextEncoder();
  // A text begins with a space nobody typed, so that its first word looks like any other.
  for (const character of text === "" ? "" : ` ${text}`) {
    const id = pieces.ids.get(character);
    if (id !== undefined) add(id);
    else for (const byte of encoder.encode(character)) add(byte + SPECIALS);
  }
  const last = symbols.at(-1);
  if (last !== undefined) last.after = -1;

  const heap: Pair[] = [];
  const offer = (left: number, right: number): void => {
    const a = symbols[left];
    const b = symbols[right];
    if (a === undefined || b === undefined) return;
    const joined = a.text + b.text;
    const id = pieces.ids.get(joined);
    if (id !== undefined) push(heap, { score: pieces.scores[id] ?? 0, left, right, id, text: joined });
  };
  for (let i = 0; i + 1 < symbols.length; i++) offer(i, i + 1);
  for (let best = pop(heap); best !== undefined; best = pop(heap)) {
    const left = symbols[best.left];
    const right = symbols[best.right];
    // Either side may have been joined with something else since this pair was noted.
    if (left === undefined || right === undefined || left.after !== best.right) continue;
    if (left.text.length + right.text.length !== best.text.length) continue;
    left.id = best.id;
    left.text = best.text;
    left.after = right.after;
    right.after = -2;
    const next = symbols[left.after];
    if (next !== undefined) next.before = best.left;
    offer(left.before, best.left);
    offer(best.left, left.after);
  }
  const ids: number[] = [];
  for (let i = 0, symbol = symbols[0]; symbol !== undefined; i = symbol.after, symbol = symbols[i]) ids.push(symbol.id);
  return ids;
}

function decodeIds(pieces: Pieces, ids: readonly number[]): string {
  const encoder = new TextEncoder();
  const bytes: number[] = [];
  let first = true;
  for (const id of ids) {
    if (id < SPECIALS) {
      // After BOS comes the beginning of a text, with its unwritten space.
      first ||= id === BOS;
      continue;
    }
    if (id < SPECIALS + BYTES) {
      bytes.push(id - SPECIALS);
    } else {
      const text = pieces.texts[id] ?? "";
      for (const byte of encoder.encode(first && text.startsWith(" ") ? text.slice(1) : text)) bytes.push(byte);
    }
    first = false;
  }
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(bytes));
}

/** The better pair: higher score, then further left. */
function better(a: Pair, b: Pair): boolean {
  return a.score > b.score || (a.score === b.score && a.left < b.left);
}

function push(heap: Pair[], pair: Pair): void {
  let at = heap.length;
  heap.push(pair);
  while (at > 0) {
    const up = (at - 1) >> 1;
    const parent = heap[up];
    if (parent === undefined || !better(pair, parent)) break;
    heap[at] = parent;
    at = up;
  }
  heap[at] = pair;
}

function pop(heap: Pair[]): Pair | undefined {
  const top = heap[0];
  const moved = heap.pop();
  if (top === undefined || moved === undefined || heap.length === 0) return top;
  let at = 0;
  for (;;) {
    let down = 2 * at + 1;
    let child = heap[down];
    if (child === undefined) break;
    const other = heap[down + 1];
    if (other !== undefined && better(other, child)) {
      child = other;
      down++;
    }
    if (!better(child, moved)) break;
    heap[at] = child;
    at = down;
  }
  heap[at] = moved;
  return top;
}
