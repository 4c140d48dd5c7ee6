/**
 * From `import.meta` and kernel names to tile programs, by the cheapest way.
 *
 * First what came compiled with the module (how built-in kernels come; no file is read for it where their sources are
 * not at hand), then, where there is no source, registered bundles; then this machine's cache, and only then the front
 * end with ts-morph, which is imported late for that reason. While TILESTATE_SHOW shows a kernel whose source is at
 * hand it is always compiled, so that there is something to see.
 */

import { printTileProgram, show, showing } from "../debug/dump.ts";
import { importsWords, isJavaScript, mayHaveKernels } from "../frontend/read/javascript.ts";
import type { Statics, Template, Templates } from "../frontend/syntax.ts";
import { jsdocHelp, KernelError } from "../host/diagnostics.ts";
import { fs, path, pathOf } from "../host/fs.ts";
import { sourceOf } from "../host/home.ts";
import type { TileProgram } from "../ir/tile/program.ts";
import { BundleError, fits, fromRegistered, type KernelBundle, programsOf } from "./bundle.ts";
import { hashOf, isFresh, keep, lookUp } from "./cache.ts";
import { fingerprint, PACKED } from "./fingerprint.ts";
import { importCompiler } from "./import-compiler.ts";

/**
 * Kernels that come compiled with their module, as built-in ones do; ship.ts writes such a module. File names are
 * relative to the folder of the module that the kernels are loaded from.
 */
export interface Shipped {
  /** Fingerprint of the front half that compiled them. */
  readonly compiler: string;
  /** Files that they were compiled from, and the first 96 bits of their SHA-256 in hexadecimal. */
  readonly sources: readonly { readonly file: string; readonly hash: string }[];
  /** The kernels. */
  readonly bundle: KernelBundle;
}

/** Where kernels are loaded from. `import.meta` is one. */
export interface KernelModule {
  /** The module's own URL, as `import.meta.url`. */
  readonly url: string;
  /** What came compiled with it. */
  readonly shipped?: Shipped | undefined;
  /**
   * Kernels of another module, by the names that they are asked for by, whose compile-time functions stand in objects
   * of this one: `kernel` is the other module's, `object` the field `name` of an object that has them. With the same
   * functions as `specialise` would be given.
   */
  readonly templates?: Readonly<
    Record<string, { readonly url: string; readonly kernel: string; readonly object: string }>
  >;
}

/**
 * The templates of a module that can be read here, by name.
 * @param from the module
 */
export function templatesOf(from: KernelModule): Templates {
  const placed = Object.entries(from.templates ?? {}).flatMap(
    ([name, { url, kernel, object }]): [string, Template][] => {
      const module = pathOf(url);
      return module === undefined ? [] : [[name, { file: sourceOf(module), kernel, object }]];
    },
  );
  return Object.fromEntries(placed);
}

/** What was found out about shipped kernels: good as long as the files that decided about it are in the same state. */
const judged = new WeakMap<Shipped, Judged>();

interface Judged {
  readonly state: string;
  readonly good: boolean;
}

/** A file that was changed less than so many milliseconds ago may change again without a new time. */
const UNSETTLED = 100;

/**
 * The shipped bundle, if it is still what its sources say: a process may outlive an edit of them. `file` is that of the
 * module, where that is its own source; in the built package it is not, and nobody edits what lies there.
 */
function still(shipped: Shipped, file: string | undefined): KernelBundle | undefined {
  if (file === undefined) return shipped.bundle;
  const { dirname, resolve } = path();
  const sources = shipped.sources.map((s) => ({ ...s, file: resolve(dirname(file), s.file) }));
  const state = stateOf(sources.map((s) => s.file));
  let known = judged.get(shipped);
  if (known === undefined || known.state !== state) {
    // In a checkout the sources are there and may have changed since; in a package without them they cannot.
    const there = sources.some((s) => fs().existsSync(s.file));
    const same = fingerprint() === PACKED || fingerprint() === shipped.compiler;
    known = { state, good: !there || (same && isFresh({ sources })) };
    judged.set(shipped, known);
  }
  return known.good ? shipped.bundle : undefined;
}

/** Sizes and times of files as one text, which differs when one of them was changed. */
function stateOf(files: readonly string[]): string {
  const states = files.map((file) => fs().statSync(file, { throwIfNoEntry: false }));
  const latest = Math.max(0, ...states.map((s) => Math.max(s?.mtimeMs ?? 0, s?.ctimeMs ?? 0)));
  if (Math.abs(Date.now() - latest) < UNSETTLED) return `unsettled ${Math.random()}`;
  return states.map((s) => (s === undefined ? "-" : `${s.size} ${s.mtimeMs} ${s.ctimeMs} ${s.ino}`)).join("\n");
}

/** How programs were come by, for reports and tests. */
export type Way = "shipped" | "bundled" | "cached" | "compiled";

/** The programs of a module, and how they were come by. */
export interface Loaded {
  /** Path of the source, or the module's URL where there is none. */
  readonly file: string;
  /** How they were come by. */
  readonly way: Way;
  /** The programs, by name. */
  readonly programs: ReadonlyMap<string, TileProgram>;
}

/**
 * Loads kernels of a module.
 * @param from the module: its `import.meta`, or the URL in it
 * @param names kernels that are wanted
 * @param statics values of compile-time parameters that the host knows, by kernel and parameter
 * @throws KernelError with located diagnostics where a kernel does not compile
 * @throws BundleError where there is neither a source nor a bundle
 */
export async function loadPrograms(
  from: string | KernelModule,
  names: readonly string[],
  statics: Statics = {},
): Promise<Loaded> {
  const place: KernelModule = typeof from === "string" ? { url: from } : from;
  const { url, shipped } = place;
  const templates = templatesOf(place);
  const module = pathOf(url);
  const file = module === undefined ? undefined : sourceOf(module);
  const done = (way: Way, list: Iterable<TileProgram>): Loaded => {
    const programs = new Map([...list].map((p) => [p.name, p]));
    // Those of a bundle were shown when they were unpacked.
    if (way !== "bundled" && way !== "shipped")
      for (const [name, p] of programs) show("tile", name, () => printTileProgram(p));
    return { file: file ?? url, way, programs };
  };
  const wanted = [...names].sort();
  const there = file !== undefined && fs().existsSync(file);
  const source = there && /\.[cm]?tsx?$/.test(file);
  if (shipped !== undefined && !(source && showing(wanted))) {
    const programs = programsIn(still(shipped, file === module ? file : undefined), wanted, source);
    if (programs?.every((p) => fits(p, statics[p.name]))) return done("shipped", programs);
  }
  const plain = there && isJavaScript(file) && mayHaveKernels(file);
  if (!source && !plain)
    return done("bundled", bundledOr(wanted, statics, `${file ?? url} is ${there ? UNTYPED : UNREAD}`, there));
  const entry = wanted.map((n) =>
    [n, ...[statics[n], templates[n]].flatMap((x) => (x ? JSON.stringify(x) : []))].join(" "),
  );
  const cached = showing(wanted) ? undefined : lookUp(file, entry);
  if (cached !== undefined) return done("cached", cached);
  const compileFile = await importCompiler();
  if (compileFile === undefined)
    return done("bundled", bundledOr(wanted, statics, "the compiler is not part of this program"));
  let compiled: ReturnType<typeof compileFile>;
  try {
    compiled = compileFile(file, wanted, statics, templates);
  } catch (error) {
    const bundled = plain && isOutput(file, error) ? fromRegistered(wanted, statics) : undefined;
    if (bundled === undefined) throw error;
    return done("bundled", bundled.values());
  }
  keep(file, entry, {
    compiler: fingerprint(),
    sources: compiled.sources.map((s) => ({ file: s.file, hash: hashOf(s.text) })),
    programs: compiled.programs,
  });
  return done("compiled", compiled.programs);
}

const UNREAD = "no TypeScript file that can be read";
const UNTYPED = "JavaScript, and no comment in it says the types of kernels";

/** True where JavaScript turns out to be what a bundler made of kernels, whose types or words it has lost. */
function isOutput(file: string, error: unknown): boolean {
  if (!(error instanceof KernelError)) return false;
  return error.diagnostics.every((d) => d.code === "TS-102" || d.code === "TS-104") || !importsWords(file);
}

/**
 * The wanted programs of a shipped bundle, if it has them all. A damaged one counts for nothing where there is a source
 * to compile.
 */
function programsIn(
  ready: KernelBundle | undefined,
  wanted: readonly string[],
  source: boolean,
): readonly TileProgram[] | undefined {
  if (ready === undefined) return undefined;
  try {
    return wanted.every((n) => Object.hasOwn(ready.kernels, n))
      ? [...programsOf(ready, wanted, {}, true).values()]
      : undefined;
  } catch (error) {
    if (source) return undefined;
    throw error;
  }
}

const BUILD =
  "compile them beforehand with `tilestate kernels build`, and pass the bundle to gpu.kernels or registerBundle";

function bundledOr(names: readonly string[], statics: Statics, why: string, plain = false): Iterable<TileProgram> {
  const bundled = fromRegistered(names, statics);
  if (bundled !== undefined) return bundled.values();
  throw new BundleError(
    `no source and no bundle of ${names.map((n) => `"${n}"`).join(", ")}: ${why}`,
    plain ? `${jsdocHelp("x")}, or ${BUILD}` : BUILD,
  );
}
