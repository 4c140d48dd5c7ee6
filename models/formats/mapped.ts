/**
 * A family's weight map applied to stored tensors: the tensor of a role is a range of rows of those that a rule names,
 * one below the other, with rotary rows brought into rotate-half order.
 */

import { UserError } from "../../runtime/common/errors.ts";
import type { Placed, Role } from "../config/weight-map.ts";
import {
  checkShape,
  elements,
  typed,
  type WeightData,
  type WeightDType,
  type WeightTensor,
} from "../weights/source.ts";
import { kindOfNames } from "./names.ts";
import { halvesFromPairs } from "./rotary.ts";
import type { StoredTensor } from "./shards.ts";

/** Where tensors are looked up. */
export interface Stored {
  /** What errors call the place. */
  readonly where: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** What is asked for. */
export interface Wanted {
  readonly role: Role;
  /** The shape of each role that the rule names, where the model has it. */
  readonly shapeOf: (role: Role) => readonly number[] | undefined;
  /** Numbers of a head, by which rotary rows are put in order. */
  readonly headDim: number;
}

/**
 * The tensor of a role. Nothing but headers is looked at before its data are asked for.
 * @throws UserError naming a tensor that is missing, or whose shape or dtype is another.
 */
export function mappedTensor(stored: Stored, rule: Placed, { role, shapeOf, headDim }: Wanted): WeightTensor {
  const shape = shapeOf(role) ?? [];
  const parts = rule.stored.map((name) => found(stored, name, rule.stored.length === 1 ? shape : undefined));
  const rowsOf = (r: Role): number => shapeOf(r)?.[0] ?? 0;
  const rows = rule.roles.reduce((sum, r) => sum + rowsOf(r), 0);
  const [first] = parts as [StoredTensor];
  const [name, rest] = [first.tensor.name, shape.slice(1)];
  checkRows(parts, rows, rest);
  const dtype = dtypeOf(parts);
  const bytesOfRow = elements(rest) * (dtype === "f32" ? 4 : 2);
  let from = 0;
  for (const r of rule.roles) {
    if (r === role) break;
    from += rowsOf(r);
  }
  const range = { start: from * bytesOfRow, length: elements(shape) * (dtype === "f32" ? 4 : 2) };
  const order = (data: WeightData): WeightData =>
    rule.rows === "halves" ? data : halvesFromPairs(data, headDim, elements(rest));
  return { name, shape, dtype, data: async () => order(typed(await bytesOf(parts, range), dtype)) };
}

function found({ where, tensors }: Stored, name: string, shape: readonly number[] | undefined): StoredTensor {
  const entry = tensors.get(name);
  if (entry !== undefined) return entry;
  const expected = shape === undefined ? "" : `, expected shape [${shape.join(", ")}]`;
  throw new UserError(`${where}: tensor "${name}" is missing${expected}`, {
    hint: kindOfNames([...tensors.keys()], name),
  });
}

/** One tensor has all the rows; of several, all have rows of that length, and as many together. */
function checkRows(parts: readonly StoredTensor[], rows: number, rest: readonly number[]): void {
  const [first] = parts as [StoredTensor];
  if (parts.length === 1) return checkShape(first.where, first.tensor.name, [rows, ...rest], first.tensor.shape);
  for (const { where, tensor } of parts)
    checkShape(where, tensor.name, [tensor.shape[0] ?? rows, ...rest], tensor.shape);
  const got = parts.reduce((sum, { tensor }) => sum + (tensor.shape[0] ?? 0), 0);
  if (got === rows) return;
  const names = parts.map(({ tensor }) => `"${tensor.name}"`).join(", ");
  throw new UserError(`${first.where}: tensors ${names}: expected ${rows} rows together, got ${got}`);
}

function dtypeOf(parts: readonly StoredTensor[]): WeightDType {
  const [first] = parts as [StoredTensor];
  for (const { where, tensor } of parts) {
    if (weightDType(tensor.dtype) === undefined)
      throw new UserError(`${where}: tensor "${tensor.name}": expected dtype F32, F16 or BF16, got ${tensor.dtype}`);
    if (tensor.dtype !== first.tensor.dtype) {
      const expected = `expected dtype ${first.tensor.dtype}, as "${first.tensor.name}" has it`;
      throw new UserError(`${where}: tensor "${tensor.name}": ${expected}, got ${tensor.dtype}`);
    }
  }
  return weightDType(first.tensor.dtype) as WeightDType;
}

function weightDType(dtype: string): WeightDType | undefined {
  return dtype === "F32" ? "f32" : dtype === "F16" ? "f16" : dtype === "BF16" ? "bf16" : undefined;
}

/** A range of the bytes of all parts in a row. */
async function bytesOf(
  parts: readonly StoredTensor[],
  { start, length }: { readonly start: number; readonly length: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const [first] = parts as [StoredTensor];
  if (parts.length === 1) return first.tensor.part(start, length);
  const out = new Uint8Array(length);
  let at = 0;
  for (const { tensor } of parts) {
    const [begin, end] = [Math.max(start, at), Math.min(start + length, at + tensor.byteLength)];
    if (begin < end) out.set(await tensor.part(begin - at, end - begin), begin - start);
    at += tensor.byteLength;
  }
  return out;
}
