/** safetensors: what is written is read back, in memory and on disk, and every kind of damage is named. */

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  encodeSafetensors,
  readSafetensors,
  type SafetensorsInput,
  writeSafetensors,
} from "../../../models/formats/safetensors.ts";
import { memoryBytes } from "../../../models/io/bytes.ts";
import { fixture } from "./shared.ts";
import { complaint, temporary } from "./temporary.ts";

const at = temporary();

const INPUT: Readonly<Record<string, SafetensorsInput>> = {
  half: { dtype: "F16", shape: [3], data: new Uint16Array([0x3c00, 0xc000, 0x0001]) },
  matrix: { dtype: "F32", shape: [2, 3], data: new Float32Array([1, -2, 3.5, 0, 1e-30, -0]) },
  ids: { dtype: "I64", shape: [2], data: new BigInt64Array([-1n, 5n]) },
  empty: { dtype: "F32", shape: [0, 4], data: new Float32Array(0) },
  scalar: { dtype: "BF16", shape: [], data: new Uint16Array([0x4049]) },
};

/** A file with any header over `data`, for headers our own writer would not produce. */
function forged(header: unknown, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const out = new Uint8Array(8 + text.byteLength + data.byteLength);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.byteLength), true);
  out.set(text, 8);
  out.set(data, 8 + text.byteLength);
  return out;
}

const readForged = (header: unknown, bytes = 0) =>
  complaint(() => readSafetensors(memoryBytes("m.safetensors", forged(header, new Uint8Array(bytes)))));

describe("round trip", () => {
  test("disk: names, dtypes, shapes, bytes and metadata come back", async () => {
    const path = at("round.safetensors");
    await writeSafetensors(path, INPUT, { format: "pt", note: "grüße" });
    const file = await readSafetensors(path);
    expect(file.metadata).toEqual({ format: "pt", note: "grüße" });
    expect([...file.tensors.keys()].sort()).toEqual(Object.keys(INPUT).sort());
    for (const [name, { dtype, shape, data }] of Object.entries(INPUT)) {
      const tensor = file.tensors.get(name);
      expect(tensor).toMatchObject({ name, dtype, shape, byteLength: data.byteLength });
      expect(await tensor?.bytes()).toEqual(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
    expect(new Uint8Array(await readFile(path))).toEqual(encodeSafetensors(INPUT, { format: "pt", note: "grüße" }));
    expect((await readdir(at("."))).filter((name) => name.includes(".tmp"))).toEqual([]);
  });

  test("memory: the same file, also at an odd place in a larger buffer", async () => {
    const encoded = encodeSafetensors(INPUT);
    const large = new Uint8Array(encoded.byteLength + 3);
    large.set(encoded, 3);
    const file = await readSafetensors(memoryBytes("memory", large.subarray(3)));
    const bytes = await file.tensors.get("matrix")?.bytes();
    expect(bytes?.byteOffset).toBe(0);
    expect(new Float32Array(bytes?.buffer ?? new ArrayBuffer(0))).toEqual(INPUT.matrix?.data);
  });

  test("the header is padded so that data starts at a multiple of 8, widest elements first", async () => {
    for (const name of ["a", "ab", "abc", "abcdefgh"]) {
      const encoded = encodeSafetensors({
        [name]: { dtype: "U8", shape: [1], data: new Uint8Array([7]) },
        wide: { dtype: "F64", shape: [1], data: new Float64Array([1]) },
      });
      const header = Number(new DataView(encoded.buffer).getBigUint64(0, true));
      expect(header % 8).toBe(0);
      expect(JSON.parse(new TextDecoder().decode(encoded.subarray(8, 8 + header)))).toMatchObject({
        wide: { data_offsets: [0, 8] },
        [name]: { data_offsets: [8, 9] },
      });
    }
  });

  test("files that others wrote", async () => {
    const file = await readSafetensors(fixture("policies/tova-gqa.safetensors"));
    expect(file.tensors.get("attention")).toMatchObject({ dtype: "F32", shape: [120, 8, 16] });
    const family = await readSafetensors(fixture("families/llama2-mha/model.safetensors"));
    expect(family.metadata).toEqual({ format: "pt" });
  });

  test("a tensor whose data does not fill its shape is refused", () => {
    expect(() => encodeSafetensors({ x: { dtype: "F32", shape: [3], data: new Float32Array(2) } })).toThrow(
      'tensor "x": F32 [3] takes 12 bytes, got 8',
    );
  });

  test("a place that cannot be written is named and leaves nothing behind", async () => {
    const path = join(at("nowhere"), "x.safetensors");
    expect(await complaint(() => writeSafetensors(path, INPUT))).toContain(`${path}: cannot write`);
  });
});

describe("damage", () => {
  test("missing file", async () => {
    expect(await complaint(() => readSafetensors(at("absent.safetensors")))).toBe(
      `${at("absent.safetensors")}: no such file`,
    );
  });

  test("every truncation of a file is noticed and named", async () => {
    const whole = encodeSafetensors(INPUT, { a: "b" });
    for (let length = 1; length < whole.byteLength; length++) {
      const said = await complaint(() => readSafetensors(memoryBytes("cut.safetensors", whole.slice(0, length))));
      expect(said).toMatch(/^cut\.safetensors: truncated/);
    }
    const path = at("cut.safetensors");
    await writeFile(path, whole.slice(0, whole.byteLength - 1));
    expect(await complaint(() => readSafetensors(path))).toMatch(/truncated: tensor "\w+" ends at byte/);
  });

  test("bytes that no tensor owns", async () => {
    const whole = encodeSafetensors(INPUT);
    const longer = new Uint8Array(whole.byteLength + 1);
    longer.set(whole);
    expect(await complaint(() => readSafetensors(memoryBytes("m", longer)))).toMatch(
      /expected 48 bytes of data .* got 49/,
    );
  });

  test("a header that is no header", async () => {
    expect(await readForged("{nonsense")).toContain("m.safetensors: not a safetensors file: its header is not JSON");
    expect(await readForged("[1]")).toContain('its header does not begin with "{"');
    const huge = new Uint8Array(16).fill(0xff);
    expect(await complaint(() => readSafetensors(memoryBytes("m", huge)))).toContain("not a safetensors file");
  });

  const good = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
  test.each([
    ["a dtype that is no name", { x: { ...good, dtype: 13 } }, 8, 'tensor "x": expected "dtype" to be a name, got 13'],
    ["no entry", { x: 3 }, 8, 'tensor "x": expected {dtype, shape, data_offsets}'],
    ["negative size", { x: { ...good, shape: [-2] } }, 8, 'expected "shape" to be a list of sizes, got [-2]'],
    ["fractional size", { x: { ...good, shape: [0.5] } }, 8, 'expected "shape"'],
    ["one offset", { x: { ...good, data_offsets: [0] } }, 8, 'expected "data_offsets" to be [begin, end]'],
    ["backwards", { x: { ...good, data_offsets: [8, 0] } }, 8, "takes 8 bytes, but data_offsets [8, 0] hold -8"],
    ["size against shape", { x: { ...good, shape: [3] } }, 8, "F32 [3] takes 12 bytes"],
    ["out of range", { x: { ...good, data_offsets: [4, 12] } }, 8, 'truncated: tensor "x" ends at byte'],
    ["overlap", { x: good, y: { ...good, data_offsets: [4, 12] } }, 12, 'tensors "x" and "y" overlap'],
    ["gap", { x: good, y: { ...good, data_offsets: [12, 20] } }, 20, 'tensor "y" begins at data byte 12, expected 8'],
    ["metadata of numbers", { __metadata__: { a: 1 } }, 0, '"__metadata__.a": expected a string'],
  ])("%s", async (_, header, bytes, expected) => {
    const said = await readForged(header, bytes);
    expect(said).toMatch(/^m\.safetensors: /);
    expect(said).toContain(expected);
  });
});
