/** `kernels`: what is listed, shown and compiled, what is wrong in a file, and the cache. No GPU is opened here. */
import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { temporary } from "../models/formats/temporary.ts";
import { cli, cliJson } from "./run.ts";

const at = temporary();
const softmax = fileURLToPath(new URL("../../examples/softmax.ts", import.meta.url));
const before = process.env.TILESTATE_CACHE;

beforeAll(async () => {
  await mkdir(at("cache"));
  process.env.TILESTATE_CACHE = at("cache");
});
afterAll(() => {
  if (before === undefined) delete process.env.TILESTATE_CACHE;
  else process.env.TILESTATE_CACHE = before;
});

interface Listed {
  readonly kernels: readonly { readonly name: string; readonly file: string; readonly params: readonly unknown[] }[];
}

test("list names every kernel of the decoder and of the policies, with parameters", async () => {
  const { kernels } = await cliJson<Listed>("kernels", "list");
  const names = kernels.map((k) => k.name);
  for (const name of ["embed", "qkv", "attend", "project", "swiglu", "logits", "choose", "window", "tova"]) {
    expect(names).toContain(name);
  }
  for (const k of kernels) expect(k.params.length, k.name).toBeGreaterThan(0);
  const { out } = await cli("kernels", "list");
  expect(out).toMatch(
    /^models\/cache\/policies\/tova\.ts\n {2}tova\(scores: Tensor<"scored sequences heads slots">, lse: /m,
  );
});

describe.each(["lavapipe", "swiftshader", "gpu", "L4", "L0"])("show for %s", (target) => {
  test("prints WGSL for every built-in kernel", async () => {
    const { kernels } = await cliJson<Listed>("kernels", "list");
    for (const { name } of kernels) {
      const { code, out, err } = await cli("kernels", "show", name, "--target", target, "--part", "wgsl");
      expect([code, err], name).toEqual([0, ""]);
      expect(out, name).toContain("@compute @workgroup_size(");
      expect(out, name).toContain("fn main(");
    }
  });
});

test("show has every stage under a title, and the sizes that were asked for", async () => {
  const { code, out } = await cli("kernels", "show", "attend", "--size", "slots=33", "--target", "lavapipe");
  expect(code).toBe(0);
  expect(out).toContain("export function attend(");
  expect(out).toContain("One layer's out, scores ");
  expect(out).toContain("kernel attend");
  expect(out).toContain("slots=33");
  expect(out).toContain("p_scores: array<f32, 132>");
  expect(out.match(/^\/\/ ---- /gm)?.length).toBeGreaterThanOrEqual(4);
});

test("show --storage changes how a tensor is read", async () => {
  const show = (storage: string): Promise<{ out: string }> =>
    cli("kernels", "show", "project", "--part", "wgsl", "--storage", `w=${storage}`);
  expect((await show("f16")).out).toContain("unpack2x16float");
  expect((await show("f32")).out).not.toContain("unpack2x16float");
});

test("show --json and --file: a kernel of one's own", async () => {
  const got = await cliJson<{ name: string; source: string; wgsl: string; program: { params: unknown[] } }>(
    ...["kernels", "show", "softmax", "--file", softmax, "--size", "columns=100"],
  );
  expect(got.name).toBe("softmax");
  expect(got.source.startsWith("/** y = softmax of each row of x. */\nexport function softmax(")).toBe(true);
  expect(got.program.params).toHaveLength(2);
  expect(got.wgsl).toContain("exp(");
});

test("show of a kernel that is not there names those that are", async () => {
  const { code, err } = await cli("kernels", "show", "hardmax", "--file", softmax);
  expect([code, err]).toEqual([1, `error: no exported kernel in ${softmax} is called "hardmax"; there are: softmax\n`]);
});

describe("compile", () => {
  test("says what it compiled, and the second time that it was compiled before", async () => {
    await cli("kernels", "cache", "clear");
    const first = await cli("kernels", "compile", softmax);
    expect([first.code, first.err]).toEqual([0, ""]);
    expect(first.out).toMatch(/^softmax\(x: Tensor<"rows columns">, y: Tensor<"rows columns">\) {2}\d+ operations$/m);
    expect(first.out).toMatch(/^softmax\.ts: 1 of 1 kernels compiled in \d+ ms$/m);
    expect((await cli("kernels", "compile", softmax)).out).toMatch(
      /^softmax\.ts: 1 of 1 kernels were compiled before$/m,
    );
    expect(await cliJson("kernels", "compile", softmax)).toMatchObject({
      way: "cached",
      kernels: [{ name: "softmax" }],
    });
  });

  test("a file without kernels, and one that is not there", async () => {
    await writeFile(at("host.ts"), "export function main(): void {}\n");
    const none = await cli("kernels", "compile", at("host.ts"));
    expect(none.code).toBe(1);
    expect(none.err).toBe(
      `error: ${at("host.ts")}: no exported kernel: expected an exported function of no result with a Tensor parameter\n` +
        "hint: --names compiles functions that are not exported\n",
    );
    expect(await cli("kernels", "compile", at("missing.ts"))).toEqual({
      code: 1,
      out: "",
      err: `error: ${at("missing.ts")}: no such file\n`,
    });
  });

  test("mistakes are shown with file, line, column and caret, all of them, without a stack trace", async () => {
    const text = [
      'import { block, sum, type Tensor } from "tilestate/dsl";',
      "",
      'export function adds(x: Tensor<"n">, y: Tensor<"n">): void {',
      '  const i = block("n");',
      '  y.set([i], x.at(i) + "one");',
      "}",
      "",
      'export function asks(x: Tensor<"n">, y: Tensor<"n">): void {',
      '  const i = block("n");',
      "  if (x.at(i) > 0) y.set([i], sum(x.at(i)));",
      "}",
      "",
    ].join("\n");
    await writeFile(at("bad.ts"), text);
    const { code, out, err } = await cli("kernels", "compile", at("bad.ts"));
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain('bad.ts:5:14  TS-205  "+" needs two numbers, got a tile and a string\n');
    expect(err).toContain('  5 |   y.set([i], x.at(i) + "one");\n    |              ^^^^^^^^^^^^^^^\n');
    expect(err).toContain('bad.ts:10:7  TS-207  tile "n" used as a condition\n');
    expect(err).toContain("  help: a branch needs one answer: ");
    expect(err).toMatch(/\n\nerror: \d mistakes in a kernel\n$/);
    expect(err).not.toMatch(/^\s+at /m);
    const asked = await cli("kernels", "compile", at("bad.ts"), "--names", "asks", "--stack");
    expect(asked.err).not.toContain("TS-205");
    expect(asked.err).toMatch(/error: a mistake in a kernel\n[\s\S]*^\s+at /m);
  });
});

test("cache list and clear", async () => {
  await cli("kernels", "compile", softmax);
  const { folder, entries } = await cliJson<{ folder: string; entries: { path: string }[] }>(
    "kernels",
    "cache",
    "list",
  );
  expect(folder.startsWith(at("cache"))).toBe(true);
  expect(entries.length).toBeGreaterThan(0);
  expect((await cli("kernels", "cache", "list")).out).toMatch(
    new RegExp(`^${entries.length} entr(y|ies), .* in `, "m"),
  );
  expect(await cliJson("kernels", "cache", "clear")).toEqual({ folder, removed: entries.length });
  expect((await cli("kernels", "cache", "list")).out).toBe(`0 entries, 0 B, in ${folder}\n`);
});
