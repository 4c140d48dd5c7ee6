/**
 * The front end: kernel files in, our own syntax tree out.
 *
 * Loads the file behind `import.meta.url`, follows relative imports and our own dsl and nothing else (facts: 4 files
 * instead of 123), asks the checker what each name is, and converts just the functions that the wanted kernels reach.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { KernelError, Located } from "../../host/diagnostics.ts";
import { sourceRoot } from "../../host/home.ts";
import type { SourceText } from "../../host/source-text.ts";
import type { ModuleSyntax, Statics, Template, Templates, TypeComplaint, Wanted } from "../syntax.ts";
import { fileBeside, isJavaScript } from "./javascript.ts";
import { LIB_NAME, LIB_TEXT } from "./lib-stub.ts";
import { FindKernels, type Listed } from "./resolve-kernels.ts";
import { completed, objectOf } from "./templates.ts";
import { Convert, type FunctionNode } from "./to-syntax.ts";
import { ts } from "./typescript.ts";

/**
 * The folder of this package's own sources; the dsl lies in it, and its rooms above the dsl are never read as kernel
 * source.
 */
const HOME: string = sourceRoot();
const DSL_FOLDER: string = join(HOME, "dsl");
const DSL: string = join(DSL_FOLDER, "index.ts");
/**
 * What functions of kernels may need of the package beside the language: the types of cache policies, which complete
 * kernels of ours.
 */
const POLICY_TYPES: string = join(HOME, "models", "cache", "policies", "interface.ts");
const SPECIALISE: string = join(DSL_FOLDER, "specialise.ts");
const OWN_HOST_ROOMS: readonly string[] = ["compiler", "runtime", "cli", "index.ts"].map((room) => join(HOME, room));

const OPTIONS: ts.CompilerOptions = {
  noLib: true,
  strict: true,
  noEmit: true,
  allowImportingTsExtensions: true,
  // Plain JavaScript is read like TypeScript, with the types that its comments say.
  allowJs: true,
  checkJs: true,
  target: ts.ScriptTarget.ESNext,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  types: [],
};

function locate(specifier: string, from: string): string | undefined {
  if (specifier === "tilestate" || specifier === "tilestate/dsl") return DSL;
  if (specifier === "tilestate/models") return POLICY_TYPES;
  const file = specifier.startsWith(".") ? fileBeside(from, specifier) : undefined;
  return file === undefined || OWN_HOST_ROOMS.some((room) => file.startsWith(room)) ? undefined : file;
}

function extensionOf(file: string): ts.Extension {
  const { Js, Mjs, Mts, Cts, Ts } = ts.Extension;
  return [Mjs, Js, Mts, Cts].find((end) => file.endsWith(end)) ?? Ts;
}

/** Parses a file: TypeScript without its comments, JavaScript with them, since its types stand there. */
function parse(file: string, text: string): ts.SourceFile {
  return ts.createSourceFile(file, text, {
    languageVersion: ts.ScriptTarget.ESNext,
    jsDocParsingMode: isJavaScript(file) ? ts.JSDocParsingMode.ParseAll : ts.JSDocParsingMode.ParseNone,
  });
}

/**
 * What TypeScript asks of a machine. A program made with it directly takes half of the time that ts-morph's own project
 * takes.
 */
const HOST: ts.CompilerHost = {
  fileExists: (file) => file === LIB_NAME || existsSync(file),
  readFile: sourceText,
  getSourceFile: (file) =>
    file === LIB_NAME ? parse(file, LIB_TEXT) : existsSync(file) ? parse(file, sourceText(file)) : undefined,
  resolveModuleNames: (specifiers, from) =>
    specifiers.map((s) => {
      const resolvedFileName = locate(s, from);
      return resolvedFileName === undefined
        ? undefined
        : { resolvedFileName, extension: extensionOf(resolvedFileName) };
    }),
  getDefaultLibFileName: () => LIB_NAME,
  getCurrentDirectory: () => HOME,
  getCanonicalFileName: (file) => file,
  useCaseSensitiveFileNames: () => true,
  getNewLine: () => "\n",
  writeFile: () => undefined,
};

interface Opened {
  readonly program: ts.Program;
  readonly root: ts.SourceFile;
  readonly convert: Convert;
  readonly kernels: FindKernels;
  readonly sources: ReadonlyMap<string, SourceText>;
}

/** Parses a file with all that it imports, and `others` beside it. Throws KernelError where it does not parse. */
function openFile(file: string, others: readonly string[] = []): Opened {
  const program = ts.createProgram({ rootNames: [LIB_NAME, file, ...others], options: OPTIONS, host: HOST });
  const root = program.getSourceFile(file);
  if (root === undefined) throw new Error(`cannot read the kernel file ${file}`);
  const sources = new Map<string, SourceText>();
  for (const f of program.getSourceFiles()) {
    if (f.fileName !== LIB_NAME) sources.set(f.fileName, { file: f.fileName, text: f.text });
  }
  const convert = new Convert(program.getTypeChecker(), join(HOME, "dsl", "words.ts"), join(HOME, "dsl", "types.ts"));
  // JavaScript that is only imported may be anything of the host's: it counts once a kernel reaches it.
  refuseUnparsed(
    program,
    program.getSourceFiles().filter((f) => f === root || !isJavaScript(f.fileName)),
    sources,
  );
  return {
    program,
    root,
    convert,
    sources,
    kernels: new FindKernels(convert, root, SPECIALISE),
  };
}

function refuseUnparsed(
  program: ts.Program,
  files: readonly ts.SourceFile[],
  sources: ReadonlyMap<string, SourceText>,
): void {
  const wrong = files.flatMap((f) => program.getSyntacticDiagnostics(f).map((d) => complaintOf(d, f, "TS-100")));
  if (wrong.length > 0) throw new KernelError(wrong, sources);
}

/**
 * The kernels of a file, without compiling them: what it exports, and what it passes to
 * `gpu.kernels(import.meta, { … })`. Throws KernelError where it does not parse.
 */
export function listKernels(file: string): readonly Listed[] {
  return openFile(file).kernels.list();
}

/**
 * The kernels of a file that are templates which its objects complete, without compiling them: where each object is
 * written, and its text.
 */
export function listTemplates(file: string, templates: Templates): readonly Listed[] {
  const opened = openFile(file, [...new Set(Object.values(templates).map((t) => t.file))]);
  return Object.entries(templates).map(([name, template]) => {
    const { node, files } = templateIn(opened, template);
    const object = objectOf(opened.convert, node, template, files);
    return { name, file: object.getSourceFile().fileName, source: opened.kernels.textOf(object) };
  });
}

/**
 * The kernel of a template, and the files in which its object may be: the one that was opened, and those that it
 * imports.
 */
function templateIn(
  { program, root, convert }: Opened,
  { file, kernel }: Template,
): { readonly node: FunctionNode; readonly files: readonly ts.SourceFile[] } {
  const home = program.getSourceFile(file);
  if (home === undefined) throw new Error(`cannot read the kernel file ${file}`);
  const own = program.getSourceFiles().filter((f) => f !== home && !f.fileName.startsWith(DSL_FOLDER));
  const node = new FindKernels(convert, home, SPECIALISE).declared(kernel);
  return { node, files: [root, ...own.filter((f) => f !== root)] };
}

/**
 * Reads the kernels called `names` (declared in, or imported by, the file, or among `templates`) with everything they
 * call.
 */
export function readKernels(
  file: string,
  names: readonly string[],
  statics: Statics = {},
  templates: Templates = {},
): ModuleSyntax {
  const others = names.flatMap((name) => templates[name]?.file ?? []);
  const opened = openFile(file, [...new Set(others)]);
  const { program, root, convert, sources, kernels: found } = opened;
  let kernels: ReadonlyMap<string, Wanted>;
  try {
    kernels = new Map(
      names.map((name): [string, Wanted] => {
        const [template, values] = [templates[name], statics[name] ?? {}];
        if (template === undefined) return [name, found.find(name, values)];
        const { node, files } = templateIn(opened, template);
        return [name, completed(convert, node, template, files, values)];
      }),
    );
  } catch (error) {
    throw error instanceof Located ? new KernelError([error.diagnostic], sources) : error;
  }
  convert.finish();
  refuseUnparsed(
    program,
    [...convert.reached.keys()].filter((f) => f !== root && isJavaScript(f.fileName)),
    sources,
  );

  const complaints: TypeComplaint[] = [];
  for (const [f, reached] of convert.reached) {
    // The language's own helpers are checked when this package is.
    if (f.fileName.startsWith(DSL_FOLDER)) continue;
    const plain = isJavaScript(f.fileName);
    for (const d of program.getSemanticDiagnostics(f)) {
      const at = d.start ?? 0;
      // Helpers in JavaScript need no types.
      if (plain && isImplicit(d.code)) continue;
      if (reached.some((node) => at >= beginOf(node, f) && at < node.end)) complaints.push(complaintOf(d, f, "TS-101"));
    }
  }
  return { kernels, functions: convert.functions, sources, complaints };
}

/** Where a function begins, with the comments that say its types. */
function beginOf(node: ts.Node, file: ts.SourceFile): number {
  const comments = isJavaScript(file.fileName) ? ts.getJSDocCommentsAndTags(node) : [];
  return Math.min(node.getStart(file), ...comments.map((c) => c.pos));
}

/** TypeScript's complaints about types that were not said and are not known (7005 to 7057). */
function isImplicit(code: number): boolean {
  return code >= 7000 && code < 7100;
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
