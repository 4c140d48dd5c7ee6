/**
 * `tilestate kernels`: what kernels there are, what the compiler makes of them, whether a file of one's own compiles,
 * and the cache of compiled ones.
 */
import { basename, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Command, InvalidArgumentError, Option } from "commander";
import { printSyntax, printTileProgram, STAGES, type Stage, stageText, workText } from "../../compiler/debug/dump.ts";
import { sourceOf as sourceOfModule } from "../../compiler/host/home.ts";
import { UserError } from "../../runtime/common/errors.ts";
import { configureBuild } from "../kernels/build.ts";
import type { KernelEntry } from "../kernels/builtin.ts";
import { configureTune } from "../kernels/tune.ts";
import { type Context, printJson, UsageError } from "../support/context.ts";
import { bytes } from "../support/format.ts";
import { examples, jsonOption, pairs, repeated, whole } from "../support/options.ts";

const PARTS: readonly Part[] = ["source", ...(Object.keys(STAGES) as Stage[])];
type Part = "source" | Stage;

interface ShowOptions {
  readonly file?: string;
  readonly target: string;
  readonly size?: Record<string, number>;
  readonly storage?: Record<string, string>;
  readonly part?: readonly Part[];
  readonly after?: string;
  readonly json?: boolean;
}

export function configure(command: Command, context: Context): void {
  const sub = (name: string, summary: string, description: string): Command =>
    command.command(name).summary(summary).description(description).option("--stack", "show where an error was thrown");

  examples(sub("list", "the built-in kernels", "List the built-in kernels with their parameters."), [
    "tilestate kernels list",
    "tilestate kernels list --json",
  ])
    .addOption(jsonOption())
    .action((options: { json?: boolean }) => list(options, context));

  const show = sub(
    "show",
    "source, every IR, layout and WGSL of a kernel",
    "Show what the compiler makes of a kernel, stage by stage. Needs no GPU; TILESTATE_SHOW does the same for a program that runs.",
  ).argument("<name>", "a built-in kernel, or with --file one of that file");
  examples(show, [
    "tilestate kernels show attend",
    "tilestate kernels show logits --target gpu --size vocab=32000 --size dim=2048 --storage head=f16 --part wgsl",
    "tilestate kernels show softmax --file examples/softmax.ts",
    "tilestate kernels show attend --target lavapipe --after hoist-reductions",
  ])
    .option("--file <file>", "take the kernel from this TypeScript or JavaScript file")
    .addOption(
      new Option("--target <adapter>", "the adapter to generate for")
        .choices(["lavapipe", "swiftshader", "gpu", "L4", "L0"])
        .default("gpu"),
    )
    .option("--size <dim=n>", "elements of a dim (default: those of hearth, else 64); may be repeated", pairs(whole(1)))
    .option("--storage <tensor=type>", "how a tensor is stored; may be repeated", pairs(String))
    .addOption(
      new Option("--part <part>", `only ${PARTS.join(", ")}; may be repeated`).argParser(
        (text: string, before?: readonly string[]) => {
          if (!PARTS.includes(text as Part)) throw new InvalidArgumentError(`Allowed choices are ${PARTS.join(", ")}.`);
          return repeated(text, before);
        },
      ),
    )
    .option("--after <pass>", "only what the kernel is after this pass of the compiler")
    .addOption(jsonOption())
    .action((name: string, options: ShowOptions) => showKernel(name, options, context));

  const compile = sub(
    "compile",
    "compile the kernels of a file, or say where they are wrong",
    "Compile every kernel of a TypeScript file, or of a JavaScript file with JSDoc types: functions of no result with a Tensor parameter that it exports, loads or specialises.",
  ).argument("<file>", "a TypeScript or JavaScript file");
  examples(compile, [
    "tilestate kernels compile examples/softmax.ts",
    "tilestate kernels compile mine.ts --names blur,edge",
  ])
    .option("--names <list>", "only these functions, separated by commas", (text: string) => text.split(","))
    .addOption(jsonOption())
    .action((file: string, options: { names?: string[]; json?: boolean }) => compileFile(file, options, context));

  configureTune(
    sub(
      "tune",
      "find faster schedules of kernels on this adapter, and keep them",
      "Try other knobs of the schedule than the compiler's own on the adapter at hand and keep what is faster (docs/tuning.md).",
    ),
    context,
  );
  configureBuild(
    sub(
      "build",
      "compile kernels into a module, for programs without source",
      "Compile the kernels of TypeScript or JavaScript files into a module that browser bundles, single executables and packages carry (docs/bundles.md).",
    ),
    context,
  );

  const cache = sub(
    "cache",
    "compiled kernels kept on this machine",
    "List or clear the compiled kernels that are kept.",
  )
    .argument("<action>", "list or clear")
    .addOption(jsonOption());
  cache.action((action: string, options: { json?: boolean }) => cacheAction(action, options, context));
}

async function list({ json }: { json?: boolean }, { io }: Context): Promise<void> {
  const { builtinKernels, programsOf } = await import("../kernels/builtin.ts");
  const { signature } = await import("../../compiler/debug/dump.ts");
  const entries = await builtinKernels();
  const programs = await programsOf(entries);
  if (json) {
    const kernels = entries.map((e) => ({
      name: e.name,
      file: shown(e.file),
      params: programs.get(e.name)?.params ?? [],
    }));
    printJson(io, { kernels });
    return;
  }
  let file = "";
  for (const e of entries) {
    if (e.file !== file) io.out(`${file === "" ? "" : "\n"}${shown(e.file)}\n`);
    file = e.file;
    const program = programs.get(e.name);
    if (program !== undefined) io.out(`  ${signature(program)}\n`);
  }
}

async function showKernel(name: string, options: ShowOptions, { io }: Context): Promise<void> {
  const { builtinKernels, kernelsIn, programsOf } = await import("../kernels/builtin.ts");
  const [{ sizesOf, storageOf, TARGETS }, { generate }] = await Promise.all([
    import("../kernels/targets.ts"),
    import("../../compiler/index.ts"),
  ]);
  const entries = await (options.file === undefined ? builtinKernels() : kernelsIn(options.file));
  const entry = entries.find((e) => e.name === name);
  if (entry === undefined) {
    const where = options.file === undefined ? "built-in kernel" : `exported kernel in ${options.file}`;
    throw new UserError(
      `no ${where} is called "${name}"; there are: ${entries.map((e) => e.name).join(", ") || "none"}`,
    );
  }
  const program = (await programsOf([entry])).get(name);
  const target = TARGETS[options.target];
  if (program === undefined || target === undefined) throw new UserError(`nothing to show for "${name}"`);
  const dims = sizesOf(program, {});
  for (const dim of Object.keys(options.size ?? {})) {
    if (!(dim in dims))
      throw new UsageError(`kernel ${name} has no dim "${dim}"; it has ${Object.keys(dims).join(", ")}`);
  }
  for (const [tensor, type] of Object.entries(options.storage ?? {})) {
    const p = program.params.find((q) => q.name === tensor);
    const allowed: readonly string[] = p?.kind === "tensor" ? p.storage : [];
    if (allowed.length === 0) throw new UsageError(`kernel ${name} has no tensor "${tensor}"`);
    if (!allowed.includes(type)) {
      throw new UsageError(`kernel ${name}: tensor "${tensor}" may be stored as ${allowed.join(", ")}, not as ${type}`);
    }
  }
  const sizes = sizesOf(program, options.size ?? {});
  const storage = storageOf(program, options.storage ?? {});
  if (options.after !== undefined) {
    const { generateUntil, PASSES } = await import("../../compiler/pipeline.ts");
    const names = PASSES.map((pass) => pass.name);
    if (!names.includes(options.after))
      throw new UsageError(`there is no pass "${options.after}"; the passes are ${names.join(", ")}`);
    const { work, applied } = generateUntil(options.after, program, { sizes, storage, cells: [] }, target);
    if (!applied)
      io.err(`${options.after} does not apply to ${name} on ${options.target}: this is what the pass before it left\n`);
    io.out(`${workText(work, options.after)}\n`);
    return;
  }
  const parts = options.part ?? PARTS;
  const generated = generate(program, { sizes, storage, cells: [] }, target);
  if (options.json) {
    const { schedule, wgsl } = generated;
    const { source } = entry;
    printJson(io, {
      name,
      file: shown(entry.file),
      target: options.target,
      sizes,
      storage,
      source,
      program,
      schedule,
      wgsl,
    });
    return;
  }
  const binding = Object.entries(sizes)
    .map(([d, n]) => `${d}=${n}`)
    .join(" ");
  const text = async (part: Part): Promise<string> => {
    if (part === "source") return entry.source;
    if (part === "tile") return printTileProgram(program);
    if (part !== "syntax") return stageText(part, generated);
    const { readKernels } = await import("../../compiler/frontend/read/source.ts");
    const module = readKernels(sourceOfModule(fileURLToPath(entry.module.url)), [name]);
    return printSyntax(module, module.kernels.get(name)?.key ?? "");
  };
  for (const [i, part] of parts.entries()) {
    const title = part === "source" ? shown(entry.file) : STAGES[part];
    const about = part === "schedule" ? `: target ${options.target}, ${binding}` : "";
    if (parts.length > 1) io.out(`${i === 0 ? "" : "\n"}// ---- ${title}${about}\n`);
    io.out(`${await text(part)}\n`);
  }
}

async function compileFile(
  path: string,
  options: { names?: string[]; json?: boolean },
  { io }: Context,
): Promise<void> {
  const [{ kernelsIn }, { operationCount, signature }, { loadPrograms }, { readableFile }] = await Promise.all([
    import("../kernels/builtin.ts"),
    import("../../compiler/debug/dump.ts"),
    import("../../compiler/index.ts"),
    import("../kernels/find.ts"),
  ]);
  const file = readableFile(path);
  const names = options.names ?? (await kernelsIn(path)).map((e: KernelEntry) => e.name);
  if (names.length === 0) {
    throw new UserError(
      `${path}: no exported kernel: expected an exported function of no result with a Tensor parameter`,
      {
        hint: "--names compiles functions that are not exported",
      },
    );
  }
  const began = performance.now();
  const loaded = await loadPrograms(pathToFileURL(file).href, names);
  const milliseconds = Math.round(performance.now() - began);
  const programs = names.flatMap((name) => loaded.programs.get(name) ?? []);
  if (options.json) {
    const kernels = programs.map((p) => ({
      name: p.name,
      params: p.params,
      grid: p.grid,
      operations: operationCount(p.body),
    }));
    printJson(io, { file, way: loaded.way, milliseconds, kernels });
    return;
  }
  for (const p of programs) io.out(`${signature(p)}  ${operationCount(p.body)} operations\n`);
  const way = {
    shipped: "came compiled",
    bundled: "came in a bundle",
    cached: "were compiled before",
    compiled: `compiled in ${milliseconds} ms`,
  };
  io.out(`${basename(file)}: ${programs.length} of ${names.length} kernels ${way[loaded.way]}\n`);
}

async function cacheAction(action: string, { json }: { json?: boolean }, { io }: Context): Promise<void> {
  const { cacheEntries, cacheFolder, clearCache } = await import("../../compiler/index.ts");
  const folder = cacheFolder();
  if (action === "clear") {
    const removed = clearCache();
    if (json) printJson(io, { folder, removed });
    else io.out(`${removed} ${removed === 1 ? "entry" : "entries"} removed from ${folder ?? "no cache"}\n`);
  } else if (action === "list") {
    const entries = cacheEntries();
    if (json) printJson(io, { folder, entries });
    else {
      for (const e of entries) {
        io.out(`${new Date(e.modified).toISOString()}  ${bytes(e.bytes).padStart(9)}  ${basename(e.path)}\n`);
      }
      const total = entries.reduce((n, e) => n + e.bytes, 0);
      const where = folder ?? "nowhere (TILESTATE_CACHE is off)";
      io.out(`${entries.length} ${entries.length === 1 ? "entry" : "entries"}, ${bytes(total)}, in ${where}\n`);
    }
  } else throw new UsageError(`kernels cache: expected "list" or "clear", got "${action}"`);
}

/** A path as short as it can be said from here. */
function shown(file: string): string {
  const near = relative(process.cwd(), file);
  return near.startsWith("..") ? file : near;
}
