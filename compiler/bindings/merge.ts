/**
 * Buffer-binding packing: several buffers of a lane program become ranges of one.
 *
 * Until here every parameter is a buffer of its own, so that what is never written stays free to be moved and shared;
 * now loads and stores of packed ones get the word at which their buffer starts in the common binding. That is bound as
 * vectors as wide as it is read with, and as bits where its parts differ in type.
 */
import type { Packing } from "../ir/binding.ts";
import { perWord, wordType } from "../ir/formats.ts";
import type { Atom, Buffer, LaneProgram, LaneType, Rhs, Stmt, Width } from "../ir/lane/program.ts";
import { constant, U32, vector } from "../ir/lane/program.ts";
import { Rewriter } from "../ir/lane/traverse.ts";
import { verifyPacking, wordsOf } from "./plan.ts";

/** The program with the packing's bindings: first what is bound alone, in its order, then the packs. */
export function pack(program: LaneProgram, packing: Packing | undefined): LaneProgram {
  if (packing === undefined || packing.packs.length === 0) return program;
  verifyPacking(program, packing);
  const places = new Map<string, Place>();
  const packs = packing.packs.map((members, i): Buffer => {
    const parts = members.map(({ name, at }) => ({ at, buffer: bufferOf(program, name) }));
    const bases = new Set(parts.map((p) => baseOf(p.buffer)));
    const [only = "u32"] = bases;
    const into: Buffer = {
      // No parameter has a number for a name.
      name: String(i),
      storage: bases.size === 1 ? only : "u32",
      unit: widthOf(
        program,
        parts.map((p) => p.buffer),
      ),
      elements: Math.ceil(Math.max(...parts.map((p) => p.at + wordsOf(p.buffer))) / 4) * 4,
      writes: parts.some((p) => p.buffer.writes),
      atomic: false,
      ...(parts.some((p) => p.buffer.writable) ? { writable: true } : {}),
      members: parts.map(({ at, buffer }) => ({ name: buffer.name, storage: buffer.storage, at })),
    };
    for (const { at, buffer } of parts) places.set(buffer.name, { buffer, into, at });
    return into;
  });
  const alone = program.buffers.filter((b) => !places.has(b.name));
  return { ...program, buffers: [...alone, ...packs], body: new Packer(places).region(program.body) };
}

/** Where a buffer lies in its pack, in words. */
interface Place {
  readonly buffer: Buffer;
  readonly into: Buffer;
  readonly at: number;
}

function bufferOf(program: LaneProgram, name: string): Buffer {
  const found = program.buffers.find((b) => b.name === name);
  if (found === undefined) throw new Error(`kernel ${program.name}: no buffer "${name}" to pack`);
  return found;
}

function baseOf(b: Buffer): "f32" | "u32" | "i32" {
  return wordType(b.storage);
}

/** Words in one element. */
function wide(b: Buffer): Width {
  return (b.unit / perWord(b.storage)) as Width;
}

/**
 * Words in an element of a pack: as many as are loaded at once from any of its parts, so that wide loads stay wide. But
 * none more than the narrowest part that is written has, because writing a component may touch the whole vector, and
 * another lane may be writing its neighbour.
 */
function widthOf(program: LaneProgram, parts: readonly Buffer[]): Width {
  const loaded = new Set<string>();
  const look = (stmts: readonly Stmt[]): void => {
    for (const s of stmts) {
      if (s.op === "let" && s.rhs.op === "load" && s.rhs.part === undefined) loaded.add(s.rhs.buffer);
      if (s.op === "for") look(s.body);
      if (s.op === "if") look([...s.yes, ...s.no]);
    }
  };
  look(program.body);
  const most = Math.max(1, ...parts.map((b) => (loaded.has(b.name) ? wide(b) : 1)));
  return Math.min(most, ...parts.map((b) => (b.writes ? wide(b) : 4))) as Width;
}

class Packer extends Rewriter {
  readonly #places: ReadonlyMap<string, Place>;

  constructor(places: ReadonlyMap<string, Place>) {
    super("w");
    this.#places = places;
  }

  /** Elements of the pack, and components of them, that hold what an access names; in order. */
  #pieces(p: Place, index: Atom, part: Atom | undefined): { readonly index: Atom; readonly part?: Atom }[] {
    const [w, W] = [wide(p.buffer), wide(p.into)];
    if (part === undefined && w >= W) {
      const first = this.binary("add", this.binary("mul", index, w / W), p.at / W);
      return Array.from({ length: w / W }, (_, i) => ({ index: this.binary("add", first, i) }));
    }
    if (part !== undefined && w === W) return [{ index: this.binary("add", index, p.at / W), part }];
    const word = this.binary("add", this.binary("mul", index, w), p.at);
    const words =
      part === undefined ? Array.from({ length: w }, (_, i) => this.binary("add", word, i)) : [this.sum(word, part)];
    return words.map((at) =>
      W === 1 ? { index: at } : { index: this.binary("shr", at, Math.log2(W)), part: this.binary("and", at, W - 1) },
    );
  }

  protected override load(s: Stmt & { op: "let" }, rhs: Rhs & { op: "load" }): void {
    const p = this.#places.get(rhs.buffer);
    if (p === undefined) {
      this.push(s);
      return;
    }
    const base = baseOf(p.into);
    const pieces = this.#pieces(p, rhs.index, rhs.part);
    const width = (s.type.width / pieces.length) as Width;
    const loads = pieces.map((at): Rhs => ({ op: "load", buffer: p.into.name, ...at }));
    const atoms = loads.map((load): Atom => {
      // What is loaded whole and needs no bitcast keeps its name.
      if (loads.length === 1 && base === s.type.base) {
        this.push({ ...s, rhs: load });
        return { kind: "ref", name: s.name, type: s.type, depth: 0 };
      }
      const type = vector(base, width);
      return this.let(load, type);
    });
    const [only] = atoms;
    if (only?.kind === "ref" && only.name === s.name) return;
    const whole =
      atoms.length === 1 && only !== undefined ? only : this.#composed(atoms, vector(base, s.type.width), s);
    if (base !== s.type.base) this.push({ ...s, rhs: { op: "bitcast", x: whole } });
  }

  /** Parts put together: under the load's own name where nothing is left to do. */
  #composed(parts: readonly Atom[], type: LaneType, s: Stmt & { op: "let" }): Atom {
    const rhs: Rhs = { op: "compose", parts };
    if (type.base !== s.type.base) return this.let(rhs, type);
    this.push({ ...s, rhs });
    return { kind: "ref", name: s.name, type, depth: 0 };
  }

  protected override store(s: Stmt & { op: "store" }): void {
    const p = this.#places.get(s.buffer);
    if (p === undefined) {
      this.push(s);
      return;
    }
    const base = baseOf(p.into);
    const { width } = s.value.type;
    const bits = this.#bits(s.value, base);
    const pieces = this.#pieces(p, s.index, s.part);
    const each = (width / pieces.length) as Width;
    for (const [i, at] of pieces.entries()) {
      const parts = Array.from({ length: each }, (_, c) => this.#component(bits, i * each + c));
      const value = pieces.length === 1 ? bits : this.#joined(parts);
      this.push({ op: "store", buffer: p.into.name, ...at, value });
    }
  }

  #bits(x: Atom, base: "f32" | "u32" | "i32"): Atom {
    if (x.type.base === base) return x;
    const type = vector(base, x.type.width);
    // A constant is given a name first, since WGSL refuses to compute some of what has only constants.
    const from = x.kind === "ref" ? x : this.let({ op: "copy", x }, x.type);
    return this.let({ op: "bitcast", x: from }, type);
  }

  #component(x: Atom, at: number): Atom {
    const type = vector(x.type.base, 1);
    if (x.type.width === 1) return x;
    if (x.kind === "const") return constant(x.value, type);
    return this.once({ op: "pick", x, at: constant(at, U32) }, type, `pick ${x.name} ${at}`);
  }

  #joined(parts: readonly Atom[]): Atom {
    const [first] = parts;
    if (first === undefined) throw new Error("a store of nothing");
    if (parts.length === 1) return first;
    const type = vector(first.type.base, parts.length as Width);
    return this.let({ op: "compose", parts }, type);
  }
}
