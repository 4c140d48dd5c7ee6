/**
 * Kernels in plain JavaScript with JSDoc types: what is told of mistakes in them, and which JavaScript is taken for a
 * source of kernels.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundle, KernelError, loadPrograms, registerBundle } from "../../compiler/index.ts";
import { temporary } from "../models/formats/temporary.ts";

const at = temporary();
const before = process.env.TILESTATE_CACHE;

beforeAll(async () => {
  await mkdir(at("cache"));
  process.env.TILESTATE_CACHE = at("cache");
});
afterAll(() => {
  if (before === undefined) delete process.env.TILESTATE_CACHE;
  else process.env.TILESTATE_CACHE = before;
});

const JS = `/** @import { Static, Tensor } from "tilestate/dsl" */\nimport { block, specialise } from "tilestate/dsl";\n`;

type Files = Readonly<Record<string, string>>;

/** Writes a project, and gives the URL of its first file. */
async function project(name: string, files: Files): Promise<string> {
  await mkdir(at(name));
  for (const [file, text] of Object.entries(files)) await writeFile(at(`${name}/${file}`), `${text}\n`);
  return pathToFileURL(at(`${name}/${Object.keys(files)[0]}`)).href;
}

/** Title -> files, the first of which has `kernel`. */
const MISTAKES: readonly (readonly [title: string, files: Files])[] = [
  [
    "parameters without types",
    {
      "kernel.js": `${JS}/** @param {Tensor<"n">} y */\nexport function typed(y) {}\nexport function kernel(x, y) {\n  y.set([0], x.at(0));\n}`,
    },
  ],
  [
    "one parameter without a type",
    { "kernel.js": `${JS}/** @param {Tensor<"n">} y */\nexport function kernel(y, k) {\n  y.set([0], k);\n}` },
  ],
  [
    "a type that is not imported",
    { "kernel.mjs": `/** @param {Tensor<"n">} y */\nexport function kernel(y) {\n  y.set([0], 1);\n}` },
  ],
  [
    "a type error",
    {
      "kernel.js": `${JS}/** @param {Tensor<"n">} y */\nexport function kernel(y) {\n  /** @type {string} */\n  const wrong = 1;\n  y.set([0], 1);\n}\n/** @type {string} */\nexport const host = 1;`,
    },
  ],
  [
    "a mistake in the types",
    {
      "kernel.js": `${JS}/**\n * @param {Tensor<"n", float>} y\n */\nexport function kernel(y) {\n  y.set([0], 1);\n}`,
    },
  ],
  [
    "a mistake in a helper of another file, which has no types",
    {
      "kernel.js": `${JS}import { half } from "./helper.js";\n/** @param {Tensor<"n">} y */\nexport function kernel(y) {\n  const i = block("n");\n  y.set([i], half(y.at(i)));\n}`,
      "helper.js": `export function half(x) {\n  return x > 0 ? x / 2 : x;\n}`,
    },
  ],
  [
    "a helper that does not parse",
    {
      "kernel.js": `${JS}import { half } from "./helper.js";\n/** @param {Tensor<"n">} y */\nexport function kernel(y) {\n  y.set([0], half(1));\n}`,
      "helper.js": `export function half(x: number) {\n  return x / 2;\n}`,
    },
  ],
  [
    "too few arguments of a helper",
    {
      "kernel.js": `${JS}/** @param {Tensor<"n">} y */\nexport function kernel(y) {\n  y.set([0], add(1));\n}\nfunction add(a, b) {\n  return a + b;\n}`,
    },
  ],
  [
    "a value of a compile-time parameter of another type",
    {
      "kernel.js": `${JS}/** @param {Tensor<"n">} y  @param {Static<{ rows: number }>} options */\nfunction fill(y, { rows }) {\n  y.set([block("n", rows)], 1);\n}\nexport const loaded = { kernel: specialise(fill, { rows: "two" }) };`,
    },
  ],
];

describe("mistakes", () => {
  const told = new Map<string, string>();
  beforeAll(async () => {
    for (const [i, [title, files]] of MISTAKES.entries()) {
      const error = await loadPrograms(await project(`mistake${i}`, files), ["kernel"]).then(
        () => undefined,
        (e: unknown) => e,
      );
      if (!(error instanceof KernelError)) throw new Error(`${title}: expected a KernelError, got ${error}`);
      told.set(title, error.message);
    }
  });

  test("are told with place, code and help", async () => {
    expect([...told].filter(([, text]) => !/TS-\d{3} {2}/.test(text))).toEqual([]);
    const page = [...told].map(([title, text]) => `# ${title}\n\n${text}\n`).join("\n");
    await expect(page).toMatchFileSnapshot("../fixtures/diagnostics/mistakes/plain-JavaScript.txt");
  });

  test("carets stand under the columns that the first line names", () => {
    expect(told.size).toBe(MISTAKES.length);
    for (const [title, text] of told) {
      for (const part of text.split("\n\n")) {
        const [head = "", source = "", carets = ""] = part.split("\n");
        const column = Number(/:(\d+) {2}TS-/.exec(head)?.[1]);
        const bar = source.indexOf(" | ") + 3;
        expect(carets.indexOf("^") - bar + 1, `${title}\n${part}`).toBe(column);
      }
    }
  });
});

const KERNEL = `/** @param {Tensor<"n">} y  @param {Tensor<"n">} x */
export function plainScale(y, x) {
  const i = block("n");
  y.set([i], 3 * x.at(i));
}`;
/** What is loaded, and how. */
async function loaded(url: string, ...names: string[]): Promise<[string, ...string[]]> {
  const { way, programs } = await loadPrograms(url, names);
  return [way, ...[...programs.values()].map((p) => `${p.name}: ${p.body.length}`)];
}
const message = (url: string, name: string): Promise<string> =>
  loadPrograms(url, [name]).then(
    (l) => l.way,
    (e: Error & { hint?: string }) => `${e.message}\n${e.hint ?? ""}`,
  );

describe("JavaScript as a source", () => {
  test("is compiled, cached, and compiled again when it or a file that it imports changes", async () => {
    const helper = "export function third(x) {\n  return x / 3;\n}";
    const url = await project("cached", {
      "main.mjs":
        'import { scale } from "./kernels.js";\nimport { open } from "tilestate/runtime";\nconst k = await gpu.kernels(import.meta, { scale });',
      "kernels.js": `${JS}import { third } from "./helper.mjs";\n${KERNEL.replace("plainScale", "scale").replace("3 * x.at(i)", "third(x.at(i))")}`,
      "helper.mjs": helper,
    });
    expect(await loaded(url, "scale")).toEqual(["compiled", "scale: 5"]);
    expect(await loaded(url, "scale")).toEqual(["cached", "scale: 5"]);
    await writeFile(at("cached/helper.mjs"), helper.replace("x / 3", "x / 3 + 1"));
    expect(await loaded(url, "scale")).toEqual(["compiled", "scale: 7"]);
  });

  test("imports kernels of TypeScript, and TypeScript imports helpers of JavaScript", async () => {
    const url = await project("mixed", {
      "main.mjs": 'import { scale } from "./kernels.ts";\nexport { scale };',
      "kernels.ts":
        'import { block, type Tensor } from "tilestate/dsl";\nimport { half } from "./half.js";\nexport function scale(x: Tensor<"n">, y: Tensor<"n">): void {\n  const i = block("n");\n  y.set([i], half(x.at(i)));\n}',
      "half.js": "export const half = (x) => x / 2;",
    });
    expect(await loaded(url, "scale")).toEqual(["compiled", "scale: 5"]);
  });

  test("without types it is none, and the error says what to write", async () => {
    const url = await project("untyped", {
      "app.js": 'import { block } from "tilestate/dsl";\nexport function bare(x) {\n  x.set([block("n")], 1);\n}',
    });
    expect(await message(url, "bare")).toBe(
      `no source and no bundle of "bare": ${at("untyped/app.js")} is JavaScript, and no comment in it says the types of kernels\n` +
        'write `@param {Tensor<"rows n">} x` in the comment above it, and `/** @import { Tensor } from "tilestate/dsl" */` once in the file, or ' +
        "compile them beforehand with `tilestate kernels build`, and pass the bundle to gpu.kernels or registerBundle",
    );
  });

  describe("what a bundler made of kernels comes from registered bundles", () => {
    const words = "function block(dim) {\n  throw new Error(dim);\n}\n";
    const OUTPUTS: Readonly<Record<string, string>> = {
      "without types": `${words}function plainScale(y, x) {\n  y.set([block("n")], 1);\n}\nexport { plainScale };`,
      minified: 'function e(t){throw new Error(t)}function n(t,r){t.set([e("n")],1)}export{n as plainScale};',
      "with the comment and its types, but neither the import of Tensor nor the words": `${words}${KERNEL}`,
      "with types that name their package, and without the words": `${words}${KERNEL.replaceAll("Tensor<", 'import("tilestate/dsl").Tensor<')}`,
      "beside a comment about other tensors": `${words}/** @param {Tensor} x */\nexport function host(x) {}\nexport function plainScale(y, x) {\n  y.set([block("n")], 1);\n}`,
    };

    beforeAll(async () => {
      const url = await project("origin", { "kernels.js": `${JS}${KERNEL}` });
      registerBundle(bundle((await loadPrograms(url, ["plainScale"])).programs.values()));
    });

    test.each(Object.entries(OUTPUTS))("%s", async (name, text) => {
      const url = await project(`out ${name}`, { "app.js": text });
      expect(await loaded(url, "plainScale")).toEqual(["bundled", "plainScale: 5"]);
      // What no bundle has is an error in any case.
      await expect(loadPrograms(url, ["plainOther"])).rejects.toThrow("plainOther");
    });

    test("and a mistake in a source does not", async () => {
      const url = await project("wrong", { "kernels.js": `${JS}${KERNEL.replace("3 * ", "nowhere * ")}` });
      await expect(loadPrograms(url, ["plainScale"])).rejects.toThrow("TS-203");
    });
  });
});
