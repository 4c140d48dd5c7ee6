/**
 * The interpreter of the lane IR: what every lane of every program does, one statement after the other, all lanes in
 * step.
 *
 * The tile interpreter says what a kernel means; this one says what the compiler made of it, without an adapter, for
 * any number of lanes. It is stricter than a GPU: values that nothing defines poison what uses them, stores out of
 * range are errors instead of being clamped, and two lanes that write one word, or read what another lane of the same
 * dispatch has written, are told apart from lanes that keep to themselves. The idea of a software twin of the device
 * that defines the operations is tinygrad's.
 */

import type { LaneProgram } from "../../ir/lane/program.ts";
import type { HostTensor } from "../interpret.ts";
import { decodeBuffer, encodeBuffer } from "./buffers.ts";
import { Simulator } from "./simulator.ts";

/**
 * Runs all programs of a dispatch over raw buffers, in place. `buffers` holds the words of each buffer by its name, in
 * the storage layout, without padding; `scalars` the uniforms. Throws an Error that names the kernel, the buffer and
 * the lane when the program does what no adapter promises.
 */
export function simulate(
  program: LaneProgram,
  buffers: Readonly<Record<string, Uint32Array>>,
  scalars: Readonly<Record<string, number>> = {},
): void {
  new Simulator(program, buffers, scalars).run();
}

/** `simulate` on host tensors, in place; scalars that the program reads from memory are taken from `scalars` too. */
export function simulateTensors(
  program: LaneProgram,
  tensors: Readonly<Record<string, HostTensor>>,
  scalars: Readonly<Record<string, number>> = {},
): void {
  const words = new Map<string, Uint32Array>();
  const buffers: Record<string, Uint32Array> = {};
  for (const b of program.buffers) {
    // Between the parts of a pack lies what nobody should use.
    const whole = b.members === undefined ? undefined : new Uint32Array(b.elements).fill(NOTHING);
    if (b.window !== undefined) {
      // Parts are only read; the last one may end in padding.
      const { of: name, storage, at } = b.window;
      const all = encodeBuffer(tensors[name] ?? cellOf(program, { name, storage }, scalars));
      buffers[b.name] = new Uint32Array(b.elements).fill(NOTHING);
      buffers[b.name]?.set(all.subarray(at, at + b.elements));
      continue;
    }
    for (const m of b.members ?? [{ ...b, at: 0 }]) {
      const own = encodeBuffer(tensors[m.name] ?? cellOf(program, m, scalars));
      whole?.set(own, m.at);
      words.set(m.name, whole?.subarray(m.at, m.at + own.length) ?? own);
    }
    buffers[b.name] = whole ?? (words.get(b.name) as Uint32Array);
  }
  simulate(program, buffers, scalars);
  for (const b of program.buffers) {
    for (const { name } of b.writes ? (b.members ?? [b]) : []) {
      const t = tensors[name];
      if (t !== undefined) t.data.set(decodeBuffer(words.get(name) as Uint32Array, t.storage, t.data.length));
    }
  }
}

/** A NaN, as bits. */
const NOTHING = 0x7fc00000;

function cellOf(
  program: LaneProgram,
  b: { readonly name: string; readonly storage: HostTensor["storage"] },
  scalars: Readonly<Record<string, number>>,
): HostTensor {
  const cell = scalars[b.name];
  if (cell === undefined) throw new Error(`${program.name}: no tensor "${b.name}"`);
  return { shape: [1], storage: b.storage, data: new Float32Array([cell]) };
}
