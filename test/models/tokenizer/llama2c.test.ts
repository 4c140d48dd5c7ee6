/** The llama2.c tokenizer: merging order, bytes, the unwritten first space, and the recorded ids of a trained one. */

import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { memoryBytes } from "../../../models/io/bytes.ts";
import { fileBytes } from "../../../models/io/node.ts";
import { openModel } from "../../../models/open.ts";
import { loadLlama2cTokenizer } from "../../../models/tokenizers/llama2c.ts";
import type { Tokenizer } from "../../../models/tokenizers/tokenizer.ts";
import { fixture, shared } from "../formats/shared.ts";
import { complaint } from "../formats/temporary.ts";

type Piece = readonly [text: string, score: number];

const BASE: readonly Piece[] = [
  ["<unk>", 0],
  ["\n<s>\n", 0],
  ["\n</s>\n", 0],
  ...Array.from({ length: 256 }, (_, i): Piece => [`<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`, 0]),
];

/** A tokenizer file: the longest piece, then score, length and bytes of each. */
function encodeFile(pieces: readonly Piece[]): Uint8Array {
  const parts: Uint8Array[] = [new Uint8Array(4)];
  for (const [text, score] of pieces) {
    const bytes = new TextEncoder().encode(text);
    const part = new Uint8Array(8 + bytes.byteLength);
    const view = new DataView(part.buffer);
    view.setFloat32(0, score, true);
    view.setInt32(4, bytes.byteLength, true);
    part.set(bytes, 8);
    parts.push(part);
  }
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

const load = (extra: readonly Piece[]): Promise<Tokenizer> =>
  loadLlama2cTokenizer(memoryBytes("tok.bin", encodeFile([...BASE, ...extra])), BASE.length + extra.length);

describe("merging", () => {
  const FIRST = BASE.length;

  test("the best score goes first, the leftmost of equals, until nothing joins", async () => {
    const tokenizer = await load([
      [" ", -9],
      ["a", -9],
      ["b", -9],
      ["ab", -2],
      ["ba", -1],
      ["aa", -3],
      ["aab", -4],
      ["aaaa", -5],
    ]);
    const encode = (text: string): number[] => tokenizer.encode(text, { bos: false }).map((id) => id - FIRST);
    expect(encode("ab")).toEqual([0, 3]);
    expect(encode("aba")).toEqual([0, 1, 4]);
    expect(encode("aaa")).toEqual([0, 5, 1]);
    expect(encode("aaaa")).toEqual([0, 7]);
    expect(encode("")).toEqual([]);
  });

  test.each([1, 2, 3])("agrees with searching all pairs again after every merge (seed %i)", async (seed) => {
    let state = seed;
    const random = (limit: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return (state >>> 8) % limit;
    };
    const extra: Piece[] = [" ", "a", "b", "c"].map((text) => [text, -100]);
    const seen = new Set(extra.map(([text]) => text));
    for (let i = 0; i < 40; i++) {
      const text = Array.from({ length: 2 + random(4) }, () => "abc "[random(4)]).join("");
      if (!seen.has(text)) extra.push([text, -random(6)]);
      seen.add(text);
    }
    const tokenizer = await load(extra);
    const scores = new Map(extra);
    for (let round = 0; round < 20; round++) {
      const text = Array.from({ length: 60 }, () => "abc "[random(4)]).join("");
      const parts = [...` ${text}`];
      for (;;) {
        let best = -1;
        let top = Number.NEGATIVE_INFINITY;
        for (let i = 0; i + 1 < parts.length; i++) {
          const value = scores.get(`${parts[i]}${parts[i + 1]}`);
          if (value !== undefined && value > top) [best, top] = [i, value];
        }
        if (best < 0) break;
        parts.splice(best, 2, `${parts[best]}${parts[best + 1]}`);
      }
      const ids = parts.map((part) => FIRST + extra.findIndex(([piece]) => piece === part));
      expect(tokenizer.encode(text, { bos: false })).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(text);
    }
  });

  test("a long text takes no time worth speaking of", async () => {
    const tokenizer = await load([
      [" ", -9],
      ["a", -9],
      ["aa", -1],
      ["aaaa", -2],
      ["aaaaaaaa", -3],
    ]);
    expect(tokenizer.encode("a".repeat(80_000), { bos: false })).toHaveLength(1 + 10_000);
  });
});

describe("bytes and specials", () => {
  test("characters without a piece become bytes and come back", async () => {
    const tokenizer = await load([
      [" ", -1],
      ["a", -1],
    ]);
    expect(tokenizer.encode("aé")).toEqual([1, 259, 260, 0xc3 + 3, 0xa9 + 3]);
    for (const text of ["aé東🙂", " a", "a ", "\n", "\uFEFFa"])
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  test("BOS is added unless told otherwise, and specials have no text", async () => {
    const tokenizer = await load([
      [" ", -1],
      ["a", -1],
      [" a", -0.5],
    ]);
    expect(tokenizer).toMatchObject({ bos: 1, vocab: 262 });
    expect(tokenizer.encode("a")).toEqual([1, 261]);
    expect(tokenizer.encode("a", { bos: false })).toEqual([261]);
    expect(tokenizer.decode([1, 261, 261, 2, 0, 1, 261, 9999])).toBe("a aa");
    expect(tokenizer.decode([])).toBe("");
  });
});

describe("files that are none", () => {
  const file = encodeFile([...BASE, [" a", -1]]);
  test("truncated anywhere inside a piece", async () => {
    for (const cut of [1, 2, 7, 9]) {
      const said = await complaint(() =>
        loadLlama2cTokenizer(memoryBytes("tok.bin", file.slice(0, file.byteLength - cut)), 260),
      );
      expect(said).toMatch(/^tok\.bin: truncated: piece 259 begins at byte \d+, but the file has \d+ bytes$/);
    }
  });

  test("of another size than the model", async () => {
    expect(await complaint(() => loadLlama2cTokenizer(memoryBytes("tok.bin", file), 512))).toBe(
      "tok.bin: expected a tokenizer of 512 pieces, as the model has, got 260",
    );
    expect(await complaint(() => loadLlama2cTokenizer(memoryBytes("tok.bin", encodeFile([["a", 0]])), 1))).toContain(
      "tok.bin: expected at least 259 pieces",
    );
  });
});

const trained = shared("models/stories260K");
describe.skipIf(trained === undefined)("stories260K's own (needs the shared data)", () => {
  test("is found beside the checkpoint and gives the recorded ids and texts", async () => {
    const golden = JSON.parse(await readFile(fixture("golden/stories260K.json"), "utf8")) as Record<
      string,
      { prompt: string; prompt_ids: number[]; ids: number[]; text: string }
    >;
    const tokenizer = await (await openModel(`${trained}/stories260K.bin`)).tokenizer();
    expect(tokenizer.vocab).toBe(512);
    expect(tokenizer.encode(golden.greedy?.prompt ?? "")).toEqual(golden.greedy?.prompt_ids);
    expect(tokenizer.encode(golden.teacher?.text ?? "")).toEqual(golden.teacher?.ids);
    for (const key of ["greedy", "greedy_from_bos", "teacher"]) {
      const { ids = [], text = "" } = golden[key] ?? {};
      expect(tokenizer.decode(ids)).toBe(text);
      const stream = tokenizer.stream();
      expect(ids.map((id) => stream.push(id)).join("") + stream.end()).toBe(text);
    }
  });

  test("any text survives", async () => {
    const tokenizer = await loadLlama2cTokenizer(await fileBytes(`${trained}/tok512.bin`), 512);
    for (const text of ["Hello, world!", "  two  spaces ", "naïve café 東京 🙂", "x\n\n\ny\ttab", "<s> </s> <0x41>"]) {
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
  });
});
