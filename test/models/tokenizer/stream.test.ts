/** Streams: what they give out, put together, is what decoding everything at once gives. */

import { describe, expect, test } from "vitest";
import { streamOf } from "../../../models/tokenizers/tokenizer.ts";

/** One id a byte, as byte-level tokenizers end up for rare characters. */
const bytes = (ids: readonly number[]): string =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(ids));

/** One id a word, a space before each that is dropped at the very beginning; 0 is a special token without text. */
const WORDS = ["", " one", " two", " ", ",", " three"];
const words = (ids: readonly number[]): string =>
  ids
    .map((id) => WORDS[id] ?? "")
    .join("")
    .replace(/^ /, "");

function collect(decode: (ids: readonly number[]) => string, ids: readonly number[]): string[] {
  const stream = streamOf(decode);
  return [...ids.map((id) => stream.push(id)), stream.end()];
}

describe("characters over several tokens", () => {
  test("nothing comes out before a character is whole", () => {
    expect(collect(bytes, [...new TextEncoder().encode("a🙂é!")])).toEqual(["a", "", "", "", "🙂", "", "é", "!", ""]);
  });

  test("what never becomes a character comes out at the end, or when something else follows", () => {
    expect(collect(bytes, [0xf0, 0x9f])).toEqual(["", "", "\uFFFD"]);
    expect(collect(bytes, [0xf0, 0x9f, 0x61])).toEqual(["", "", "\uFFFDa", ""]);
    expect(collect(bytes, [0x61, 0xe6, 0x9d]).join("")).toBe("a\uFFFD");
  });

  test("endless broken bytes do not wait for ever", () => {
    const out = collect(bytes, new Array<number>(500).fill(0x80));
    expect(out.join("")).toBe("\uFFFD".repeat(500));
    expect(out.slice(0, 100).join("")).not.toBe("");
  });

  test.each([1, 2, 3, 4])("text in many scripts (seed %i)", (seed) => {
    const alphabet = [..."aß東京🙂 \n👩‍👩‍👧é\u0301"];
    let state = seed;
    const text = Array.from({ length: 300 }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return alphabet[(state >>> 8) % alphabet.length];
    }).join("");
    expect(collect(bytes, [...new TextEncoder().encode(text)]).join("")).toBe(text);
  });
});

describe("spaces that depend on what came before", () => {
  test("only the first word loses its space", () => {
    expect(collect(words, [1, 2, 4, 5])).toEqual(["one", " two", ",", " three", ""]);
  });

  test("a special token or a lone space in between does not swallow the next one", () => {
    expect(collect(words, [1, 0, 2, 3, 2])).toEqual(["one", "", " two", " ", " two", ""]);
    for (const ids of [
      [0, 1, 2],
      [3, 1, 3, 3, 2],
      [0, 0, 3, 0, 5, 0, 0, 1],
    ]) {
      expect(collect(words, ids).join("")).toBe(words(ids));
    }
  });

  test("after the end a stream begins anew", () => {
    const stream = streamOf(words);
    expect([stream.push(1), stream.end(), stream.push(1), stream.end()]).toEqual(["one", "", "one", ""]);
  });

  test("a long text costs the decoder a few ids at a time", () => {
    let longest = 0;
    const stream = streamOf((ids) => {
      longest = Math.max(longest, ids.length);
      return words(ids);
    });
    for (let i = 0; i < 5000; i++) stream.push(1 + (i % 5));
    expect(longest).toBeLessThanOrEqual(4);
  });
});
