/**
 * The front end: kernel files in, our own syntax tree out.
 *
 * The only file that imports ts-morph. It loads the file behind `import.meta.url`, follows relative imports and our own dsl and nothing else (facts: 4 files
 * instead of 123), asks the checker what each name is, and converts just the functions that the wanted kernels reach.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { ts } from "ts-morph";
import { Convert } from "./convert.ts";
import { KernelError } from "./diagnostics.ts";
import { FindKernels } from "./find-kernels.ts";
import { sourceRoot } from "./home.ts";
import { LIB_NAME, LIB_TEXT } from "./lib.ts";
import type { ModuleSyntax, SourceText, Statics, TypeComplaint, Wanted } from "./syntax.ts";

/** The folder of this package's own sources; the dsl lies in it, and its rooms above the dsl are never read as kernel source. */
const HOME: string = sourceRoot();
const DSL: string = join(HOME, "dsl", "index.ts");
const OWN_HOST_ROOMS: readonly string[] = ["compiler", "runtime", "cli", "index.ts"].map((room) => join(HOME, room));

const OPTIONS: ts.CompilerOptions = {
  noLib: true,
  strict: true,
  noEmit: true,
  allowImportingTsExtensions: true,
  target: ts.ScriptTarget.ESNext,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  types: [],
};

function locate(specifier: string, from: string): string | undefined {
  if (specifier === "tilestate" || specifier === "tilestate/dsl") return DSL;
  if (!specifier.startsWith(".")) return undefined;
  const path = resolve(dirname(from), specifier);
  const found = [path, `${path}.ts`, join(path, "index.ts"), path.replace(/\.js$/, ".ts")].find(
    (p) => p.endsWith(".ts") && existsSync(p),
  );
  return found === undefined || OWN_HOST_ROOMS.some((room) => found.startsWith(room)) ? undefined : found;
}

/** Parses a file, without its comments. */
function parse(file: string, text: string): ts.SourceFile {
  return ts.createSourceFile(file, text, {
    languageVersion: ts.ScriptTarget.ESNext,
    jsDocParsingMode: ts.JSDocParsingMode.ParseNone,
  });
}

/** What TypeScript asks of a machine. A program made with it directly takes half of the time that ts-morph's own project takes. */
const HOST: ts.CompilerHost = {
  fileExists: (file) => file === LIB_NAME || existsSync(file),
  readFile: sourceText,
  getSourceFile: (file) =>
    file === LIB_NAME ? parse(file, LIB_TEXT) : existsSync(file) ? parse(file, sourceText(file)) : undefined,
  resolveModuleNames: (specifiers, from) =>
    specifiers.map((s) => {
      const resolvedFileName = locate(s, from);
      return resolvedFileName === undefined ? undefined : { resolvedFileName, extension: ts.Extension.Ts };
    }),
  getDefaultLibFileName: () => LIB_NAME,
  getCurrentDirectory: () => HOME,
  getCanonicalFileName: (file) => file,
  useCaseSensitiveFileNames: () => true,
  getNewLine: () => "\n",
  writeFile: () => undefined,
};

/** Reads the kernels called `names` (declared in, or imported by, the file) with everything they call. */
export function readKernels(file: string, names: readonly string[], statics: Statics = {}): ModuleSyntax {
  const program = ts.createProgram({ rootNames: [LIB_NAME, file], options: OPTIONS, host: HOST });
  const checker = program.getTypeChecker();
  const root = program.getSourceFile(file);
  if (root === undefined) throw new Error(`cannot read the kernel file ${file}`);

  const sources = new Map<string, SourceText>();
  for (const f of program.getSourceFiles()) {
    if (f.fileName !== LIB_NAME) sources.set(f.fileName, { file: f.fileName, text: f.text });
  }
  const convert = new Convert(checker, join(HOME, "dsl", "words.ts"), join(HOME, "dsl", "types.ts"));
  const syntactic = program
    .getSourceFiles()
    .flatMap((f) => program.getSyntacticDiagnostics(f).map((d) => complaintOf(d, f, "TS-100")));
  if (syntactic.length > 0) throw new KernelError(syntactic, sources);
  const found = new FindKernels(convert, root, join(HOME, "dsl", "specialise.ts"));
  const kernels = new Map(names.map((name): [string, Wanted] => [name, found.find(name, statics[name] ?? {})]));
  convert.finish();

  const complaints: TypeComplaint[] = [];
  for (const [f, reached] of convert.reached) {
    // The language's own helpers are checked when this package is.
    if (f.fileName.startsWith(join(HOME, "dsl"))) continue;
    for (const d of program.getSemanticDiagnostics(f)) {
      const at = d.start ?? 0;
      if (reached.some((node) => at >= node.getStart(f) && at < node.end)) complaints.push(complaintOf(d, f, "TS-101"));
    }
  }
  return { kernels, functions: convert.functions, sources, complaints };
}

function complaintOf(d: ts.Diagnostic, file: ts.SourceFile, code: string): TypeComplaint & { code: string } {
  const start = d.start ?? 0;
  const place = file.getLineAndCharacterOfPosition(start);
  return {
    code,
    message: ts.flattenDiagnosticMessageText(d.messageText, " "),
    span: {
      file: file.fileName,
      start,
      end: start + (d.length ?? 1),
      line: place.line + 1,
      column: place.character + 1,
    },
  };
}

/** The text of one file, as `readKernels` would see it. */
export function sourceText(file: string): string {
  return readFileSync(file, "utf8");
}
