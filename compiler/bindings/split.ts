/**
 * Tensors that are longer than a binding may be (128 MiB on some adapters, and in browsers unless more is asked for):
 * several bindings of one buffer.
 *
 * Each is a window of so many words. A load reads the same element of every window, held to its end, and takes the one
 * that the index means: WGSL has no choice of bindings at run time, and a branch is no cheaper where lanes go different
 * ways. So a load costs as many loads as there are windows, all but one of them of a word that is at hand. Only what is
 * never written is bound like this.
 */
import type { Packing } from "../ir/binding.ts";
import { elementCount, perWord, wordType } from "../ir/formats.ts";
import type { Atom, Buffer, LaneProgram, Rhs, Stmt } from "../ir/lane/program.ts";
import { constant, U32 } from "../ir/lane/program.ts";
import { Rewriter } from "../ir/lane/traverse.ts";

/** The program with the windows in place of what they are windows of. */
export function part(program: LaneProgram, packing: Packing | undefined): LaneProgram {
  const windows = new Map<string, readonly Buffer[]>();
  const buffers = program.buffers.flatMap((b) => {
    const words = packing?.parted?.find((p) => p.name === b.name)?.words;
    if (words === undefined) return [b];
    if (b.writes) throw new Error(`kernel ${program.name}: "${b.name}" is written, and cannot be bound in parts`);
    const made = windowsOf(b, words);
    windows.set(b.name, made);
    return made;
  });
  return windows.size === 0 ? program : { ...program, buffers, body: new Parter(windows).region(program.body) };
}

function windowsOf(b: Buffer, words: number): Buffer[] {
  const wide = b.unit / perWord(b.storage);
  if (!(words > 0) || words % 64 !== 0) throw new Error(`windows of ${words} words on "${b.name}"`);
  const all = elementCount(b) * wide;
  return Array.from({ length: Math.ceil(all / words) }, (_, i) => ({
    // No parameter has a name that begins with a number.
    name: `${i}${b.name}`,
    storage: wordType(b.storage),
    unit: wide as Buffer["unit"],
    elements: Math.min(words, all - i * words),
    writes: false,
    atomic: false,
    ...(b.writable ? { writable: true } : {}),
    window: { of: b.name, storage: b.storage, at: i * words },
  }));
}

class Parter extends Rewriter {
  readonly #windows: ReadonlyMap<string, readonly Buffer[]>;

  constructor(windows: ReadonlyMap<string, readonly Buffer[]>) {
    super("v");
    this.#windows = windows;
  }

  protected override load(s: Stmt & { op: "let" }, rhs: Rhs & { op: "load" }): void {
    const windows = this.#windows.get(rhs.buffer);
    if (windows === undefined) {
      this.push(s);
      return;
    }
    const each = elementCount(windows[0] as Buffer);
    if (rhs.index.kind === "const") {
      const which = Math.min(windows.length - 1, Math.floor(rhs.index.value / each));
      const index = constant(rhs.index.value - which * each, U32);
      this.push({ ...s, rhs: { ...rhs, buffer: (windows[which] as Buffer).name, index } });
      return;
    }
    let chosen: Atom | undefined;
    for (const [i, w] of windows.entries()) {
      // Below its start the difference wraps around and is held to the end, too.
      const own = this.binary("min", this.binary("sub", rhs.index, i * each), elementCount(w) - 1);
      const load: Rhs = { ...rhs, buffer: w.name, index: own };
      const last = i === windows.length - 1;
      if (chosen === undefined) {
        if (last) this.push({ ...s, rhs: load });
        else chosen = this.let(load, s.type);
        continue;
      }
      const pick: Rhs = {
        op: "select",
        cond: this.binary("ge", rhs.index, i * each),
        yes: this.let(load, s.type),
        no: chosen,
      };
      if (last) this.push({ ...s, rhs: pick });
      else chosen = this.let(pick, s.type);
    }
  }
}
