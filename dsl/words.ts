/**
 * The words a kernel may use.
 *
 * They are never run: a kernel is read as source and compiled. Each has a type, so that an editor and `tsc` help while
 * writing, and a body that says what went wrong when host code calls it by mistake. The idea of one stub file for all
 * user-visible words is cuTile Python's.
 */
import type { Tile } from "./types.ts";

function word(name: string): never {
  throw new Error(
    `${name} is a word of the kernel language: it works inside a kernel loaded with gpu.kernels(import.meta, { … }), not in host code`,
  );
}

// ---- Where am I, how large is it ------------------------------------------------------------------------------------

/**
 * The grid: one program for each index of `dim`; the value is this program's index (u32). Several calls span a grid of
 * several dims.
 * @param dim name of the dim
 */
export function program(dim: string): number {
  return word(`program("${dim}")`);
}
/**
 * The grid: one program for each block of `size` indices of `dim`, ragged at the end. Without `size` the compiler
 * chooses.
 * @param dim name of the dim
 * @param size elements of a block, known when compiling
 */
export function block<D extends string>(dim: D, size?: number): Tile<D> {
  return word(`block("${dim}", ${size})`);
}
/**
 * Every index of `dim` as one tile.
 * @param dim name of the dim
 */
export function every<D extends string>(dim: D): Tile<D> {
  return word(`every("${dim}")`);
}
/**
 * The number of elements of `dim` (u32), known when the kernel is specialised.
 * @param dim name of the dim
 */
export function size(dim: string): number {
  return word(`size("${dim}")`);
}

// ---- Loops ----------------------------------------------------------------------------------------------------------

/**
 * Device loop over blocks of indices 0 … limit-1 of `dim` (the whole dim unless given, and never beyond it); each turn
 * sees an index tile, ragged at the limit.
 * @param dim name of the dim
 * @param limit the first index that is left out
 */
export function over<D extends string>(dim: D, limit?: number): Iterable<Tile<D>> {
  return word(`over("${dim}", ${limit})`);
}
/**
 * Device loop over scalars: 0 … a-1, or a … b-1.
 * @param a the limit, or the first number where there are two
 * @param b the limit
 */
export function range(a: number, b?: number): Iterable<number> {
  return word(`range(${a}, ${b})`);
}
/**
 * Compile-time loop over 0 … a-1, or a … b-1: the body is repeated with a constant.
 * @param a the limit, or the first number where there are two; known when compiling
 * @param b the limit; known when compiling
 */
export function unroll(a: number, b?: number): Iterable<number> {
  return word(`unroll(${a}, ${b})`);
}

// ---- New tiles ------------------------------------------------------------------------------------------------------

/**
 * A tile of zeros over all of the named dims.
 * @param dims names of the dims with spaces between, as in "rows k"
 */
export function zeros<D extends string>(dims: D): Tile<D> {
  return word(`zeros("${dims}")`);
}
/**
 * A tile of `value` over all of the named dims.
 * @param dims names of the dims with spaces between, as in "rows k"
 * @param value every element, and its type
 */
export function full<D extends string>(dims: D, value: number): Tile<D> {
  return word(`full("${dims}", ${value})`);
}
/**
 * Zeros (f32) with the dims of `tile`.
 * @param tile a tile of any type
 */
export function zerosLike<D extends string>(tile: Tile<D>): Tile<D> {
  return word(`zerosLike(${tile})`);
}

// ---- Element-wise maths ---------------------------------------------------------------------------------------------

/**
 * e to the power of x, of an f32. WGSL allows an error of 3 + 2 |x| units in the last place, and 0 for what is below
 * the smallest normal number.
 * @param x the exponent, f32
 */
export function exp(x: number): Tile {
  return word(`exp(${x})`);
}
/**
 * 2 to the power of x, of an f32. WGSL allows an error of 3 + 2 |x| units in the last place.
 * @param x the exponent, f32
 */
export function exp2(x: number): Tile {
  return word(`exp2(${x})`);
}
/**
 * The natural logarithm of a positive f32. WGSL allows an absolute error of 2^-21 between 0.5 and 2, and 3 units in
 * the last place elsewhere; adapters differ at 0 and below.
 * @param x f32 above 0
 */
export function log(x: number): Tile {
  return word(`log(${x})`);
}
/**
 * The logarithm to base 2 of a positive f32. WGSL allows an absolute error of 2^-21 between 0.5 and 2, and 3 units in
 * the last place elsewhere.
 * @param x f32 above 0
 */
export function log2(x: number): Tile {
  return word(`log2(${x})`);
}
/**
 * The square root of an f32 of at least 0, as exact as 1 / rsqrt(x) at least.
 * @param x f32 of at least 0
 */
export function sqrt(x: number): Tile {
  return word(`sqrt(${x})`);
}
/**
 * 1 / sqrt(x), of a positive f32. WGSL allows an error of 2 units in the last place.
 * @param x f32 above 0
 */
export function rsqrt(x: number): Tile {
  return word(`rsqrt(${x})`);
}
/**
 * The sine of an angle in radians, an f32. WGSL allows an absolute error of 2^-11 between -pi and pi, and more beyond.
 * @param x f32, in radians
 */
export function sin(x: number): Tile {
  return word(`sin(${x})`);
}
/**
 * The cosine of an angle in radians, an f32. WGSL allows an absolute error of 2^-11 between -pi and pi, and more
 * beyond.
 * @param x f32, in radians
 */
export function cos(x: number): Tile {
  return word(`cos(${x})`);
}
/**
 * tanh, with large arguments held where every adapter is right.
 * @param x f32
 */
export function tanh(x: number): Tile {
  return word(`tanh(${x})`);
}
/**
 * The absolute value of an f32 or i32. The most negative i32 stays what it is.
 * @param x f32 or i32
 */
export function abs(x: number): Tile {
  return word(`abs(${x})`);
}
/**
 * The largest whole number that is not above x, as f32.
 * @param x f32
 */
export function floor(x: number): Tile {
  return word(`floor(${x})`);
}
/**
 * The smallest whole number that is not below x, as f32.
 * @param x f32
 */
export function ceil(x: number): Tile {
  return word(`ceil(${x})`);
}
/**
 * To the nearest integer, halves to even.
 * @param x f32
 */
export function round(x: number): Tile {
  return word(`round(${x})`);
}
/**
 * The smaller of both, of one type (f32, u32 or i32). Where one is NaN, adapters give either.
 * @param a one number
 * @param b another of its type
 */
export function min(a: number, b: number): Tile {
  return word(`min(${a}, ${b})`);
}
/**
 * The larger of both, of one type (f32, u32 or i32). Where one is NaN, adapters give either.
 * @param a one number
 * @param b another of its type
 */
export function max(a: number, b: number): Tile {
  return word(`max(${a}, ${b})`);
}
/**
 * a to the power of b, as `a ** b`: a product (or 1 over one) where b is a whole number known when compiling, and
 * otherwise for positive a only, since adapters differ on the rest.
 * @param a the base, f32
 * @param b the exponent, f32
 */
export function pow(a: number, b: number): Tile {
  return word(`pow(${a}, ${b})`);
}
/**
 * Integer quotient, rounded towards zero.
 * @param a the dividend, u32 or i32
 * @param b the divisor, of its type; where it is 0, the quotient is `a`
 */
export function idiv(a: number, b: number): Tile {
  return word(`idiv(${a}, ${b})`);
}
/**
 * `yes` where `condition` holds, `no` elsewhere; works on tiles, both sides are computed.
 * @param condition which of the two
 * @param yes one number
 * @param no another of its type
 */
export function select(condition: boolean, yes: number, no: number): Tile {
  return word(`select(${condition}, ${yes}, ${no})`);
}
/**
 * Conversion of the value to another arithmetic type.
 * @param x f32, u32 or i32
 * @param to the other type
 */
export function cast(x: number, to: "f32" | "u32" | "i32"): Tile {
  return word(`cast(${x}, ${to})`);
}
/**
 * The same 32 bits, read as another type.
 * @param x f32, u32 or i32
 * @param to the other type
 */
export function bitcast(x: number, to: "f32" | "u32" | "i32"): Tile {
  return word(`bitcast(${x}, ${to})`);
}

// ---- Reductions: over the one dim of the tile, or over the named one ------------------------------------------------

/**
 * The sum of the elements along a dim, in an order that the schedule decides: results of f32 may differ in their last
 * digits between adapters. 0 where there are none.
 * @param x a tile, f32, u32 or i32
 * @param dim name of the dim; needed where the tile has several
 */
export function sum(x: number, dim?: string): Tile {
  return word(`sum(${x}, ${dim})`);
}
/**
 * The largest element along a dim. Infinities count; NaN may be left out.
 * @param x a tile, f32, u32 or i32
 * @param dim name of the dim; needed where the tile has several
 */
export function amax(x: number, dim?: string): Tile {
  return word(`amax(${x}, ${dim})`);
}
/**
 * The smallest element along a dim. Infinities count; NaN may be left out.
 * @param x a tile, f32, u32 or i32
 * @param dim name of the dim; needed where the tile has several
 */
export function amin(x: number, dim?: string): Tile {
  return word(`amin(${x}, ${dim})`);
}
/**
 * Of the indices in `index`, the one where `value` is largest; the lowest of them on a tie. Among NaN any index of the
 * tile or of its dim.
 * @param value a tile, f32, u32 or i32
 * @param index u32, an index for each element of it
 * @param dim name of the dim; needed where the tile has several
 */
export function argmax(value: number, index: number, dim?: string): Tile {
  return word(`argmax(${value}, ${index}, ${dim})`);
}
/**
 * Of the indices in `index`, the one where `value` is smallest; the lowest of them on a tie. Among NaN any index of
 * the tile or of its dim.
 * @param value a tile, f32, u32 or i32
 * @param index u32, an index for each element of it
 * @param dim name of the dim; needed where the tile has several
 */
export function argmin(value: number, index: number, dim?: string): Tile {
  return word(`argmin(${value}, ${index}, ${dim})`);
}
/**
 * The largest elements of `value` with their indices, best first, of equals the lowest index first: as many as the dim
 * `into` has, or, where `into` is a list of that kind, the best of both. Places that nothing takes hold -Infinity (0
 * for u32) and the index 4294967295.
 * @param value a tile, f32, u32 or i32
 * @param index u32, an index for each element of it
 * @param into name of the dim of the result, or a list to merge into
 * @param dim name of the dim; needed where the tile has several
 */
export function topk(
  value: number,
  index: number,
  into: string | readonly [values: number, places: number],
  dim?: string,
): [values: number, places: number] {
  return word(`topk(${value}, ${index}, ${into}, ${dim})`);
}
/**
 * Sum over the products along the dim that both share (named when they share several; the others are batch dims).
 * @param a a tile, f32
 * @param b another, f32
 * @param dim name of the dim; needed where they share several
 */
export function dot(a: number, b: number, dim?: string): Tile {
  return word(`dot(${a}, ${b}, ${dim})`);
}

/**
 * Running sum along the tile's dim (or the named one), the element itself included.
 * @param x a tile, f32, u32 or i32
 * @param dim name of the dim; needed where the tile has several
 */
export function cumsum(x: number, dim?: string): Tile {
  return word(`cumsum(${x}, ${dim})`);
}
