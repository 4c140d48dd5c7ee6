/** Data that somebody passed, as a tensor stores it. */
import { formatOf } from "../../compiler/ir/formats.ts";
import { describe } from "../common/describe.ts";
import { bytesOf, type DType, encodeFloats } from "./dtype.ts";
import type { Float16Data, TensorData } from "./layout.ts";

/** Makes the error for a problem; it knows the tensor. */
type Fail = (problem: string) => Error;

/**
 * The bytes of the data: raw ones as they are, numbers rounded to the format (to nearest even). Throws what `fail`
 * makes for data that are no numbers of the format.
 */
export function encodeData(data: TensorData, dtype: DType, fail: Fail): ArrayBufferView<ArrayBuffer> {
  if (data instanceof Uint8Array) {
    if (data.byteLength % bytesOf(dtype) !== 0)
      throw fail(`${data.byteLength} raw bytes are not a whole number of ${dtype} elements`);
    return data as Uint8Array<ArrayBuffer>;
  }
  const { code, bits } = formatOf(dtype);
  if (code.kind === "float") {
    if (bits === 16 && data instanceof Uint16Array) return data as Uint16Array<ArrayBuffer>;
    if (dtype === "f16" && isFloat16(data))
      return new Uint16Array(data.buffer as ArrayBuffer, data.byteOffset, data.length);
    return encodeFloats(floatsOf(data, fail), dtype);
  }
  if (dtype === "u32" || dtype === "i32") return integersOf(data, dtype, fail);
  return floatsOf(data, fail) as Float32Array<ArrayBuffer>;
}

/** The data as f32. */
export function floatsOf(data: TensorData, fail: Fail): Float32Array {
  if (data instanceof Float32Array) return data;
  if (data instanceof Float64Array || isFloat16(data)) return Float32Array.from(data);
  if (!Array.isArray(data)) throw fail(`expected floats, got ${kindOf(data)}`);
  const bad = firstThatIsNo(data, (x) => typeof x === "number");
  if (bad >= 0) throw fail(`element ${bad} is ${describe(data[bad])}, which is no number`);
  return Float32Array.from(data);
}

function integersOf(data: TensorData, dtype: "u32" | "i32", fail: Fail): ArrayBufferView<ArrayBuffer> {
  const Own = dtype === "u32" ? Uint32Array : Int32Array;
  if (data instanceof Own) return data as Uint32Array<ArrayBuffer>;
  if (!Array.isArray(data)) throw fail(`expected ${Own.name} or numbers, got ${kindOf(data)}`);
  const [low, high] = dtype === "u32" ? [0, 2 ** 32 - 1] : [-(2 ** 31), 2 ** 31 - 1];
  const bad = firstThatIsNo(data, (x) => Number.isInteger(x) && (x as number) >= low && (x as number) <= high);
  if (bad >= 0) throw fail(`element ${bad} is ${describe(data[bad])}, which is no ${dtype}`);
  return Own.from(data);
}

/** Holes count as what they are read as. */
function firstThatIsNo(data: readonly unknown[], right: (x: unknown) => boolean): number {
  for (let i = 0; i < data.length; i++) if (!right(data[i])) return i;
  return -1;
}

/** By its tag: not every runtime has the class. */
function isFloat16(data: unknown): data is Float16Data & ArrayLike<number> {
  return ArrayBuffer.isView(data) && (data as Partial<Float16Data>)[Symbol.toStringTag] === "Float16Array";
}

/** Typed arrays by their name. */
function kindOf(data: unknown): string {
  return ArrayBuffer.isView(data) ? describe(data).replace(/^an? /, "") : describe(data);
}
