/**
 * The types of the kernel language.
 *
 * A tile is typed as a number with an *optional* brand, so that plain `tsc` accepts `a * b`, `acc = acc * f + x` and
 * ternaries between tiles; the dims and dtypes that operators lose are derived again by the compiler. Dims are one
 * string literal ("heads dim"), which reads well in an editor's hover.
 */

/** 32-bit floating point. */
export type f32 = "f32";
/** IEEE half precision: storage only, arithmetic is f32. */
export type f16 = "f16";
/** Brain float, the upper half of an f32: storage only, arithmetic is f32. */
export type bf16 = "bf16";
/** 8-bit float (E4M3: 4 bits of exponent, 3 of fraction, up to 448, no infinities): storage only, arithmetic is f32. */
export type fp8 = "fp8";
/**
 * 8-bit integers with one f16 scale for every 32 elements of the last dim (the values of GGUF's Q8_0): storage only,
 * stored by kernels in whole blocks.
 */
export type q8 = "q8";
/**
 * 4-bit integers with one f16 scale for every 32 elements of the last dim (the values of GGUF's Q4_0): storage only,
 * stored by kernels in whole blocks.
 */
export type q4 = "q4";
/**
 * Unsigned 4-bit integers with one f16 scale and one f16 minimum for every 32 elements of the last dim (the values of
 * GGUF's Q4_1): storage only, stored by kernels in whole blocks.
 */
export type q4_1 = "q4_1";
/** 32-bit unsigned integer. */
export type u32 = "u32";
/** 32-bit signed integer. */
export type i32 = "i32";
/** Any storage of real numbers; the kernel is specialised by the tensor it is given. */
export type real = f32 | f16 | bf16 | fp8 | q8 | q4 | q4_1;
/** Every element type a tensor may be stored in. */
export type DType = real | u32 | i32;

/** The key of a tile's or tensor's dims. It is a type alone: no value has it. */
export declare const DIMS: unique symbol;
/** The key of a tensor's or scalar's element type. It is a type alone: no value has it. */
export declare const ELEMENT: unique symbol;
/** The key that tells compile-time parameters from others. It is a type alone: no value has it. */
export declare const FIXED: unique symbol;

/** A block of values that a program holds, indexed by the named dims of `D`; a scalar has none. */
export type Tile<D extends string = string> = number & { readonly [DIMS]?: D };

/** A run-time number given with each call: a plain number, or a one-element tensor that lives on the GPU. */
export type Scalar<T extends u32 | i32 | f32 = f32> = number & { readonly [ELEMENT]?: T };

/**
 * An array in GPU memory with the named dims of `D` (row-major, the last one contiguous) and elements stored as `T`.
 */
export interface Tensor<D extends string, T extends DType = f32> {
  /**
   * Loads. One index a dim, each a scalar or an index tile; dims left out at the end are taken whole.
   * @param index a scalar or an index tile for each dim, from the first
   */
  at(...index: readonly number[]): Tile;
  /**
   * Stores `value`; indices as in `at`. Elements outside the tensor or a ragged index are not written.
   * @param index as in `at`
   * @param value what is stored, rounded to the format of the tensor
   */
  set(index: readonly number[], value: number): void;
  /**
   * Adds `value` to the element, as one indivisible step: programs and lanes may meet in one element. f32, u32 and i32
   * tensors.
   * @param index as in `at`
   * @param value what is added
   */
  add(index: readonly number[], value: number): void;
  /**
   * Raises the element to `value` where that is larger, indivisibly.
   * @param index as in `at`
   * @param value what the element is at least afterwards
   */
  max(index: readonly number[], value: number): void;
  /**
   * Lowers the element to `value` where that is smaller, indivisibly.
   * @param index as in `at`
   * @param value what the element is at most afterwards
   */
  min(index: readonly number[], value: number): void;
  /** The dims, for the type checker alone. */
  readonly [DIMS]?: D;
  /** The type of the elements, for the type checker alone. */
  readonly [ELEMENT]?: T;
}

/**
 * Compile-time parameters of a kernel, as one object, its last parameter: numbers, flags, strings and functions. They
 * are given when the kernel is loaded, with `specialise`, or by the kernel that calls it. Branches on them vanish,
 * functions are inlined.
 */
export type Static<T extends object> = T & { readonly [FIXED]?: true };

/** A kernel's parameters, none of them optional. */
export type Given<A> = { [I in keyof A]-?: A[I] };

/** The object of compile-time parameters that a kernel takes; never where it takes none. */
export type StaticsOf<F> = F extends (...args: infer A) => void
  ? Given<A> extends readonly [...infer _, infer L]
    ? typeof FIXED extends keyof L
      ? L
      : never
    : never
  : never;

/** The parameters that a kernel is launched with: all but the compile-time ones. */
export type RunTime<A extends readonly unknown[]> =
  Given<A> extends readonly [...infer I, infer L] ? (typeof FIXED extends keyof L ? I : A) : A;
