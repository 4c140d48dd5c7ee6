/**
 * The few global types the checker needs while it reads kernel files.
 *
 * TypeScript's own libraries cost one to two seconds to load and kernels use none of them; host code that shares the
 * file with a kernel may use whatever it likes, since complaints are reported only inside kernels and their helpers.
 */
export const LIB_NAME: string = "/tilestate.lib.d.ts";

export const LIB_TEXT: string = `
interface Boolean {} interface Function {} interface CallableFunction {} interface NewableFunction {} interface IArguments {}
interface Number { toFixed(digits?: number): string; toString(radix?: number): string }
interface Object {} interface RegExp {} interface String { readonly length: number }
interface SymbolConstructor { readonly iterator: unique symbol; readonly asyncIterator: unique symbol }
declare var Symbol: SymbolConstructor;
interface IteratorYieldResult<T> { done?: false; value: T }
interface IteratorReturnResult<T> { done: true; value: T }
type IteratorResult<T, R = unknown> = IteratorYieldResult<T> | IteratorReturnResult<R>;
interface Iterator<T, R = unknown, N = unknown> { next(...args: [] | [N]): IteratorResult<T, R> }
interface Iterable<T, R = unknown, N = unknown> { [Symbol.iterator](): Iterator<T, R, N> }
interface IterableIterator<T, R = unknown, N = unknown> extends Iterator<T, R, N> { [Symbol.iterator](): IterableIterator<T, R, N> }
interface ArrayIterator<T> extends IterableIterator<T> {}
interface Array<T> { readonly length: number; [n: number]: T; [Symbol.iterator](): ArrayIterator<T> }
interface ReadonlyArray<T> { readonly length: number; readonly [n: number]: T; [Symbol.iterator](): ArrayIterator<T> }
interface Promise<T> {} interface PromiseLike<T> {}
interface ImportMeta { readonly url: string; readonly main: boolean }
declare var Infinity: number; declare var NaN: number; declare var undefined: undefined;
declare var Math: { readonly [name: string]: (...x: number[]) => number };
`;
