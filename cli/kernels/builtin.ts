/** The kernels that ship with the package: where each is written, and which module it is loaded from (the one that a compiled artefact lies beside). */
import { readdirSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { loadPrograms, type TileProgram } from "../../compiler/index.ts";
import { exportedKernels, readSource, sourceOf } from "./find.ts";

export interface KernelEntry {
  readonly name: string;
  /** The file it is written in. */
  readonly file: string;
  /** URL of the module that `gpu.kernels` is called with. */
  readonly url: string;
  readonly source: string;
}

interface Shelf {
  readonly folder: string;
  readonly module: string;
}

const SHELVES: readonly Shelf[] = [
  { folder: "../../models/kernels/", module: "../../models/kernels/index.ts" },
  { folder: "../../models/state/policies/", module: "../../models/state/policy.ts" },
];

/** Every built-in kernel, without loading a model or the compiler. */
export function builtinKernels(): KernelEntry[] {
  return SHELVES.flatMap(({ folder, module }) => {
    const url = new URL(module, import.meta.url).href;
    const base = fileURLToPath(new URL(folder, import.meta.url));
    const files = readdirSync(base).filter((f) => f.endsWith(".ts") && f !== "index.ts");
    return files.sort().flatMap((f) => entriesOf(base + f, url));
  });
}

/** The exported kernels of one file of the user's. */
export function kernelsIn(path: string): KernelEntry[] {
  const { file } = readSource(path);
  return entriesOf(file, pathToFileURL(file).href);
}

function entriesOf(path: string, url: string): KernelEntry[] {
  const { file, text } = readSource(path);
  return exportedKernels(text).map((name) => ({ name, file, url, source: sourceOf(text, name) ?? "" }));
}

/** The tile programs of entries, each module loaded once. Throws KernelError. */
export async function programsOf(entries: readonly KernelEntry[]): Promise<Map<string, TileProgram>> {
  const out = new Map<string, TileProgram>();
  for (const url of new Set(entries.map((e) => e.url))) {
    const names = entries.filter((e) => e.url === url).map((e) => e.name);
    for (const [name, program] of (await loadPrograms(url, names)).programs) out.set(name, program);
  }
  return out;
}
