/**
 * Bundles: compiled kernels as a module, for programs that have no source on disk.
 *
 * What a browser loads, what `bun build --compile` makes and what a package of plain JavaScript ships have lost the
 * TypeScript that kernels are compiled from. A bundle keeps their tile programs (sizes still symbolic, so that one
 * serves every shape and adapter), each as one JSON string, which is parsed when the kernel is first asked for. Source
 * positions shrink to line and column, and no path of the machine that made it remains.
 */

import { printTileProgram, show } from "../debug/dump.ts";
import type { Statics } from "../frontend/syntax.ts";
import type { Span } from "../host/source-text.ts";
import type { TileProgram } from "../ir/tile/program.ts";
import { NOWHERE } from "../ir/tile/traverse.ts";
import { verify } from "../ir/tile/verify.ts";
import { wellFormed } from "../ir/tile/well-formed.ts";

/** Counted up when tile programs change so that older bundles cannot be read. */
const FORMAT = 1;

/** What a bundle's module exports; `tilestate kernels build` writes it. A plain JSON import has this type too. */
export interface KernelBundle {
  /** Version of the form. */
  readonly tilestate: number;
  /** Kernel name -> tile program, as JSON. */
  readonly kernels: Readonly<Record<string, string>>;
}

/** A bundle that does not fit, or a kernel that is in none. */
export class BundleError extends Error {
  /** Tells it from other errors where classes are not shared. */
  override readonly name: string = "BundleError";
  /** What to do about it. */
  readonly hint: string;

  /**
   * Makes the error.
   * @param message what is wrong with which bundle or kernel
   * @param hint what to do about it
   */
  constructor(message: string, hint = "`tilestate kernels build` writes bundles") {
    super(message);
    this.hint = hint;
  }
}

/**
 * Packs tile programs into a bundle, by name.
 * @param programs what is packed; the same program may come twice
 * @throws BundleError where two different kernels have one name
 */
export function bundle(programs: Iterable<TileProgram>): KernelBundle {
  const kernels: Record<string, string> = {};
  for (const program of programs) {
    const text = encode(program);
    if ((kernels[program.name] ?? text) !== text)
      throw new BundleError(
        `two kernels are called "${program.name}"`,
        "rename one of them, or build a bundle for each",
      );
    kernels[program.name] = text;
  }
  return { tilestate: FORMAT, kernels };
}

/**
 * Tells a bundle from `import.meta`.
 * @param x either of the two
 */
export function isBundle(x: object): x is KernelBundle {
  return "kernels" in x && "tilestate" in x;
}

/**
 * Whether a program was compiled with these values of its compile-time parameters. Functions are not compared: they
 * were read from the source, and have no name here.
 */
export function fits(program: TileProgram, values: Statics[string] | undefined): boolean {
  return Object.entries(values ?? {}).every(([name, value]) => program.fixed?.[name] === value);
}

/**
 * The programs called `names`, by name; verified unless they are `trusted`: those that come compiled inside of this
 * package are code like any other of it.
 * @param from the bundle
 * @param names kernels that are wanted
 * @param statics values of compile-time parameters that the host knows, by kernel and parameter
 * @param trusted leaves out the verification
 * @throws BundleError when the bundle is of another version, lacks one, has it with other compile-time parameters, or
 * has something that is no program
 */
export function programsOf(
  from: KernelBundle,
  names: readonly string[],
  statics: Statics = {},
  trusted = false,
): ReadonlyMap<string, TileProgram> {
  if (from.tilestate !== FORMAT)
    throw new BundleError(
      `a kernel bundle of form ${from.tilestate}; this version of tilestate reads form ${FORMAT}`,
      "build it again with `tilestate kernels build`",
    );
  if (typeof from.kernels !== "object" || from.kernels === null)
    throw new BundleError("a kernel bundle without kernels");
  return new Map(
    names.map((name) => {
      const text = Object.hasOwn(from.kernels, name) ? from.kernels[name] : undefined;
      if (text === undefined)
        throw new BundleError(
          `no kernel "${name}" in the bundle; it has ${Object.keys(from.kernels).join(", ") || "none"}`,
          "build it again with the file that declares the kernel: `tilestate kernels build`",
        );
      const program = decode(name, text, trusted);
      const given = statics[name];
      if (!fits(program, given))
        throw new BundleError(
          `the kernel "${name}" in the bundle was compiled for ${inWords(program.fixed)}, and ${inWords(given)} is asked for`,
          "write the values in the source as literals, or give each its own name, and build again with `tilestate kernels build`",
        );
      show("tile", name, () => printTileProgram(program));
      return [name, program];
    }),
  );
}

function inWords(values: Statics[string] | undefined): string {
  return `{ ${Object.entries(values ?? {})
    .map(([name, value]) => `${name}: ${value}`)
    .join(", ")} }`;
}

/** Exported for tests. */
export const registered: KernelBundle[] = [];

/**
 * Makes a bundle known to every `gpu.kernels(import.meta, …)` whose TypeScript source is not on disk, for modules that
 * cannot be handed one. Registering a bundle twice does nothing.
 * @param given the bundle
 */
export function registerBundle(given: KernelBundle): void {
  if (!registered.includes(given)) registered.push(given);
}

/**
 * The programs called `names` among the registered bundles; undefined when one of them is in none. Throws BundleError
 * where bundles disagree about a name.
 */
export function fromRegistered(
  names: readonly string[],
  statics: Statics = {},
): ReadonlyMap<string, TileProgram> | undefined {
  const found = new Map<string, TileProgram>();
  for (const name of names) {
    const having = registered.filter((b) => Object.hasOwn(b.kernels, name));
    const [first] = having;
    if (first === undefined) return undefined;
    if (having.some((b) => b.kernels[name] !== first.kernels[name]))
      throw new BundleError(
        `several registered bundles have a kernel "${name}", and not the same one`,
        "pass the bundle instead of import.meta: gpu.kernels(bundle, { … })",
      );
    for (const [, program] of programsOf(first, [name], statics)) found.set(name, program);
  }
  return found;
}

/** A program's text without what depends on the machine: spans as [line, column]. */
function encode(program: TileProgram): string {
  return JSON.stringify(program, (key, value: unknown) => {
    if (key !== "span") return value;
    const { line, column } = value as Span;
    return [line, column];
  });
}

function decode(name: string, text: string, trusted: boolean): TileProgram {
  try {
    const read = JSON.parse(text, (key, value: unknown) => {
      if (key !== "span") return value;
      const [line, column] = value as [number, number];
      return { ...NOWHERE, line, column };
    });
    const program = trusted ? (read as TileProgram) : verify(wellFormed(read), "bundle");
    if (program.name !== name) throw new Error(`it is called "${program.name}"`);
    return program;
  } catch (cause) {
    throw new BundleError(
      `the kernel "${name}" in the bundle is damaged: ${(cause as Error).message}`,
      "build it again with `tilestate kernels build`",
    );
  }
}
