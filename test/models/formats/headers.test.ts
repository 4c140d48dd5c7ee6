/**
 * safetensors headers, mutated: a file gives the tensors that were put into it or is refused by name, and nothing
 * beyond it is read.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readSafetensors } from "../../../models/formats/safetensors.ts";
import type { ByteSource } from "../../../models/io/bytes.ts";
import { UserError } from "../../../runtime/common/errors.ts";

const SEED = 20261201;

/** A file that notes reads beyond its end, and the largest one. */
function watched(bytes: Uint8Array): ByteSource & { readonly seen: { beyond: number; largest: number } } {
  const seen = { beyond: 0, largest: 0 };
  return {
    where: "m.safetensors",
    size: bytes.byteLength,
    seen,
    async read(offset, length) {
      seen.largest = Math.max(seen.largest, length);
      if (offset < 0 || length < 0 || offset + length > bytes.byteLength) seen.beyond++;
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
  };
}

function file(header: Uint8Array, data: Uint8Array, length: bigint = BigInt(header.byteLength)): Uint8Array {
  const out = new Uint8Array(8 + header.byteLength + data.byteLength);
  new DataView(out.buffer).setBigUint64(0, length, true);
  out.set(header, 8);
  out.set(data, 8 + header.byteLength);
  return out;
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const WIDTHS: Readonly<Record<string, number>> = { F32: 4, F16: 2, BF16: 2, I64: 8, U8: 1, F8_E4M3FNUZ: 1, F8_E4M3: 1 };

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** A right file: its entries, and data that tells every byte's place. */
const right = fc
  .uniqueArray(
    fc.record({
      name: fc.oneof(fc.string({ minLength: 1, maxLength: 8 }), fc.constantFrom("__proto__", "a.b.weight", "toString")),
      dtype: fc.constantFrom(...Object.keys(WIDTHS)),
      shape: fc.array(fc.nat(4), { maxLength: 3 }),
    }),
    { selector: ({ name }) => name, maxLength: 5 },
  )
  .filter((all) => all.every(({ name }) => name !== "__metadata__"))
  .map((all) => {
    let at = 0;
    const entries = all.map(({ name, dtype, shape }): readonly [string, Entry] => {
      const begin = at;
      at += shape.reduce((a, b) => a * b, WIDTHS[dtype] ?? 0);
      return [name, { dtype, shape, data_offsets: [begin, at] }];
    });
    return { entries, data: Uint8Array.from({ length: at }, (_, i) => i % 251) };
  });

const text = (entries: readonly (readonly [string, unknown])[]): string =>
  `{${entries.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(",")}}`;

/** The tensors, or the refusal; anything else fails. */
async function outcome(bytes: Uint8Array): Promise<ReadonlyMap<string, Uint8Array> | string> {
  const source = watched(bytes);
  try {
    const { tensors } = await readSafetensors(source);
    const out = new Map<string, Uint8Array>();
    for (const [name, tensor] of tensors) out.set(name, await tensor.bytes());
    return out;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    expect(error.message).toMatch(/^m\.safetensors: /);
    return error.message;
  } finally {
    expect(source.seen.beyond).toBe(0);
    expect(source.seen.largest).toBeLessThanOrEqual(bytes.byteLength);
  }
}

const check = <T>(arbitrary: fc.Arbitrary<T>, property: (value: T) => Promise<void>): Promise<void> =>
  fc.assert(fc.asyncProperty(arbitrary, property), { seed: SEED, numRuns: 400 });

describe("properties", () => {
  test("a right file gives its tensors, whatever their names", () =>
    check(right, async ({ entries, data }) => {
      const got = await outcome(file(utf8(text(entries)), data));
      if (typeof got === "string") throw new Error(got);
      expect([...got.keys()].sort()).toEqual(entries.map(([name]) => name).sort());
      for (const [name, { data_offsets: offsets }] of entries) expect(got.get(name)).toEqual(data.slice(...offsets));
    }));

  test("with one byte of the header changed, it is the same tensors under other names or kinds, or it is refused", () =>
    check(fc.tuple(right, fc.nat(), fc.integer({ min: 1, max: 255 })), async ([{ entries, data }, place, change]) => {
      const header = utf8(text(entries));
      const at = place % header.byteLength;
      header[at] = (header[at] ?? 0) ^ change;
      const got = await outcome(file(header, data));
      // Refused, or what tiles the data still does: every byte belongs to one tensor.
      const total = (tensors: ReadonlyMap<string, { readonly byteLength: number }>): number =>
        [...tensors.values()].reduce((sum, bytes) => sum + bytes.byteLength, 0);
      expect(typeof got === "string" || total(got) === data.byteLength).toBe(true);
    }));

  test("with other offsets than those that tile the data it is refused", () =>
    check(
      fc.tuple(
        right.filter(({ data }) => data.byteLength > 0),
        fc.nat(),
        fc.integer({ min: -9, max: 9 }),
        fc.boolean(),
      ),
      async ([{ entries, data }, which, by, end]) => {
        const full = entries.filter(
          ([
            ,
            {
              data_offsets: [a, b],
            },
          ]) => b > a,
        );
        const [name] = full[which % full.length] as readonly [string, Entry];
        const changed = entries.map(([key, entry]): readonly [string, unknown] => {
          const [a, b] = entry.data_offsets;
          return key === name ? [key, { ...entry, data_offsets: end ? [a, b + by] : [a + by, b + by] }] : [key, entry];
        });
        const got = await outcome(file(utf8(text(changed)), data));
        if (by === 0) expect(got).toBeInstanceOf(Map);
        else expect(got).toBeTypeOf("string");
      },
    ));

  test("a key that stands twice is refused by name", () =>
    check(
      fc.tuple(
        right.filter(({ entries }) => entries.length > 0),
        fc.nat(),
      ),
      async ([{ entries, data }, which]) => {
        const twice = entries[which % entries.length] as readonly [string, Entry];
        const got = await outcome(file(utf8(text([...entries, twice])), data));
        expect(got).toBe(`m.safetensors: the header has the key "${twice[0]}" twice in one object`);
      },
    ));

  test("a length of any size, over a file of any size", () =>
    check(
      fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.uint8Array({ maxLength: 40 })),
      async ([n, rest]) => {
        const got = await outcome(file(rest, new Uint8Array(0), n));
        if (typeof got !== "string") expect(new TextDecoder().decode(rest.subarray(0, Number(n)))).toMatch(/^\{/);
      },
    ));

  test("any bytes at all", () =>
    check(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      await outcome(bytes);
    }));
});

describe("one of each", () => {
  const entry = { dtype: "F32", shape: [1], data_offsets: [0, 4] };
  const four = new Uint8Array(4);
  const said = async (header: string | Uint8Array, data: Uint8Array = four, length?: bigint): Promise<unknown> =>
    outcome(file(typeof header === "string" ? utf8(header) : header, data, length));

  test.each<[string, string | Uint8Array, string]>([
    ["a byte order mark", `\uFEFF${text([["x", entry]])}`, 'its header does not begin with "{"'],
    ["a space in front", ` ${text([["x", entry]])}`, 'its header does not begin with "{"'],
    ["what is not UTF-8", new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]), "its header is not UTF-8"],
    ["a key twice inside", '{"x":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', '"dtype" twice'],
    ["a shape beyond counting", text([["x", { ...entry, shape: [2 ** 53, 2 ** 53] }]]), "list of sizes"],
    ["a shape beyond the data", text([["x", { ...entry, shape: [2 ** 52, 2 ** 52] }]]), "takes"],
    ["offsets beyond counting", text([["x", { ...entry, data_offsets: [0, 2 ** 60] }]]), "data_offsets"],
    ["an unknown dtype backwards", text([["x", { ...entry, dtype: "F13", data_offsets: [4, 0] }]]), "run backwards"],
  ])("%s", async (_, header, expected) => {
    expect(await said(header)).toContain(expected);
  });

  test("tensors of dtypes that nobody knows keep their place", async () => {
    const got = await said(
      text([
        ["x", entry],
        ["y", { dtype: "F13", shape: [3], data_offsets: [4, 7] }],
      ]),
      new Uint8Array(7),
    );
    expect(got).toEqual(
      new Map([
        ["x", new Uint8Array(4)],
        ["y", new Uint8Array(3)],
      ]),
    );
  });

  test("a header of ten billion bytes", async () => {
    expect(await said(text([["x", entry]]), four, 10n ** 10n)).toContain("announce a header of 10000000000 bytes");
  });
});
