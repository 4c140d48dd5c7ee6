/**
 * Located errors.
 *
 * A diagnostic has a stable code, the place, the source line with carets under the exact columns, a help line, and the
 * chain of calls when it happened in an inlined helper. The shape is the one compiler users know from Rust and Elm.
 */

import type { SourceText, Span } from "./source-text.ts";

/** One complaint about a kernel: what is wrong, where, and what helps. */
export interface Diagnostic {
  /** Stable name of the rule that is broken, as `TS-102`. */
  readonly code: string;
  /** What was expected and what was got. */
  readonly message: string;
  /** The place that it is about. */
  readonly span: Span;
  /** What to write instead. */
  readonly help?: string;
  /** Calls that led here, outermost first. */
  readonly chain?: readonly { readonly name: string; readonly span: Span }[];
}

/** A kernel that cannot be compiled. `message` holds the whole report. */
export class KernelError extends Error {
  /** Tells it from other errors where classes are not shared. */
  override readonly name: string = "KernelError";
  /** Every complaint, in the order of the source. */
  readonly diagnostics: readonly Diagnostic[];

  /**
   * Renders the report.
   * @param diagnostics what is wrong
   * @param sources the files that `diagnostics` name, by path; a missing one is named without its line
   */
  constructor(diagnostics: readonly Diagnostic[], sources: ReadonlyMap<string, SourceText>) {
    super(diagnostics.map((d) => render(d, sources)).join("\n\n"));
    this.diagnostics = diagnostics;
  }
}

/** A complaint that only shows once sizes and formats are known. The source line is shown where the file is at hand. */
export function unfit(d: Diagnostic): KernelError {
  const { file } = d.span;
  try {
    return new KernelError(
      [d],
      new Map([[file, { file, text: process.getBuiltinModule("node:fs").readFileSync(file, "utf8") }]]),
    );
  } catch {
    return new KernelError([d], new Map());
  }
}

/** Thrown while compiling; the driver adds sources and turns it into a KernelError. */
export class Located extends Error {
  readonly diagnostic: Diagnostic;

  constructor(diagnostic: Diagnostic) {
    super(diagnostic.message);
    this.diagnostic = diagnostic;
  }
}

/** `file:line:column  CODE  message`, the source line, carets, help, call chain. */
export function render(d: Diagnostic, sources: ReadonlyMap<string, SourceText>): string {
  const { span } = d;
  const lines = [`${shortName(span.file)}:${span.line}:${span.column}  ${d.code}  ${d.message}`];
  const source = sources.get(span.file)?.text.split("\n")[span.line - 1];
  if (source !== undefined) {
    const width = Math.max(1, Math.min(span.end - span.start, source.length - span.column + 1));
    lines.push(
      `  ${span.line} | ${source}`,
      `  ${" ".repeat(String(span.line).length)} | ${" ".repeat(span.column - 1)}${"^".repeat(width)}`,
    );
  }
  if (d.help !== undefined) lines.push(`  help: ${d.help}`);
  for (const call of [...(d.chain ?? [])].reverse()) {
    lines.push(`  in ${call.name}(), called at ${shortName(call.span.file)}:${call.span.line}:${call.span.column}`);
  }
  return lines.join("\n");
}

/** The name of a file without its folders. */
export function shortName(file: string): string {
  return file.slice(file.lastIndexOf("/") + 1);
}

/** What to write in JavaScript where TypeScript would have a type. */
export function jsdocHelp(param: string): string {
  return `write \`@param {Tensor<"rows n">} ${param}\` in the comment above it, and \`/** @import { Tensor } from "tilestate/dsl" */\` once in the file`;
}
