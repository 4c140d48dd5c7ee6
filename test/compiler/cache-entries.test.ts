/**
 * Entries that are not what was written: whatever became of the bytes, loading gives the right programs and never an
 * error.
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  BundleError,
  bundle,
  cacheEntries,
  type KernelBundle,
  loadPrograms,
  programsOf,
  type TileProgram,
} from "../../compiler/index.ts";
import { wellFormed } from "../../compiler/ir/tile/well-formed.ts";
import { builtIns } from "../../models/builtins.ts";

const KERNELS = `import { amax, block, every, exp, program, select, size, sum, type Scalar, type Tensor } from "tilestate/dsl";
export function softmax(x: Tensor<"rows columns">, y: Tensor<"rows columns">, by: Scalar): void {
  const r = program("rows");
  const e = exp(x.at(r) * by - amax(x.at(r)));
  const i = every("columns");
  y.set([r], select(i < size("columns") - 1, e / sum(e), 0));
}
export function shift(x: Tensor<"n">, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i) + 1);
}
`;
const SEED = 20251201;

let folder = "";
let before: string | undefined;
let url = "";
/** Path and text of the entry of each kernel. */
const entries = new Map<string, { path: string; bytes: Uint8Array }>();
const right = new Map<string, TileProgram>();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "tilestate-cache-"));
  before = process.env.TILESTATE_CACHE;
  process.env.TILESTATE_CACHE = join(folder, "cache");
  writeFileSync(join(folder, "kernels.ts"), KERNELS);
  url = pathToFileURL(join(folder, "kernels.ts")).href;
  for (const name of ["softmax", "shift"]) {
    const { way, programs } = await loadPrograms(url, [name]);
    expect(way).toBe("compiled");
    const known = new Set([...entries.values()].map((e) => e.path));
    const path = cacheEntries().find((e) => !known.has(e.path))?.path ?? "";
    entries.set(name, { path, bytes: readFileSync(path) });
    right.set(name, programs.get(name) as TileProgram);
  }
});
afterAll(() => {
  if (before === undefined) delete process.env.TILESTATE_CACHE;
  else process.env.TILESTATE_CACHE = before;
  rmSync(folder, { recursive: true, force: true });
});

/** The entry of softmax with other bytes, and what loading makes of it. */
async function loadedFrom(bytes: Uint8Array): Promise<string> {
  const { path } = entries.get("softmax") as { path: string };
  writeFileSync(path, bytes);
  const { way, programs } = await loadPrograms(url, ["softmax"]);
  expect(programs.get("softmax")).toEqual(right.get("softmax"));
  return way;
}

describe("an entry of the cache", () => {
  test("with any of its bytes changed, missing or added is a miss, and is written anew", async () => {
    const { bytes } = entries.get("softmax") as { bytes: Uint8Array };
    const damage = fc.oneof(
      fc.record({ at: fc.nat(bytes.length - 1), byte: fc.nat(255) }).map(({ at, byte }) => {
        const other = Uint8Array.from(bytes);
        other[at] = byte;
        return other;
      }),
      fc.nat(bytes.length - 1).map((n) => bytes.slice(0, n)),
      fc.nat(bytes.length - 1).map((n) => bytes.slice(n)),
      fc.tuple(fc.nat(bytes.length), fc.uint8Array({ minLength: 1, maxLength: 9 })).map(([at, more]) => {
        return Uint8Array.from([...bytes.slice(0, at), ...more, ...bytes.slice(at)]);
      }),
      // JSON that is still JSON: another number, another word.
      fc.nat(9).map((d) => new TextEncoder().encode(new TextDecoder().decode(bytes).replaceAll(/\b1\b/g, `${d}`))),
      fc
        .constantFrom("", "{}", "[]", "null", "0", '{"artefact":null}', '{"hash":"","artefact":{}}')
        .map((t) => new TextEncoder().encode(t)),
    );
    await fc.assert(
      fc.asyncProperty(damage, async (changed) => {
        const same = changed.length === bytes.length && changed.every((b, i) => b === bytes[i]);
        expect(await loadedFrom(changed)).toBe(same ? "cached" : "compiled");
        expect(readFileSync(entries.get("softmax")?.path ?? "")).toEqual(Buffer.from(bytes));
      }),
      { seed: SEED, numRuns: 60 },
    );
    expect(await loadedFrom(bytes)).toBe("cached");
  });

  test("under the name of another is a miss", async () => {
    copyFileSync(entries.get("shift")?.path ?? "", entries.get("softmax")?.path ?? "");
    const { way, programs } = await loadPrograms(url, ["softmax"]);
    expect([way, programs.get("softmax")]).toEqual(["compiled", right.get("softmax")]);
  });
});

/** JSON with one of its leaves or branches replaced. */
function replaced(json: unknown, at: number, by: unknown): unknown {
  let left = at;
  const walk = (x: unknown): unknown => {
    if (left-- === 0) return by;
    if (Array.isArray(x)) return x.map(walk);
    if (typeof x === "object" && x !== null) return Object.fromEntries(Object.entries(x).map(([k, v]) => [k, walk(v)]));
    return x;
  };
  return walk(json);
}

describe("a bundle", () => {
  test("with any part replaced is refused as damaged, or is a program that lies within the rules", () => {
    const text = bundle(right.values()).kernels.softmax as string;
    const parts = text.match(/[{[,:]/g)?.length ?? 0;
    const other = fc.oneof(fc.constantFrom(null, true, "", "x y", "f32", {}, [], [0], -1, 0.5, 1e9), fc.nat(40));
    let refused = 0;
    fc.assert(
      fc.property(fc.nat(parts), other, (at, by) => {
        const changed = { tilestate: 1, kernels: { softmax: JSON.stringify(replaced(JSON.parse(text), at, by)) } };
        let program: TileProgram | undefined;
        try {
          program = programsOf(changed, ["softmax"]).get("softmax");
        } catch (error) {
          expect(error).toBeInstanceOf(BundleError);
          expect((error as Error).message).toMatch(/^the kernel "softmax" in the bundle is damaged: /);
          refused++;
        }
        if (program !== undefined) expect(wellFormed(program)).toBe(program);
      }),
      { seed: SEED, numRuns: 500 },
    );
    expect(refused).toBeGreaterThan(250);
  });

  test.each([
    ["a kernel's name", (t: string) => t.replace('"name":"softmax"', '"name":"softmax(){}"')],
    ["a parameter's name", (t: string) => t.replaceAll('"by"', '"by: f32 }; fn x() {"')],
    [
      "a tensor's name",
      (t: string) => t.replaceAll('"name":"x"', '"name":"x>"').replaceAll('"param":"x"', '"param":"x>"'),
    ],
  ])("has identifiers: %s", (_, spoil) => {
    const text = bundle(right.values()).kernels.softmax as string;
    const changed: KernelBundle = { tilestate: 1, kernels: { softmax: spoil(text) } };
    expect(changed.kernels.softmax).not.toBe(text);
    expect(() => programsOf(changed, ["softmax"])).toThrow(/is damaged: .* has the name ".*", which is no identifier$/);
  });

  test("has each kernel under its own name", () => {
    const { kernels } = bundle(right.values());
    const swapped = { tilestate: 1, kernels: { shift: kernels.softmax as string } };
    expect(() => programsOf(swapped, ["shift"])).toThrow('"shift" in the bundle is damaged: it is called "softmax"');
  });
});

test("letters of all scripts, digits and dollars make names that are no danger", async () => {
  const file = join(folder, "letters.ts");
  writeFileSync(file, KERNELS.replaceAll("shift", "größer_2").replaceAll(/\bx\b/g, "$ξ"));
  const { programs } = await loadPrograms(pathToFileURL(file).href, ["größer_2"]);
  const packed = bundle(programs.values());
  expect(
    programsOf(packed, ["größer_2"])
      .get("größer_2")
      ?.params.map((p) => p.name),
  ).toEqual(["$ξ", "y"]);
});

test("every built-in kernel is well formed", () => {
  const seen: string[] = [];
  for (const { shipped } of builtIns()) {
    if (shipped === undefined) throw new Error("a built-in module without compiled kernels");
    const { bundle: b } = shipped;
    for (const [name, program] of programsOf(b, Object.keys(b.kernels)))
      seen.push(`${name} ${wellFormed(program).name}`);
  }
  expect(seen.length).toBeGreaterThan(15);
  expect(seen.every((s) => s.split(" ")[0] === s.split(" ")[1])).toBe(true);
});
