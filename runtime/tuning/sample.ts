/** Sample arguments: tensors and numbers for a kernel that is only to be timed, from the sizes of its dims. */
import type { TileProgram } from "../../compiler/index.ts";
import { UserError } from "../common/errors.ts";
import type { Device } from "../device/device.ts";
import { createTensor } from "../memory/create.ts";
import type { DeviceTensor } from "../memory/tensor.ts";

/** Numbers for a kernel that is only to be timed: what `tune` is given when there are no real ones. */
export interface SampleOptions {
  /** Elements of each dim. */
  readonly sizes: Readonly<Record<string, number>>;
  /** How tensors are stored; without an entry as the first type that the kernel accepts. */
  readonly storage?: Readonly<Record<string, string>>;
  /** Values of scalars; without an entry 1. */
  readonly scalars?: Readonly<Record<string, number>>;
  readonly seed?: number;
}

/**
 * Arguments of the right shapes: floats from -1 to 1, whole numbers below the shortest dim, so that they are indices
 * into any. Throws UserError for a dim without a size and for storage that the kernel does not take.
 */
export function sampleArguments(
  { device }: { readonly device: Device },
  program: TileProgram,
  options: SampleOptions,
): (number | DeviceTensor)[] {
  const { sizes, storage = {}, scalars = {}, seed = 1 } = options;
  let state = seed >>> 0;
  const random = (): number => {
    // Numerical Recipes' quick generator: good enough to keep a kernel from meeting only zeros.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const least = Math.min(...Object.values(sizes));
  return program.params.map((p) => {
    if (p.kind === "scalar") return scalars[p.name] ?? 1;
    const shape = p.dims.map((d) => {
      const n = sizes[d];
      if (n === undefined) throw new UserError(`kernel ${program.name}: no size for the dim "${d}" of "${p.name}"`);
      return n;
    });
    const dtype = p.storage.find((s) => s === (storage[p.name] ?? p.storage[0]));
    if (dtype === undefined)
      throw new UserError(
        `kernel ${program.name}: tensor "${p.name}" may be stored as ${p.storage.join(", ")}, not as ${storage[p.name]}`,
      );
    const count = shape.reduce((a, b) => a * b, 1);
    const data =
      dtype === "u32" || dtype === "i32"
        ? Array.from({ length: count }, () => Math.floor(random() * least))
        : Float32Array.from({ length: count }, () => random() * 2 - 1);
    return createTensor(device, shape, dtype, { label: p.name, data });
  });
}
