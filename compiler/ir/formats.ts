/**
 * Storage formats: how the elements of tensors lie in memory, as far as it takes no code that reads them.
 */

/** Element types as stored in memory. */
export type StorageType = "f32" | "f16" | "bf16" | "q8" | "q4" | "u32" | "i32";

/** Elements in one 32-bit word. */
export function perWord(storage: StorageType): 1 | 2 | 4 | 8 {
  return storage === "f16" || storage === "bf16" ? 2 : storage === "q8" ? 4 : storage === "q4" ? 8 : 1;
}

/** Elements that share one scale in the block-quantised formats. */
export const QUANT_BLOCK = 32;

/** Words of scales behind the elements of a block-quantised buffer: two f16 a word. */
export function scaleWords(b: { readonly storage: StorageType; readonly elements: number }): number {
  return b.storage === "q8" || b.storage === "q4" ? Math.ceil(b.elements / QUANT_BLOCK / 2) : 0;
}

/** What is stored, and how many of its elements make one element of the array that it is bound as. */
export interface StoredAs {
  readonly storage: StorageType;
  readonly elements: number;
  readonly unit: number;
}

/** Elements of the array that a buffer is bound as; its size is part of the type, so that a binding that is too small is refused. */
export function elementCount(b: StoredAs): number {
  const per = perWord(b.storage);
  return Math.max(1, Math.ceil((b.elements / per + scaleWords(b)) / (b.unit / per)));
}

/** Elements in 16 bytes. */
export function capacity(storage: StorageType): number {
  return 4 * perWord(storage);
}
