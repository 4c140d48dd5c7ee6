/**
 * Fields of a config.json: each read with what it must be, and refused with file, key, what was expected and what was
 * got.
 */

import { UserError } from "../../runtime/common/errors.ts";

export type Json = { readonly [key: string]: unknown };

/** Hears of what is odd in a file and does no harm. */
export type Note = (text: string) => void;

/** An object and where it stands. */
export interface Fields {
  readonly json: Json;
  /** Names the file in errors. */
  readonly file: string;
  /** What leads to the object in its file, as in "rope_scaling."; nothing at the top. */
  readonly prefix: string;
}

/** The whole of a file. @throws UserError unless it is an object. */
export function fieldsOf(json: unknown, file: string): Fields {
  return { json: object(json, file, ""), file, prefix: "" };
}

/** The object under a key. @throws UserError unless it is one. */
export function fieldsIn({ json, file, prefix }: Fields, key: string): Fields {
  return { json: object(json[key], file, prefix + key), file, prefix: `${prefix}${key}.` };
}

/** @throws UserError always: the value under `key` is not what was expected. */
export function wrong(
  { file, prefix }: Pick<Fields, "file" | "prefix">,
  key: string,
  expected: string,
  got: unknown,
): never {
  const name = prefix + key;
  throw new UserError(`${file}: ${name === "" ? "" : `"${name}": `}expected ${expected}, got ${show(got)}`);
}

/** A value as it stands in JSON. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

/** A whole number from 1. */
export function count(from: Fields, key: string): number {
  const value = from.json[key];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1)
    wrong(from, key, "a positive integer", value);
  return value;
}

/** Layers of a model of which nothing else is known. */
const MOST_LAYERS: number = 1 << 16;

/** A number of layers, of which something will be made each: no more than `tensors`, where their number is known. */
export function layerCount(from: Fields, key: string, tensors: number | undefined): number {
  const layers = count(from, key);
  if (layers <= (tensors ?? MOST_LAYERS)) return layers;
  const most = tensors === undefined ? `at most ${MOST_LAYERS}` : `no more layers than there are tensors (${tensors})`;
  return wrong(from, key, most, layers);
}

/** A finite number above 0. */
export function positive(from: Fields, key: string): number {
  const value = from.json[key];
  if (typeof value !== "number" || !(value > 0)) wrong(from, key, "a positive number", value);
  return value;
}

/** A boolean; false where the key is missing. */
export function flag(from: Fields, key: string): boolean {
  const value = from.json[key] ?? false;
  if (typeof value !== "boolean") wrong(from, key, "true or false", value);
  return value;
}

/** Token ids under a key. Those that the vocabulary does not have can never come up: they are left out, and noted. */
export function ids(from: Fields, key: string, vocab: number, note: Note): readonly number[] {
  const value = from.json[key];
  if (value == null) return [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.flatMap((id) => {
    if (typeof id !== "number" || !Number.isSafeInteger(id))
      return wrong(from, key, "a token id or a list of them", value);
    if (id >= 0 && id < vocab) return [id];
    note(`${from.file}: "${key}": ${id} is left out, since the vocabulary has ${vocab} ids`);
    return [];
  });
}

function object(value: unknown, file: string, key: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    wrong({ file, prefix: "" }, key, "an object", value);
  return value as Json;
}
