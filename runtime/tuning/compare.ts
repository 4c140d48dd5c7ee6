/** Compares what two schedules of a kernel have written. */
import type { TensorValues } from "../memory/read.ts";

/**
 * The first element that differs, in words; undefined when all is well. Sums in another order differ a little, which is
 * allowed for against the size of what the tensor holds.
 */
export function differenceOf(
  expected: readonly TensorValues[],
  got: readonly TensorValues[],
  tensors: readonly { readonly dtype: string; readonly label: string }[],
): string | undefined {
  for (const [i, want] of expected.entries()) {
    const have = got[i];
    const t = tensors[i];
    if (have === undefined || t === undefined) return "a tensor is missing";
    const exact = t.dtype === "u32" || t.dtype === "i32";
    const finite = [...want].filter(Number.isFinite);
    const size = Math.sqrt(finite.reduce((sum, x) => sum + x * x, 0) / Math.max(1, finite.length));
    const part = exact ? 0 : t.dtype === "f16" ? 2e-3 : t.dtype === "bf16" ? 1.6e-2 : 2e-4;
    for (const [k, w] of want.entries()) {
      const h = have[k] ?? Number.NaN;
      if (w === h || (!Number.isFinite(w) && !Number.isFinite(h))) continue;
      if (!(Math.abs(w - h) <= part * (size + Math.abs(w)))) return `"${t.label}" [${k}] is ${h} instead of ${w}`;
    }
  }
  return undefined;
}
