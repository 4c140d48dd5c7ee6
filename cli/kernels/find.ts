/**
 * The kernels of a file, by the compiler's own rule (compiler/frontend/read/resolve-kernels.ts): what is listed is what
 * `gpu.kernels` of that file loads. The file is parsed and not run.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Listed } from "../../compiler/frontend/read/resolve-kernels.ts";
import type { KernelModule } from "../../compiler/index.ts";
import { UserError } from "../../runtime/common/errors.ts";

/** The path of a kernel file that can be read. Throws `UserError` naming it. */
export function readableFile(path: string): string {
  const file = resolve(path);
  try {
    readFileSync(file);
    return file;
  } catch (cause) {
    const missing = (cause as { code?: string }).code === "ENOENT";
    throw new UserError(`${path}: ${missing ? "no such file" : `cannot read (${(cause as Error).message})`}`);
  }
}

/**
 * The kernels of a file, in its order: its own, or those that its objects complete where it is a module with templates.
 * TypeScript is loaded for it. Throws KernelError where the file does not parse.
 */
export async function findKernels(file: string, module?: KernelModule): Promise<readonly Listed[]> {
  const [{ listKernels, listTemplates }, { templatesOf }] = await Promise.all([
    import("../../compiler/frontend/read/source.ts"),
    import("../../compiler/index.ts"),
  ]);
  return module?.templates === undefined ? listKernels(file) : listTemplates(file, templatesOf(module));
}
