/** How the printer writes operators, types and constants. */

import { perWord, wordType } from "../ir/formats.ts";
import type { Atom, Buffer, LaneType } from "../ir/lane/program.ts";
import type { ReduceKind, ValueType } from "../ir/operators.ts";

/** What a subgroup does together. */
export const SUBGROUP: Readonly<Record<ReduceKind | "first", string>> = {
  sum: "subgroupAdd",
  max: "subgroupMax",
  min: "subgroupMin",
  first: "subgroupBroadcastFirst",
};

export function typeName(t: LaneType): string {
  return t.width === 1 ? t.base : `vec${t.width}<${t.base}>`;
}

export function literal(value: number, base: ValueType): string {
  if (base === "bool") return value ? "true" : "false";
  if (base === "u32") return `${value >>> 0}u`;
  if (base === "i32") return value === -2147483648 ? "i32(-2147483647 - 1)" : `${value | 0}i`;
  const text = String(value);
  return `${text}${/[.e]/.test(text) ? "" : ".0"}f`;
}

export function atom(a: Atom): string {
  if (a.kind === "ref") return a.name;
  const text = literal(a.value, a.type.base);
  return a.type.width === 1 ? text : `${typeName(a.type)}(${text})`;
}

/**
 * The bits of infinities. WGSL has no literal for them and refuses constants that come to one, so they are read from
 * their bits at run time.
 */
export const INFINITIES: Readonly<Record<"highest" | "lowest", string>> = {
  highest: "0x7f800000u",
  lowest: "0xff800000u",
};

/** WGSL type of one element of a buffer. */
export function elementType(b: Buffer): string {
  if (b.atomic) return `atomic<${b.storage === "i32" ? "i32" : "u32"}>`;
  const per = perWord(b.storage);
  const width = b.unit / per;
  const base = wordType(b.storage);
  return width === 1 ? base : `vec${width}<${base}>`;
}
