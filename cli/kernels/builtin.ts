/**
 * The kernels that ship with the package: where each is written, and which module it is loaded from (the one that a
 * compiled artefact lies beside).
 */
import { fileURLToPath, pathToFileURL } from "node:url";
import { sourceOf as sourceOfModule } from "../../compiler/host/home.ts";
import { type KernelModule, loadPrograms, type TileProgram } from "../../compiler/index.ts";
import { POLICY_KERNELS } from "../../models/cache/eviction.ts";
import { KERNELS } from "../../models/kernels/module.ts";
import { findKernels, readableFile } from "./find.ts";

export interface KernelEntry {
  readonly name: string;
  /** The file it is written in. */
  readonly file: string;
  /** The module that `gpu.kernels` is called with. */
  readonly module: KernelModule;
  readonly source: string;
}

const MODULES: readonly KernelModule[] = [KERNELS, POLICY_KERNELS];

let builtIn: Promise<readonly KernelEntry[]> | undefined;

/** Every built-in kernel, without loading a model. */
export function builtinKernels(): Promise<readonly KernelEntry[]> {
  builtIn ??= Promise.all(MODULES.map((m) => entriesOf(sourceOfModule(fileURLToPath(m.url)), m))).then((lists) =>
    lists.flatMap((list) => list.toSorted((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : 0))),
  );
  return builtIn;
}

/**
 * The kernels of one file of the user's: those that it exports, loads or specialises. Throws KernelError where it does
 * not parse.
 */
export function kernelsIn(path: string): Promise<readonly KernelEntry[]> {
  const file = readableFile(path);
  return entriesOf(file, { url: pathToFileURL(file).href });
}

async function entriesOf(file: string, module: KernelModule): Promise<readonly KernelEntry[]> {
  return (await findKernels(file, module)).map((k) => ({ ...k, module }));
}

/** The tile programs of entries, each module loaded once. Throws KernelError. */
export async function programsOf(entries: readonly KernelEntry[]): Promise<Map<string, TileProgram>> {
  const out = new Map<string, TileProgram>();
  for (const module of new Set(entries.map((e) => e.module))) {
    const names = entries.filter((e) => e.module === module).map((e) => e.name);
    for (const [name, program] of (await loadPrograms(module, names)).programs) out.set(name, program);
  }
  return out;
}
