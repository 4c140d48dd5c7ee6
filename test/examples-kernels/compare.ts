/**
 * Runs example kernels three ways (interpreter, every adapter, every feature level and profile that changes the code)
 * and compares each with given numbers.
 *
 * The numbers come from plain f64 arithmetic in the tests. Tensors without data start as NaN (integers as a loud
 * pattern), so that an element that no program wrote shows as a difference.
 */

import { expect } from "vitest";
import { type HostTensor, interpret, loadPrograms, type Target } from "../../compiler/index.ts";
import { targetOf } from "../../runtime/adapters/target.ts";
import { TRAITS } from "../../runtime/adapters/traits.ts";
import type { Dispatch } from "../../runtime/kernels/dispatch.ts";
import { Kernel } from "../../runtime/kernels/kernel.ts";
import { createTensor } from "../../runtime/memory/create.ts";
import type { DeviceTensor } from "../../runtime/memory/tensor.ts";
import { Plan } from "../../runtime/plans/plan.ts";
import { withDevice } from "../support/gpu.ts";
import type { Comparison, Given } from "./given.ts";

export { blank, type Comparison, given } from "./given.ts";

function startOf(g: Given): Float32Array | Uint32Array | Int32Array {
  if (g.values !== undefined) return g.values.slice();
  const n = g.shape.reduce((a, b) => a * b, 1);
  if (g.dtype === "u32") return new Uint32Array(n).fill(0xdeadbeef);
  return g.dtype === "i32" ? new Int32Array(n).fill(-559038737) : new Float32Array(n).fill(Number.NaN);
}

/**
 * Compares what the interpreter makes of the calls with the wanted numbers; odd block sizes, so that edges are ragged.
 */
export async function compareInterpreter(c: Comparison): Promise<void> {
  const programs = await programsOf(c);
  for (const blocks of [
    { overBlock: 5, rows: 3 },
    { overBlock: 64, rows: 4 },
  ]) {
    const tensors = new Map<string, HostTensor>();
    for (const [name, g] of Object.entries(c.tensors)) {
      tensors.set(name, { shape: g.shape, storage: g.dtype, data: startOf(g) });
    }
    for (const [name, ...args] of c.calls) {
      const program = programs.get(name);
      if (program === undefined) throw new Error(`no kernel ${name}`);
      const bound: Record<string, HostTensor> = {};
      const scalars: Record<string, number> = {};
      for (const [i, p] of program.params.entries()) {
        const arg = args[i];
        const tensor = typeof arg === "string" ? tensors.get(arg) : undefined;
        if (typeof arg === "number") scalars[p.name] = arg;
        else if (tensor !== undefined) bound[p.name] = tensor;
      }
      interpret(program, bound, scalars, blocks);
    }
    for (const [name, want] of Object.entries(c.want)) {
      close(`interpreter ${name}`, tensors.get(name)?.data ?? [], want, c.tolerance);
    }
  }
}

/** Targets that make different code for one adapter: its own, feature level L0, and the other profile. */
function targetsOf(own: Target): Readonly<Record<string, Target>> {
  const L0: Target = { ...own, subgroup: 0, pinned: false };
  return { ...(own.subgroup === 0 ? {} : { own }), L0, gpu: { ...own, profile: "gpu", traits: TRAITS.gpu } };
}

/** Compares what an adapter makes of the calls, on every target that it can run, with the wanted numbers. */
export async function compareAdapter(adapter: string, c: Comparison): Promise<void> {
  const device = await withDevice(adapter);
  const programs = await programsOf(c);
  for (const [label, target] of Object.entries(targetsOf(targetOf(device.capabilities)))) {
    if (label === "L0" && c.manyBarriers === true && adapter === "llvmpipe") continue;
    const tensors = new Map<string, DeviceTensor>();
    for (const [name, g] of Object.entries(c.tensors)) {
      tensors.set(name, createTensor(device, g.shape, g.dtype, { label: name, data: startOf(g) }));
    }
    const dispatches = c.calls.map(([name, ...args]): Dispatch => {
      const program = programs.get(name);
      if (program === undefined) throw new Error(`no kernel ${name}`);
      return new Kernel(device, program, target).prepare(args.map((a) => (typeof a === "string" ? tensors.get(a) : a)));
    });
    const plan = await Plan.make(device, c.file, dispatches);
    plan.run();
    for (const [name, want] of Object.entries(c.want)) {
      const got = await tensors.get(name)?.read();
      close(`${adapter}, ${label}: ${name}`, got ?? [], want, c.tolerance);
    }
    plan.destroy();
    for (const t of tensors.values()) t.destroy();
  }
}

async function programsOf(c: Comparison): Promise<Awaited<ReturnType<typeof loadPrograms>>["programs"]> {
  const url = new URL(c.file, new URL("../../examples/kernels/", import.meta.url)).href;
  return (await loadPrograms(url, [...new Set(c.calls.map(([name]) => name))])).programs;
}

function close(what: string, got: ArrayLike<number>, want: ArrayLike<number>, tolerance = 1e-5): void {
  expect(got.length, `${what}: elements`).toBe(want.length);
  const scale = Array.from(want).reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  for (let i = 0; i < want.length; i++) {
    const difference = Math.abs((got[i] ?? Number.NaN) - (want[i] ?? Number.NaN));
    if (!(difference <= tolerance * scale)) {
      expect.fail(`${what}[${i}]: expected ${want[i]}, got ${got[i]} (scale ${scale}, tolerance ${tolerance})`);
    }
  }
}
