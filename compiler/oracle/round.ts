/**
 * What the interpreter needs of storage formats: the value an element has after it was stored. Host tensors hold
 * decoded numbers, so loads need nothing.
 */

import type { StorageType } from "../ir/formats.ts";
import { codeOfFloat, floatOfCode, oracleFormat, quantised } from "./formats.ts";

const view = new DataView(new ArrayBuffer(4));

/** The number that `value` becomes in this storage; elements of blocks are rounded when their block is whole. */
export function encode(value: number, storage: StorageType): number {
  if (storage === "f16") return roundHalf(value);
  if (storage === "bf16") {
    view.setFloat32(0, value);
    const word = view.getUint32(0);
    view.setUint32(0, ((word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000) >>> 0);
    return view.getFloat32(0);
  }
  if (storage === "u32") return value >>> 0;
  if (storage === "i32") return value | 0;
  const { float } = oracleFormat(storage);
  return float === undefined ? Math.fround(value) : floatOfCode(codeOfFloat(value, float), float);
}

/** To the nearest f16, halves to even; too large becomes infinite. */
function roundHalf(x: number): number {
  const magnitude = Math.abs(x);
  if (!(magnitude > 0) || magnitude === Number.POSITIVE_INFINITY) return x;
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude)));
  const step = 2 ** (exponent - 10);
  const scaled = magnitude / step;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const rounded = (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor) * step;
  return Math.sign(x) * (rounded > 65504 ? Number.POSITIVE_INFINITY : rounded);
}

/**
 * Rounds the blocks whose elements were stored, in place; the number of one that was stored in part, if there is any.
 */
export function roundBlocks(
  t: { readonly storage: StorageType; readonly data: Float32Array | Uint32Array | Int32Array },
  stored: ReadonlySet<number>,
): number | undefined {
  const { block } = oracleFormat(t.storage);
  if (block === undefined) return undefined;
  const { size } = block;
  const counts = new Map<number, number>();
  for (const at of stored) counts.set(Math.floor(at / size), (counts.get(Math.floor(at / size)) ?? 0) + 1);
  for (const [b, count] of counts) {
    if (count < size) return b;
    const part = t.data.subarray(b * size, (b + 1) * size);
    const { scale, minimum, steps } = quantised(part, block);
    for (const [i, step] of steps.entries()) part[i] = Math.fround(Math.fround(step * scale) + minimum);
  }
  return undefined;
}
