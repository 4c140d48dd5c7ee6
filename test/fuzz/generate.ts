/**
 * Random well-typed kernels.
 *
 * Inputs are small multiples of 1/4 and arithmetic is + - * min max and friends, so every result is exact in f32
 * whatever the order of a sum: adapters and interpreter must agree bit for bit. What rounds (exp, sqrt, division) is
 * only put around a finished value and compared with a tolerance.
 */
import type { Choices } from "./choices.ts";
import { product } from "./products.ts";

export type Storage = "f32" | "f16" | "bf16" | "q8" | "q4" | "u32" | "i32";

export interface TensorPlan {
  readonly name: string;
  readonly dims: readonly string[];
  readonly storage: Storage;
  readonly output: boolean;
  /**
   * What it holds before, where that is not what the format suggests: a permutation of the places of each row, or (an
   * output) values as in an input.
   */
  readonly fill?: "values" | "permutation";
}

export interface KernelPlan {
  readonly name: string;
  readonly source: string;
  readonly sizes: Readonly<Record<string, number>>;
  readonly tensors: readonly TensorPlan[];
  /** Value of the scalar parameter `limit`. */
  readonly limit: number | undefined;
  /** Results are rounded differently on different adapters. */
  readonly inexact: boolean;
}

const SIZES: readonly number[] = [3, 1, 2, 4, 5, 7, 8, 12, 16, 17, 20, 31, 32, 33, 40, 64, 65, 96, 100, 128];

interface Variable {
  readonly text: string;
  readonly axes: readonly string[];
  readonly type: "f32" | "u32";
}

/** What is in scope: index names per dim, values made so far. */
interface Scope {
  readonly index: ReadonlyMap<string, { readonly text: string; readonly tile: boolean }>;
  readonly values: readonly Variable[];
}

export function generate(c: Choices, name: string): KernelPlan {
  if (c.chance(25)) return product(c, name);
  return new Generator(c, name).run();
}

class Generator {
  readonly #c: Choices;
  readonly #name: string;
  readonly #sizes: Record<string, number> = {};
  readonly #tensors: TensorPlan[] = [];
  readonly #lines: string[] = [];
  #depth = 1;
  #names = 0;
  #limit: number | undefined;
  #inexact = false;

  constructor(c: Choices, name: string) {
    this.#c = c;
    this.#name = name;
  }

  run(): KernelPlan {
    const c = this.#c;
    const dims = ["a", "b", "d"].slice(0, 1 + c.below(3));
    for (const d of dims) this.#sizes[d] = c.of(SIZES);
    // The last dim may be one that blocks of 32 fit.
    let scope: Scope = { index: new Map(), values: [] };
    for (const d of dims.slice(0, 1 + c.below(2))) {
      const kind = c.below(4);
      const id = this.#fresh("i");
      if (kind === 3 && scope.index.size > 0) break;
      if (kind === 0) this.#put(`const ${id} = block("${d}");`);
      else if (kind === 1) this.#put(`const ${id} = program("${d}");`);
      else this.#put(`const ${id} = block("${d}", ${1 + c.below(8)});`);
      scope = { ...scope, index: new Map([...scope.index, [d, { text: id, tile: kind !== 1 }]]) };
    }
    const statements = 1 + c.below(3);
    for (let i = 0; i < statements; i++) scope = this.#statement(scope, dims, 0);
    this.#store(scope, dims);
    for (const d of scope.index.keys())
      if (!this.#tensors.some((t) => t.dims.includes(d))) this.#tensor([d], "f32", false);
    const params = this.#tensors.map((t) => `${t.name}: Tensor<"${t.dims.join(" ")}", ${t.storage}>`);
    if (this.#limit !== undefined) params.push("limit: Scalar<u32>");
    const source = `export function ${this.#name}(${params.join(", ")}): void {\n${this.#lines.join("\n")}\n}\n`;
    return {
      name: this.#name,
      source,
      sizes: this.#sizes,
      tensors: this.#tensors,
      limit: this.#limit,
      inexact: this.#inexact,
    };
  }

  #fresh(hint: string): string {
    return `${hint}${this.#names++}`;
  }

  #put(line: string): void {
    this.#lines.push("  ".repeat(this.#depth) + line);
  }

  /** A declaration, a loop with an accumulator, or a branch. */
  #statement(scope: Scope, dims: readonly string[], nesting: number): Scope {
    const c = this.#c;
    const kind = c.below(nesting > 1 ? 1 : 5);
    if (kind === 0 || kind === 4) {
      const v = this.#expression(scope, dims, 2);
      const id = this.#fresh("v");
      this.#put(`const ${id} = ${v.text};`);
      return { ...scope, values: [...scope.values, { ...v, text: id }] };
    }
    const acc = this.#fresh("acc");
    if (kind === 3) {
      const start = this.#expression(scope, dims, 1);
      this.#put(`let ${acc} = ${start.text};`);
      const test = scope.index.get(dims[0] ?? "");
      const cond =
        test !== undefined && !test.tile ? `${test.text} < ${c.below(4)}` : `${this.#count()} > ${c.below(4)}`;
      this.#put(`if (${cond}) {`);
      this.#depth++;
      const more = this.#expression(scope, dims, 1);
      this.#put(`${acc} = ${more.type === start.type ? more.text : start.text};`);
      this.#depth--;
      this.#put("}");
      const axes = [...new Set([...start.axes, ...(more.type === start.type ? more.axes : [])])];
      return { ...scope, values: [...scope.values, { text: acc, axes, type: start.type }] };
    }
    const free = dims.filter((d) => !scope.index.has(d));
    const d = free[c.below(Math.max(1, free.length))];
    if (kind === 2 || d === undefined) {
      const id = this.#fresh("n");
      this.#put(`let ${acc} = ${c.of(["0", "1", "0.5"])};`);
      this.#put(`for (const ${id} of range(${1 + c.below(4)})) {`);
      this.#depth++;
      const v = this.#float(this.#expression(scope, dims, 1));
      this.#put(`${acc} += ${v.text}${c.chance(30) ? ` * cast(${id}, "f32")` : ""};`);
      this.#depth--;
      this.#put("}");
      return { ...scope, values: [...scope.values, { text: acc, axes: v.axes, type: "f32" }] };
    }
    return this.#over(scope, dims, d, acc, nesting);
  }

  #over(scope: Scope, dims: readonly string[], d: string, acc: string, nesting: number): Scope {
    const c = this.#c;
    const reduction = c.of(["sum", "amax", "amin"]);
    const extra = c.chance(30) ? this.#fresh("m") : undefined;
    this.#put(`let ${acc} = ${reduction === "sum" ? "0" : reduction === "amax" ? "-1000" : "1000"};`);
    if (extra !== undefined) this.#put(`let ${extra} = -1000;`);
    const list = c.chance(15) ? [this.#fresh("best"), this.#fresh("at")] : undefined;
    if (list !== undefined) {
      this.#sizes.k ??= 1 + c.below(6);
      if (!this.#tensors.some((t) => t.dims.includes("k"))) this.#tensor(["k"], "f32", false);
      this.#put(`let [${list.join(", ")}] = emptyTopk("k");`);
    }
    const id = this.#fresh("o");
    let limit = "";
    if (c.chance(30)) {
      this.#limit ??= c.below((this.#sizes[d] ?? 1) + 1);
      if (this.#limit <= (this.#sizes[d] ?? 0)) limit = ", limit";
    }
    this.#put(`for (const ${id} of over("${d}"${limit})) {`);
    this.#depth++;
    let inner: Scope = { ...scope, index: new Map([...scope.index, [d, { text: id, tile: true }]]) };
    if (c.chance(40)) inner = this.#statement(inner, dims, nesting + 1);
    // How many blocks a loop has is the compiler's choice, so what is gathered must not depend on it: every turn
    // reduces over the loop's own dim.
    const found = this.#float(this.#expression(inner, dims, 2));
    const has = found.axes.includes(d);
    const v = has
      ? found
      : { text: `(${found.text} + cast(${id} % 1, "f32"))`, axes: [...found.axes, d], type: "f32" as const };
    const reduced = `${reduction}(${v.text}, "${d}")`;
    this.#put(
      reduction === "sum"
        ? `${acc} += ${reduced};`
        : `${acc} = ${reduction === "amax" ? "max" : "min"}(${acc}, ${reduced});`,
    );
    if (extra !== undefined) this.#put(`${extra} = max(${extra}, amax(${v.text}, "${d}") + ${c.below(3)});`);
    if (list !== undefined) this.#put(`[${list.join(", ")}] = topk(${v.text}, ${id}, [${list.join(", ")}], "${d}");`);
    this.#depth--;
    this.#put("}");
    // A loop over a dim that no tensor has is refused; an argument that nobody reads must do no harm.
    if (!this.#tensors.some((t) => t.dims.includes(d))) this.#tensor([d], "f32", false);
    const axes = v.axes.filter((a) => a !== d);
    const made: Variable[] = [{ text: acc, axes, type: "f32" }];
    if (extra !== undefined) made.push({ text: extra, axes, type: "f32" });
    if (list !== undefined) {
      // Weighted, so that the order counts; places that nothing took hold numbers that would drown the others.
      const weight = `cast(every("k") + 1, "f32")`;
      made.push({ text: `sum(max(${list[0]}, -1000) * ${weight}, "k")`, axes, type: "f32" });
      made.push({ text: `sum(cast(min(${list[1]}, 4095), "f32") * ${weight}, "k")`, axes, type: "f32" });
    }
    return { ...scope, values: [...scope.values, ...made] };
  }

  /** A scalar that is not known when compiling: an element of a tensor. */
  #count(): string {
    const t = this.#tensor(["one"], "u32", false);
    return `${t.name}.at(0)`;
  }

  #tensor(dims: readonly string[], storage: Storage, output: boolean): TensorPlan {
    if (dims.includes("one")) this.#sizes.one = 1;
    // Adapters allow 12 tensors a kernel and fewer: with many in use, inputs are read again instead.
    const again = this.#tensors.find((t) => !t.output && t.storage === storage && t.dims.join() === dims.join());
    if (!output && this.#tensors.length >= 5 && again !== undefined) return again;
    const made: TensorPlan = { name: this.#fresh(output ? "y" : "x"), dims, storage, output };
    this.#tensors.push(made);
    return made;
  }

  #float(v: Variable): Variable {
    return v.type === "f32" ? v : { ...v, text: `cast(${v.text}, "f32")`, type: "f32" };
  }

  #expression(scope: Scope, dims: readonly string[], depth: number): Variable {
    const c = this.#c;
    const kind = depth <= 0 ? c.below(2) : c.below(9);
    if (kind === 0) return this.#load(scope, dims);
    if (kind === 1) {
      const usable = scope.values;
      return usable.length > 0 ? c.of(usable) : this.#load(scope, dims);
    }
    if (kind === 2) {
      const entry = c.of([...scope.index.values()]);
      if (entry === undefined) return this.#load(scope, dims);
      const d = [...scope.index].find(([, e]) => e === entry)?.[0] ?? "";
      return { text: `(${entry.text} % ${2 + c.below(6)})`, axes: entry.tile ? [d] : [], type: "u32" };
    }
    if (kind === 3) {
      const x = this.#float(this.#expression(scope, dims, depth - 1));
      return {
        ...x,
        text: c.of([
          `(${x.text} * 0.5)`,
          `abs(${x.text})`,
          `(-${x.text})`,
          `min(${x.text}, 3)`,
          `max(${x.text}, -2)`,
          `floor(${x.text})`,
          `round(${x.text})`,
        ]),
      };
    }
    if (kind === 4) {
      // A whole dim, reduced at once.
      const free = dims.filter((d) => !scope.index.has(d) && (this.#sizes[d] ?? 0) <= 64);
      const d = free[c.below(Math.max(1, free.length))];
      if (d === undefined) return this.#load(scope, dims);
      const storage = c.of(["f32", "f16", "u32"] as const);
      const t = this.#tensor([d], storage, false);
      const fn = c.of(["sum", "amax", "amin", "argmax", "argmin"]);
      if (fn.startsWith("arg")) return { text: `${fn}(${t.name}.at(), every("${d}"))`, axes: [], type: "u32" };
      return { text: `${fn}(${t.name}.at())`, axes: [], type: storage === "u32" ? "u32" : "f32" };
    }
    const a = this.#expression(scope, dims, depth - 1);
    const b = this.#expression(scope, dims, depth - 1);
    const axes = [...new Set([...a.axes, ...b.axes])];
    if (axes.length > 2) return a;
    if (kind === 5) {
      const [x, y] = [this.#float(a), this.#float(b)];
      return {
        text: `select(${a.type === b.type ? `${a.text} ${c.of(["<", "<=", ">", "===", "!=="])} ${b.text}` : `${x.text} < ${y.text}`}, ${x.text}, ${y.text})`,
        axes,
        type: "f32",
      };
    }
    if (a.type === "u32" && b.type === "u32" && c.chance(50)) {
      return { text: `(${a.text} ${c.of(["&", "|", "^", "+"])} ${b.text})`, axes, type: "u32" };
    }
    const [x, y] = [this.#float(a), this.#float(b)];
    if (kind === 6) return { text: `(${x.text} + ${y.text})`, axes, type: "f32" };
    if (kind === 7) return { text: `(${x.text} - ${y.text})`, axes, type: "f32" };
    return { text: `(min(max(${x.text}, -4), 4) * min(max(${y.text}, -4), 4))`, axes, type: "f32" };
  }

  /** A load by indices in scope, sometimes through a computed one (a gather). */
  #load(scope: Scope, dims: readonly string[]): Variable {
    const c = this.#c;
    const known = dims.filter((d) => scope.index.has(d));
    const pick = known.filter(() => c.chance(60)).slice(0, 2);
    const used = pick.length > 0 ? pick : known.slice(-1);
    if (used.length === 0) {
      const t = this.#tensor(["one"], "f32", false);
      return { text: `${t.name}.at(0)`, axes: [], type: "f32" };
    }
    const order = c.chance(30) ? [...used].reverse() : used;
    const last = this.#sizes[order.at(-1) ?? ""] ?? 0;
    const storages: Storage[] = ["f32", "f16", "bf16", "u32", "i32"];
    if (last % 32 === 0) storages.push("q8", "q4");
    const storage = this.#tensors.length < 8 ? c.of(storages) : "f32";
    if (
      this.#tensors.length >= 8 &&
      !this.#tensors.some((t) => !t.output && t.storage === "f32" && t.dims.join() === order.join())
    )
      return { text: "0.5", axes: [], type: "f32" };
    const t = this.#tensor(order, storage, false);
    const axes: string[] = [];
    const index = order.map((d) => {
      const entry = scope.index.get(d);
      if (entry === undefined) return "0";
      if (entry.tile) axes.push(d);
      const n = this.#sizes[d] ?? 1;
      return c.chance(12) ? `(${n - 1} - ${entry.text} % ${n})` : entry.text;
    });
    const text = `${t.name}.at(${index.join(", ")})`;
    return { text: storage === "i32" ? `cast(${text}, "f32")` : text, axes, type: storage === "u32" ? "u32" : "f32" };
  }

  #store(scope: Scope, dims: readonly string[]): void {
    const c = this.#c;
    const known = dims.filter((d) => scope.index.has(d));
    const outputs = 1 + c.below(2);
    for (let i = 0; i < outputs; i++) {
      let v: Variable = scope.values[scope.values.length - 1 - i] ?? this.#expression(scope, dims, 2);
      if (v.type === "f32" && c.chance(25)) {
        this.#inexact = true;
        const x = `min(max(${v.text}, -8), 8)`;
        v = {
          ...v,
          text: c.of([`exp(${x})`, `sqrt(abs(${x}))`, `(1 / (abs(${x}) + 1))`, `tanh(${x})`, `log(abs(${x}) + 1)`]),
        };
      }
      const target = known.length > 0 ? known : ["one"];
      const t = this.#tensor(target, v.type, true);
      const index = target.map((d) => scope.index.get(d)?.text ?? "0");
      this.#put(`${t.name}.set([${index.join(", ")}], ${v.text});`);
    }
  }
}
