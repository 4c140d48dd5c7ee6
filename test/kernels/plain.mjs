/** @import { DType, f16, f32, i32, real, Scalar, Static, Tensor, u32 } from "tilestate/dsl" */
import { amax, block, cast, dot, exp, over, program, range, select, specialise, sum } from "tilestate/dsl";
import { mean, smooth } from "./plain-helpers.js";

const FACTOR = 0.5;

/**
 * y = softmax of each row of x.
 *
 * @param {Tensor<"rows n">} x
 * @param {Tensor<"rows n">} y
 * @returns {void}
 */
export function softmax(x, y) {
  const r = program("rows");
  const e = exp(x.at(r) - amax(x.at(r)));
  y.set([r], e / sum(e));
}

/** @param {Tensor<"rows n">} x  @param {Tensor<"rows n", f16>} y @param {Scalar<u32>} k */
export function scale(x, y, k) {
  const r = program("rows");
  y.set([r], x.at(r) * FACTOR * cast(k, "f32"));
}

/**
 * @param {import("tilestate/dsl").Tensor<"rows k", real>} w
 * @param {Tensor<"k">} x
 * @param {Tensor<"rows">} y
 */
export const matvec = (w, x, y) => {
  const r = block("rows", 4);
  let acc = 0;
  for (const k of over("k")) acc += dot(w.at(r, k), x.at(k));
  y.set([r], acc);
};

/**
 * @template {DType} T
 * @param {Tensor<"m n", T>} x
 * @param {Tensor<"n m", T>} y
 */
export function transpose(x, y) {
  const i = block("m", 2);
  const j = block("n", 4);
  y.set([j, i], x.at(i, j));
}

/** @typedef {import("tilestate/dsl").Tensor<"n">} Vector */
/** @typedef {Static<{ count: number, f?: (x: number) => number }>} Options */

/**
 * @param {Vector} x
 * @param {Vector} y
 * @param {Options} options
 */
function repeated(x, y, { count, f = smooth }) {
  const i = block("n");
  let v = x.at(i);
  for (const _ of range(count)) v = f(v);
  y.set([i], v);
}

export const smoothed = specialise(repeated, { count: 3 });
export const squared = specialise(repeated, { count: 2, f: (x) => x * x });

/** @type {(x: Tensor<"rows n">, y: Tensor<"rows">) => void} */
export const means = (x, y) => {
  const r = program("rows");
  y.set([r], mean(x.at(r), "n"));
};

/**
 * @param {Tensor<"n">} größe
 * @param {Tensor<"n">} 結果
 */
export function größer(größe, 結果) {
  const i = block("n");
  /** @type {number} */
  const $ = größe.at(i);
  結果.set([i], select($ > 0, $, 0));
}
