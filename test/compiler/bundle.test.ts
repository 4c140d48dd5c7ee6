/**
 * Bundles: what is packed comes out again, what is wrong is said, and programs that carry one run where there is no
 * source: in Node from an esbuild bundle, in something like a browser, and as one executable made by Bun.
 */
import { execFile } from "node:child_process";
import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { beforeAll, describe, expect, test } from "vitest";
import { registered } from "../../compiler/artefacts/bundle.ts";
import { bundle, isBundle, loadPrograms, programsOf, registerBundle, type TileProgram } from "../../compiler/index.ts";
import { unpackEmbedded } from "../../runtime/adapters/swiftshader.ts";
import { Gpu } from "../../runtime/gpu.ts";
import { cli } from "../cli/run.ts";
import { complaint, temporary } from "../models/formats/temporary.ts";
import { runtimeProgram } from "../smoke/support.ts";
import { adaptersUnderTest, withDevice } from "../support/gpu.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));
const at = temporary();

const KERNELS = `
import { block, type Scalar, type Tensor } from "tilestate/dsl";

/** y = x times a factor. */
export function scale(x: Tensor<"n">, factor: Scalar, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i) * factor);
}

export function shift(x: Tensor<"n">, by: Scalar, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i) + by);
}
`;

/** What the programs below print. */
const EXPECTED = "3 6 9 12 15 18 21 24";

/** A program that scales eight numbers; `opening` are arguments of `open`, `from` is what kernels are loaded from. */
function app(imports: string, opening: string, from: string): string {
  return `
import { open, registerBundle } from "tilestate/runtime";
import bundle from "./kernels.bundle.ts";
import { scale } from "./kernels.ts";
${imports}
const gpu = await open(${opening});
const kernels = await gpu.kernels(${from}, { scale });
const x = gpu.tensor([8], "f32", { data: [1, 2, 3, 4, 5, 6, 7, 8] });
const y = gpu.tensor([8]);
kernels.scale(x, 3, y);
console.log([...(await y.read())].join(" "));
await gpu.close();
`;
}

let programs: ReadonlyMap<string, TileProgram>;

beforeAll(async () => {
  // A project: two files of its own, and tilestate among its packages.
  await mkdir(at("project/node_modules"), { recursive: true });
  await symlink(root, at("project/node_modules/tilestate"), "dir");
  await symlink(join(root, "node_modules/webgpu"), at("project/node_modules/webgpu"), "dir");
  await writeFile(at("project/kernels.ts"), KERNELS);
  programs = (await loadPrograms(pathToFileURL(at("project/kernels.ts")).href, ["scale", "shift"])).programs;
  const { code, err } = await cli(
    "kernels",
    "build",
    at("project/kernels.ts"),
    "--out",
    at("project/kernels.bundle.ts"),
  );
  expect([code, err]).toEqual([0, ""]);
});

describe("a bundle", () => {
  test("gives back the programs, without the places they were read from", () => {
    const packed = bundle(programs.values());
    expect(JSON.stringify(packed)).not.toContain("kernels.ts");
    const again = programsOf(packed, ["shift", "scale"]);
    const placeless = (p: TileProgram | undefined): unknown =>
      JSON.parse(JSON.stringify(p, (key, v: unknown) => (["file", "start", "end"].includes(key) ? undefined : v)));
    for (const [name, program] of programs) expect(placeless(again.get(name))).toEqual(placeless(program));
    expect(Object.keys(packed.kernels)).toEqual([...programs.keys()]);
  });

  test("is told from import.meta", () => {
    expect(isBundle(bundle([]))).toBe(true);
    expect(isBundle(import.meta)).toBe(false);
  });

  test("holds one kernel of a name", () => {
    const scale = programs.get("scale") as TileProgram;
    expect(() => bundle([scale, scale])).not.toThrow();
    expect(() => bundle([scale, { ...scale, axes: [] }])).toThrow('two kernels are called "scale"');
  });

  test("says what is wrong with it", () => {
    const packed = bundle(programs.values());
    expect(() => programsOf(packed, ["blur"])).toThrow('no kernel "blur" in the bundle; it has scale, shift');
    expect(() => programsOf(packed, ["toString"])).toThrow('no kernel "toString" in the bundle; it has scale, shift');
    expect(() => programsOf({ ...packed, tilestate: 99 }, ["scale"])).toThrow(
      "a kernel bundle of form 99; this version of tilestate reads form 1",
    );
    const cut = { ...packed, kernels: { scale: packed.kernels.scale?.slice(0, 100) ?? "" } };
    expect(() => programsOf(cut, ["scale"])).toThrow('the kernel "scale" in the bundle is damaged: ');
    const illegal = {
      ...packed,
      kernels: { scale: (packed.kernels.scale ?? "").replace('"op":"iota"', '"op":"cast"') },
    };
    expect(() => programsOf(illegal, ["scale"])).toThrow('the kernel "scale" in the bundle is damaged: ');
  });
});

describe("compile-time parameters in a bundle", () => {
  const GENERIC = `
import { block, type Static, type Tensor } from "tilestate/dsl";
import { open, specialise } from "tilestate";

export function generic(x: Tensor<"n">, y: Tensor<"n">, { by, f }: Static<{ by: number; f: (v: number) => number }>): void {
  const i = block("n");
  y.set([i], f(x.at(i)) + by);
}
export function whole(x: Tensor<"n">, y: Tensor<"n">, { by = 4 }: Static<{ by?: number }>): void {
  generic(x, y, { by, f: (v) => v * 3 });
}
const halved = specialise(generic, { by: 7, f: (v) => v / 2 });
export async function run(by: number): Promise<void> {
  const gpu = await open();
  await gpu.kernels(import.meta, { halved, tripled: specialise(whole, { by: 1 }), renamed: whole });
}
`;
  const noted = (values: object): { kernel: () => void; values: object } => ({ kernel: (): void => {}, values });

  test("are those that the source says, and are held to what the program asks for", async () => {
    await writeFile(at("project/generic.ts"), GENERIC);
    const out = at("generic.json");
    const { code, err, out: said } = await cli("kernels", "build", at("project/generic.ts"), "--out", out);
    expect([code, err]).toEqual([0, ""]);
    expect(said).toContain("generic.json: halved, renamed, tripled, whole (");
    const packed = JSON.parse(await readFile(out, "utf8")) as ReturnType<typeof bundle>;
    const fixed = (name: string): object | undefined => programsOf(packed, [name]).get(name)?.fixed;
    expect(["halved", "tripled", "renamed", "whole"].map(fixed)).toEqual([
      { by: 7, f: "(arrow)()" },
      { by: 1 },
      { by: 4 },
      { by: 4 },
    ]);
    const gpu = new Gpu(await withDevice(adaptersUnderTest()[0] ?? ""));
    const kernels = await gpu.kernels(packed, { halved: noted({ by: 7, f: (v: number) => v / 2 }) });
    const x = gpu.tensor([3], "f32", { data: [2, 4, 6] });
    const y = gpu.tensor([3]);
    (kernels.halved as (...args: object[]) => void)(x, y);
    expect([...(await y.read())]).toEqual([8, 9, 10]);
    expect(await complaint(() => gpu.kernels(packed, { halved: noted({ by: 8 }) }))).toBe(
      'the kernel "halved" in the bundle was compiled for { by: 7, f: (arrow)() }, and { by: 8 } is asked for',
    );
  });

  test("keep entries of the cache apart", async () => {
    await writeFile(at("project/generic.ts"), GENERIC);
    const url = pathToFileURL(at("project/generic.ts")).href;
    const load = async (by: number): Promise<unknown[]> => {
      const { way, programs: loaded } = await loadPrograms(url, ["tripled"], { tripled: { by } });
      return [way, loaded.get("tripled")?.fixed?.by];
    };
    expect([await load(11), await load(12), await load(11), await load(12)]).toEqual([
      ["compiled", 11],
      ["compiled", 12],
      ["cached", 11],
      ["cached", 12],
    ]);
  });
});

describe("registered bundles", () => {
  const gone = "file:///nowhere/dist/app.js";

  test("serve modules whose source is not there, and no others", async () => {
    const device = await withDevice(adaptersUnderTest()[0] ?? "");
    const gpu = new Gpu(device);
    const scale = (): void => {};
    expect(await complaint(() => gpu.kernels({ url: gone }, { scale }))).toBe(
      'no source and no bundle of "scale": /nowhere/dist/app.js is no TypeScript file that can be read',
    );
    expect(await complaint(() => gpu.kernels({ url: "https://example.org/app.js" }, { scale }))).toContain(
      "https://example.org/app.js is no TypeScript file",
    );
    const packed = bundle(programs.values());
    // Registered under a name that the source on disk has as well, with another meaning.
    const swapped = bundle([{ ...(programs.get("shift") as TileProgram), name: "scale" }]);
    registerBundle(swapped);
    registerBundle(swapped);
    try {
      const loaded = await loadPrograms(gone, ["scale"]);
      expect([loaded.way, JSON.stringify(loaded.programs.get("scale")?.body)]).toEqual([
        "bundled",
        JSON.stringify(programsOf(packed, ["shift"]).get("shift")?.body),
      ]);
      const own = await loadPrograms(pathToFileURL(at("project/kernels.ts")).href, ["scale"]);
      expect(own.way).not.toBe("bundled");
      expect(own.programs.get("scale")?.body).toEqual(programs.get("scale")?.body);
      registerBundle(packed);
      await expect(loadPrograms(gone, ["scale"])).rejects.toThrow(
        'several registered bundles have a kernel "scale", and not the same one',
      );
      expect((await loadPrograms(gone, ["shift"])).way).toBe("bundled");
    } finally {
      registered.length = 0;
    }
  });
});

describe("`kernels build`", () => {
  test.each([".ts", ".mjs", ".json"])(
    "writes %s, the same each time, and --check tells when it is old",
    async (form) => {
      const out = at(`made${form}`);
      const args = ["kernels", "build", at("project/kernels.ts"), "--out", out];
      expect(await cli(...args)).toMatchObject({ code: 0, err: "" });
      const text = await readFile(out, "utf8");
      expect(text).not.toContain(at(""));
      const made =
        form === ".json" ? JSON.parse(text) : ((await import(/* @vite-ignore */ out)) as { default: object }).default;
      expect(made).toEqual(bundle(programs.values()));
      if (/\.m?js$/.test(out)) {
        const declared = out.replace(/js$/, "ts").replace(/(\.m?ts)$/, ".d$1");
        expect(await readFile(declared, "utf8")).toContain("declare const bundle: KernelBundle;");
      }
      expect(await cli(...args, "--check")).toMatchObject({ code: 0 });
      await writeFile(out, text.replace("mul", "add"));
      const late = await cli(...args, "--check");
      expect([late.code, late.err]).toEqual([
        1,
        `error: ${out} is not what these kernels compile to\nhint: run the same command without --check\n`,
      ]);
    },
  );

  test("writes TypeScript that tsc takes, with the types that the package exports", async () => {
    const out = at("project/typed.bundle.ts");
    expect(await cli("kernels", "build", at("project/kernels.ts"), "--out", out)).toMatchObject({ code: 0, err: "" });
    const config = {
      extends: join(root, "tsconfig.json"),
      compilerOptions: { typeRoots: [join(root, "node_modules/@types"), join(root, "node_modules")] },
      files: ["typed.bundle.ts"],
      include: [],
    };
    await writeFile(at("project/tsconfig.json"), JSON.stringify(config));
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const deno = process.versions.deno === undefined ? [] : ["run", "-A"];
    const check = (): Promise<{ stdout: string }> =>
      run(process.execPath, [...deno, tsc, "-p", at("project/tsconfig.json")], { cwd: at("project") }).catch(
        (error: { stdout: string }) => error,
      );
    expect((await check()).stdout).toBe("");
    // It would say so.
    await writeFile(out, (await readFile(out, "utf8")).replace("tilestate: 1", 'tilestate: "1"'));
    expect((await check()).stdout).toMatch(/typed\.bundle\.ts\(\d+,\d+\): error TS2322/);
  });

  test("takes some kernels of several files, and refuses what it cannot name or find", async () => {
    await cp(at("project/kernels.ts"), at("project/more.ts"));
    await writeFile(at("project/other.ts"), KERNELS.replace("* factor", "/ factor"));
    const build = (...args: string[]): ReturnType<typeof cli> =>
      cli("kernels", "build", at("project/kernels.ts"), "--out", at("some.json"), ...args);
    expect(await build(at("project/more.ts"))).toMatchObject({ code: 0 });
    expect(await build("--names", "shift")).toMatchObject({ code: 0 });
    expect(Object.keys((JSON.parse(await readFile(at("some.json"), "utf8")) as { kernels: object }).kernels)).toEqual([
      "shift",
    ]);
    expect((await build(at("project/other.ts"))).err).toContain('error: two kernels are called "scale"\n');
    expect((await build("--names", "blur")).err).toBe(
      'error: no exported kernel is called "blur"; there are: scale, shift\n',
    );
    expect(await cli("kernels", "build", "--out", at("x.wasm"))).toMatchObject({ code: 2 });
    expect(await cli("kernels", "build", "--out", at("x.ts"))).toMatchObject({ code: 2 });
  });

  test("takes the built-in kernels, for programs that carry models", async () => {
    expect(await cli("kernels", "build", "--builtin", "--out", at("builtin.json"))).toMatchObject({ code: 0 });
    const made = JSON.parse(await readFile(at("builtin.json"), "utf8")) as { kernels: object };
    for (const name of ["qkv", "attend", "tova", "choose"]) expect(Object.keys(made.kernels)).toContain(name);
  });
});

describe("a program without source", () => {
  const adapter = adaptersUnderTest()[0] ?? "";
  const env = { ...process.env, TILESTATE_ADAPTER: adapter, TILESTATE_CACHE: "off" };

  /**
   * A Dawn that sees the adapter under test as the system's own, and where it must look for libraries to do so: the
   * embedded adapter is one to a program that finds its library before the loader's. Nothing here can be tried on the
   * null backend, whose results are whatever its memory held.
   */
  const dawn = (() => {
    const system = `node_modules/webgpu/dist/${process.platform}-${process.arch}/dawn.node`;
    if (adapter !== "swiftshader") return { binary: join(root, system), libraries: process.env.LD_LIBRARY_PATH ?? "" };
    const folder = unpackEmbedded();
    return { binary: join(folder, "dawn.node"), libraries: folder };
  })();

  /** Bundles for the browser, into a folder in which only npm's packages are. */
  async function bundled(name: string, source: string): Promise<string> {
    await writeFile(at(`project/${name}.ts`), source);
    const out = at(`${name}/app.mjs`);
    const made = await build({
      entryPoints: [at(`project/${name}.ts`)],
      outfile: out,
      bundle: true,
      platform: "browser",
      format: "esm",
      metafile: true,
      logLevel: "silent",
    });
    expect(made.warnings).toEqual([]);
    expect(Object.values(made.metafile.outputs).flatMap((o) => o.imports)).toEqual([]);
    expect(
      Object.keys(made.metafile.inputs).filter((f) => /ts-morph|compile\.ts|lower\.ts|compiler\/source\.ts/.test(f)),
    ).toEqual([]);
    expect(await readFile(out, "utf8")).not.toMatch(/^import\b|\bfrom "node:|\brequire\("node:/m);
    return out;
  }

  async function withWebgpu(out: string): Promise<void> {
    await writeFile(join(out, "../package.json"), '{ "dependencies": { "webgpu": "*" } }');
    await mkdir(join(out, "../node_modules"), { recursive: true });
    await symlink(join(root, "node_modules/webgpu"), join(out, "../node_modules/webgpu"), "dir");
    await symlink(join(root, "node_modules/@sparticuz"), join(out, "../node_modules/@sparticuz"), "dir");
  }

  test.each([
    ["passed", app("", "", "bundle")],
    ["registered", app("registerBundle(bundle);", "", "import.meta")],
  ])("runs from a bundle of esbuild's, with kernels %s", async (name, source) => {
    const out = await bundled(name, source);
    await withWebgpu(out);
    const deno = process.versions.deno === undefined ? [] : ["run", "-A"];
    const { stdout } = await run(process.execPath, [...deno, out], { cwd: at(name), env });
    expect(stdout.trim()).toBe(EXPECTED);
  });

  const [node, bun] = [runtimeProgram("node"), runtimeProgram("bun")];

  test.skipIf(node === undefined)(
    "runs where the platform has a WebGPU and there is no process, as in a browser",
    async () => {
      await bundled("browser", app("", "", "bundle"));
      // What a browser lacks is taken away before the program is loaded, but for setImmediate, which Dawn's binding
      // itself calls.
      await writeFile(
        at("browser/page.mjs"),
        `import { createRequire } from "node:module";
const { create } = createRequire(import.meta.url)(${JSON.stringify(dawn.binary)});
const instance = create([]);
Object.defineProperty(globalThis, "navigator", { value: { gpu: instance } });
const { exit } = process;
delete globalThis.process;
delete globalThis.Buffer;
await import("./app.mjs");
exit(0);
`,
      );
      const { stdout } = await run(node ?? "", ["page.mjs"], { cwd: at("browser"), env });
      expect(stdout.trim()).toBe(EXPECTED);
    },
  );

  test.skipIf(bun === undefined)("runs as one executable of Bun's, with Dawn inside, in an empty folder", async () => {
    const binary = `webgpu/dist/${process.platform}-${process.arch}/dawn.node`;
    await writeFile(at("project/single.ts"), app(`import dawn from ${JSON.stringify(binary)};`, "{ dawn }", "bundle"));
    await mkdir(at("single"));
    await run(bun ?? "", ["build", "--compile", at("project/single.ts"), "--outfile", at("single/app")], {
      cwd: at("project"),
    });
    const found = { ...env, TILESTATE_ADAPTER: "auto", LD_LIBRARY_PATH: dawn.libraries };
    const { stdout } = await run(at("single/app"), [], { cwd: at("single"), env: found });
    expect(stdout.trim()).toBe(EXPECTED);
  });
});
