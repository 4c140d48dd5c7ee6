/** Small tile programs written by hand, for tests of what checks, rewrites and runs them. */

import type { Span } from "../../compiler/host/source-text.ts";
import type { ValueType } from "../../compiler/ir/operators.ts";
import type { Axis, Op, Param, TileProgram, Value } from "../../compiler/ir/tile/program.ts";

export const HERE: Span = { file: "kernel.ts", start: 0, end: 1, line: 7, column: 3 };

/** What every value carries. */
export function value(id: number, type: ValueType = "f32", axes: readonly number[] = []): Value {
  return { id, type, axes, span: HERE };
}

export const constant = (id: number, v: number, type: ValueType = "f32"): Op => ({
  ...value(id, type),
  op: "const",
  value: v,
});
export const iota = (id: number, axis: number): Op => ({ ...value(id, "u32", [axis]), op: "iota", axis });
export const load = (id: number, param: string, index: readonly number[], axes: readonly number[] = []): Op => ({
  ...value(id, "f32", axes),
  op: "load",
  param,
  index,
});
export const store = (param: string, index: readonly number[], v: number): Op => ({
  op: "store",
  param,
  index,
  value: v,
  span: HERE,
});

const tensor = (name: string, dims: readonly string[], writes: boolean): Param => ({
  kind: "tensor",
  name,
  dims,
  storage: ["f32"],
  reads: !writes,
  writes,
});

/** x [n] is read, y [n] and z [one] are written; axis 0 is all of n, axis 1 a block of it in a loop. */
export function tileProgram(body: readonly Op[], more: Partial<TileProgram> = {}): TileProgram {
  const axes: readonly Axis[] = [
    { id: 0, dim: "n", kind: "whole" },
    { id: 1, dim: "n", kind: "over" },
  ];
  const params = [tensor("x", ["n"], false), tensor("y", ["n"], true), tensor("z", ["one"], true)];
  return { name: "small", params, axes, grid: [], body, ...more };
}
