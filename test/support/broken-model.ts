/** Models with weights that are no numbers. */
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * Copies a Hugging Face folder with one safetensors file, in which the elements of `tensor` from `start` to before
 * `end` are NaN.
 */
export async function brokenModel(
  to: string,
  from: string,
  tensor: string,
  start = 0,
  end: number = start + 1,
): Promise<string> {
  await cp(from, to, { recursive: true });
  const file = join(to, "model.safetensors");
  const bytes = await readFile(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString("utf8")) as Record<
    string,
    { readonly dtype: string; readonly data_offsets: readonly [number, number] }
  >;
  const entry = header[tensor];
  if (entry === undefined) throw new Error(`${file} has no tensor ${tensor}`);
  const size = { F32: 4, F16: 2, BF16: 2 }[entry.dtype];
  if (size === undefined) throw new Error(`${tensor} is stored as ${entry.dtype}`);
  const at = 8 + length + entry.data_offsets[0];
  // All bits set are NaN in each of these formats.
  bytes.fill(0xff, at + start * size, at + end * size);
  await writeFile(file, bytes);
  return to;
}
