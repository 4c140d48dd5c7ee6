/** The kernels that ship with the package: where each is written, and which module it is loaded from (the one that a compiled artefact lies beside). */
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { sourceOf as sourceOfModule } from "../../compiler/home.ts";
import { type KernelModule, loadPrograms, type TileProgram } from "../../compiler/index.ts";
import { KERNELS } from "../../models/kernels/module.ts";
import { POLICY_KERNELS } from "../../models/state/policies/module.ts";
import { exportedKernels, readSource, sourceOf } from "./find.ts";

export interface KernelEntry {
  readonly name: string;
  /** The file it is written in. */
  readonly file: string;
  /** The module that `gpu.kernels` is called with. */
  readonly module: KernelModule;
  readonly source: string;
}

const MODULES: readonly KernelModule[] = [KERNELS, POLICY_KERNELS];

/** What lies in those folders besides kernels. */
const OTHERS: readonly string[] = ["index.ts", "module.ts", "compiled.ts"];

/** Every built-in kernel, without loading a model or the compiler. */
export function builtinKernels(): KernelEntry[] {
  return MODULES.flatMap((module) => {
    const folder = dirname(sourceOfModule(fileURLToPath(module.url)));
    const files = readdirSync(folder).filter((f) => f.endsWith(".ts") && !OTHERS.includes(f));
    return files.sort().flatMap((f) => entriesOf(join(folder, f), module));
  });
}

/** The exported kernels of one file of the user's. */
export function kernelsIn(path: string): KernelEntry[] {
  const { file } = readSource(path);
  return entriesOf(file, { url: pathToFileURL(file).href });
}

function entriesOf(path: string, module: KernelModule): KernelEntry[] {
  const { file, text } = readSource(path);
  return exportedKernels(text).map((name) => ({ name, file, module, source: sourceOf(text, name) ?? "" }));
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
