/**
 * `tilestate kernels build`: compiles kernels into a module that programs carry with them
 * (compiler/artefacts/bundle.ts).
 */
import { readFileSync } from "node:fs";
import { basename, extname } from "node:path";
import type { Command } from "commander";
import type { KernelBundle, TileProgram } from "../../compiler/index.ts";
import { UserError } from "../../runtime/common/errors.ts";
import { type Context, printJson, UsageError } from "../support/context.ts";
import { bytes } from "../support/format.ts";
import { examples, jsonOption } from "../support/options.ts";
import type { KernelEntry } from "./builtin.ts";

interface BuildArguments {
  readonly out: string;
  readonly names?: readonly string[];
  readonly builtin?: boolean;
  readonly check?: boolean;
  readonly json?: boolean;
}

const FORMS: readonly string[] = [".ts", ".mts", ".js", ".mjs", ".json"];

export function configureBuild(command: Command, context: Context): void {
  examples(command, [
    "tilestate kernels build src/kernels.ts --out src/kernels.bundle.ts",
    "tilestate kernels build src/blur.ts src/edges.ts --out dist/kernels.json",
    "tilestate kernels build src/kernels.ts --out src/kernels.bundle.ts --check",
  ])
    .argument("[files...]", "TypeScript files with kernels, or JavaScript files with JSDoc types")
    .option(
      "--out <file>",
      "what to write, by its ending: .ts, .js with a .d.ts beside it, or .json",
      "kernels.bundle.ts",
    )
    .option("--names <list>", "only these kernels, separated by commas", (text: string) => text.split(","))
    .option("--builtin", "the built-in kernels as well, for programs that carry models with them")
    .option("--check", "write nothing; fail if the file is not what would be written")
    .addOption(jsonOption())
    .action((files: string[], options: BuildArguments) => build(files, options, context));
}

async function build(files: readonly string[], options: BuildArguments, { io }: Context): Promise<void> {
  const { out, check } = options;
  if (!FORMS.includes(extname(out)))
    throw new UsageError(`--out: expected a name that ends in ${FORMS.join(", ")}, got "${out}"`);
  if (files.length === 0 && !options.builtin)
    throw new UsageError("expected one file with kernels or more, or --builtin");
  const [{ builtinKernels, kernelsIn }, { BundleError, bundle, loadPrograms, writeWhole }] = await Promise.all([
    import("./builtin.ts"),
    import("../../compiler/index.ts"),
  ]);
  const entries: KernelEntry[] = [];
  for (const f of files) {
    const found = await kernelsIn(f);
    if (found.length === 0)
      throw new UserError(`${f}: expected an exported kernel: a function of no result with a Tensor parameter`);
    entries.push(...found);
  }
  if (options.builtin) entries.push(...(await builtinKernels()));
  const missing = options.names?.find((n) => entries.every((e) => e.name !== n));
  if (missing !== undefined)
    throw new UserError(
      `no exported kernel is called "${missing}"; there are: ${entries.map((e) => e.name).join(", ")}`,
    );
  const wanted = entries.filter((e) => options.names?.includes(e.name) ?? true);
  let made: KernelBundle;
  try {
    const programs: TileProgram[] = [];
    for (const module of new Set(wanted.map((e) => e.module))) {
      const names = wanted.filter((e) => e.module === module).map((e) => e.name);
      programs.push(...(await loadPrograms(module, [...new Set(names)])).programs.values());
    }
    made = bundle(programs);
  } catch (cause) {
    if (!(cause instanceof BundleError)) throw cause;
    throw new UserError(cause.message, { hint: cause.hint, cause });
  }
  const text = moduleText(made, out, files);
  const declarations = /\.m?js$/.test(out) ? out.replace(/js$/, "ts").replace(/\.(m?ts)$/, ".d.$1") : undefined;
  const written = [[out, text], ...(declarations === undefined ? [] : [[declarations, DECLARATIONS]])] as const;
  const names = Object.keys(made.kernels);
  if (check) {
    if (written.some(([file, wanted]) => textOf(file) !== wanted))
      throw new UserError(`${out} is not what these kernels compile to`, {
        hint: "run the same command without --check",
      });
  } else for (const [file, wanted] of written) writeWhole(file, wanted);
  if (options.json) printJson(io, { out, kernels: names, bytes: text.length });
  else io.out(`${out}: ${names.join(", ")} (${bytes(text.length)})${check ? ", up to date" : ""}\n`);
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** What TypeScript is told about a bundle in JavaScript. */
const DECLARATIONS = `import type { KernelBundle } from "tilestate/runtime";

declare const bundle: KernelBundle;
export default bundle;
`;

/** The bundle in the form that the file's name asks for. */
function moduleText(made: KernelBundle, out: string, files: readonly string[]): string {
  const form = extname(out);
  if (form === ".json") return `${JSON.stringify(made, null, 2)}\n`;
  const typed = form === ".ts" || form === ".mts";
  const of = [...files.map((f) => basename(f))].join(", ") || "tilestate";
  const entries = Object.entries(made.kernels).map(([name, text]) => `    ${JSON.stringify(name)}: ${quoted(text)},`);
  return [
    `// The kernels of ${of}, compiled by \`tilestate kernels build\`. Build again when they change.`,
    ...(typed ? ['import type { KernelBundle } from "tilestate/runtime";', ""] : []),
    `const bundle${typed ? ": KernelBundle" : ""} = {`,
    `  tilestate: ${made.tilestate},`,
    "  kernels: {",
    ...entries,
    "  },",
    "};",
    "",
    "export default bundle;",
    "",
  ].join("\n");
}

/** In single quotes, since JSON is full of double ones. */
function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll("\n", "\\n")}'`;
}
