/**
 * Source file to tile programs: the driver of the front half of the compiler.
 *
 * Reads, reports type errors, lowers, prunes and verifies each wanted kernel. The back half (specialise, schedule, lane
 * IR, WGSL) runs when sizes and adapter are known, from the tile programs alone.
 */
import { KernelError, Located } from "../host/diagnostics.ts";
import { show } from "../host/show-requests.ts";
import type { SourceText } from "../host/source-text.ts";
import { prune } from "../ir/tile/dead-code.ts";
import type { TileProgram } from "../ir/tile/program.ts";
import { verify } from "../ir/tile/verify.ts";
import { choicesOf, inChoice, joined, type Kinds } from "./lower/dtype-variants.ts";
import { lowerKernel } from "./lower/index.ts";
import { printSyntax } from "./print-syntax.ts";
import { checkOrder } from "./races/check.ts";
import { readKernels, sourceText } from "./read/source.ts";
import type { FunctionSyntax, ModuleSyntax, Statics, Templates, Wanted } from "./syntax.ts";

export interface Compiled {
  readonly programs: readonly TileProgram[];
  readonly sources: readonly SourceText[];
}

/**
 * Compiles the kernels called `names` of one file, with what the host gave of their compile-time parameters; those
 * among `templates` are kernels of other files that objects of this one complete.
 * @throws KernelError with every located complaint.
 */
export function compileFile(
  file: string,
  names: readonly string[],
  statics: Statics = {},
  templates: Templates = {},
): Compiled {
  let module: ModuleSyntax;
  try {
    module = readKernels(file, names, statics, templates);
  } catch (error) {
    throw error instanceof Located ? new KernelError([error.diagnostic], textOf(error.diagnostic.span.file)) : error;
  }
  // Our own reasons come first: they know more than the type checker's about what is wrong in a kernel.
  const programs: TileProgram[] = [];
  const failed: Located[] = [];
  for (const [name, wanted] of module.kernels) {
    const fn = module.functions.get(wanted.key);
    if (fn === undefined) continue;
    show("syntax", name, () => printSyntax(module, wanted.key));
    try {
      programs.push(joined(choicesOf(fn).map((kinds) => compileKernel(module, name, fn, wanted, kinds))));
    } catch (error) {
      if (!(error instanceof Located)) throw error;
      failed.push(error);
    }
  }
  // What we could not compile, TypeScript usually dislikes too; once is enough.
  const said = new Set(failed.map((f) => `${f.diagnostic.span.file}:${f.diagnostic.span.line}`));
  const complaints = module.complaints
    .filter((c) => !said.has(`${c.span.file}:${c.span.line}`))
    .map((c) => ({ code: "TS-101", message: c.message, span: c.span }));
  if (failed.length + complaints.length > 0)
    throw new KernelError([...failed.map((f) => f.diagnostic), ...complaints], module.sources);
  return { programs, sources: [...module.sources.values()] };
}

function compileKernel(
  module: ModuleSyntax,
  name: string,
  fn: FunctionSyntax,
  wanted: Wanted,
  kinds: Kinds,
): TileProgram {
  try {
    const program = lowerKernel(module, name, fn, wanted, kinds);
    return checkOrder(verify({ ...program, body: prune(program.body) }, "lower"));
  } catch (error) {
    throw error instanceof Located && kinds.size > 0 ? inChoice(error, kinds) : error;
  }
}

/** The text of a file, for a message about it that came before the files were listed. */
function textOf(file: string): ReadonlyMap<string, SourceText> {
  try {
    return new Map([[file, { file, text: sourceText(file) }]]);
  } catch {
    return new Map();
  }
}
