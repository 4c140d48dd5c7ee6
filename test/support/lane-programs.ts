/** Small lane programs written by hand, for tests of what runs and checks them. */
import type { Atom, Buffer, LaneProgram, LaneType, Rhs, Stmt } from "../../compiler/ir/lane/program.ts";
import { constant, F32, U32 } from "../../compiler/ir/lane/program.ts";

export const u = (value: number): Atom => constant(value, U32);
export const f = (value: number): Atom => constant(value, F32);
export const ref = (name: string, type: LaneType = U32): Atom => ({ kind: "ref", name, type, depth: 0 });
export const set = (name: string, type: LaneType, rhs: Rhs): Stmt => ({ op: "let", name, type, rhs });
export const when = (cond: Atom, yes: readonly Stmt[], no: readonly Stmt[] = []): Stmt => ({ op: "if", cond, yes, no });
export const store = (buffer: string, index: Atom, value: Atom, part?: Atom): Stmt => ({
  op: "store",
  buffer,
  index,
  value,
  ...(part === undefined ? {} : { part }),
});
export const loop = (name: string, start: Atom, limit: Atom, body: readonly Stmt[], step = 1): Stmt => ({
  op: "for",
  name,
  start,
  limit,
  step,
  opaque: false,
  body,
});

/** x and y: four elements each, x only read. */
export function bufferOf(name: string, more: Partial<Buffer> = {}): Buffer {
  return { name, storage: "f32", unit: 1, elements: 4, writes: name.startsWith("y"), atomic: false, ...more };
}

/** One program of four lanes, unless told otherwise. */
export function laneProgram(body: readonly Stmt[], more: Partial<LaneProgram> = {}): LaneProgram {
  const lanes = more.lanes ?? 4;
  return {
    name: "small",
    mode: lanes === 1 ? "thread" : "subgroup",
    lanes,
    pinned: false,
    workgroupSize: lanes,
    programsPerWorkgroup: 1,
    programs: 1,
    workgroups: [more.programs ?? 1, 1],
    buffers: [bufferOf("x"), bufferOf("y")],
    uniforms: [],
    body,
    ...more,
  };
}
