/**
 * Random kernels that load and store one tensor, in one place and in several: in place, reversed, shifted, scattered,
 * in halves, in loops, under conditions.
 *
 * Most of them depend on an order that lanes do not keep, and the compiler must refuse those; what it takes must do
 * what its statements say, in their order, on every schedule. A single store never hits an element twice, so there is
 * always one right answer. All numbers are exact in f32.
 */
import type { Choices } from "./choices.ts";
import type { KernelPlan, TensorPlan } from "./generate.ts";

const HALVES: readonly number[] = [4, 1, 2, 3, 8, 16, 20, 32, 33, 48, 64, 96];

/**
 * A kernel called `name`: x [a, n] and y [a, n] are loaded and stored, c [a, n] counted in, and p [a, n] is a
 * permutation of each row; n = 2 h.
 */
export function order(c: Choices, name: string): KernelPlan {
  return new Orders(c, name).run();
}

class Orders {
  readonly #c: Choices;
  readonly #name: string;
  readonly #lines: string[] = [];
  /** Numbers that later sections may use. */
  readonly #numbers: string[] = ["1"];
  #names = 0;
  #h = 1;
  #turns: string | undefined;
  /** A place that the section comes back to, so that some of what is made can be taken. */
  #place = "";

  constructor(c: Choices, name: string) {
    this.#c = c;
    this.#name = name;
  }

  run(): KernelPlan {
    const c = this.#c;
    const h = c.of(HALVES);
    this.#h = h;
    const sizes = { a: 1 + c.below(3), n: 2 * h, h, one: 1 };
    const block = c.chance(15);
    this.#lines.push('const r = program("a");');
    if (block) this.#lines.push(`const i0 = block("n"${c.chance(50) ? "" : `, ${1 + c.below(2 * h)}`});`);
    const sections = 1 + c.below(3);
    for (let s = 0; s < sections; s++) this.#section(block);
    const tensors: TensorPlan[] = [
      { name: "x", dims: ["a", "n"], storage: "f32", output: true, fill: "values" },
      { name: "y", dims: ["a", "n"], storage: "f32", output: true, fill: "values" },
      { name: "c", dims: ["a", "n"], storage: "u32", output: true, fill: "values" },
      { name: "p", dims: ["a", "n"], storage: "u32", output: false, fill: "permutation" },
      { name: "w", dims: ["h"], storage: "f32", output: false },
      { name: "k", dims: ["one"], storage: "u32", output: false },
    ];
    const params = tensors.map((t) => `${t.name}: Tensor<"${t.dims.join(" ")}", ${t.storage}>`).join(", ");
    const body = this.#lines.map((l) => `  ${l}`).join("\n");
    const source = `export function ${this.#name}(${params}): void {\n${body}\n}\n`;
    return { name: this.#name, source, sizes, tensors, limit: undefined, inexact: false };
  }

  /**
   * Statements over one axis: all of a dim, blocks of it, or the part that the program owns; perhaps in a loop or under
   * a condition.
   */
  #section(block: boolean): void {
    const c = this.#c;
    const id = this.#names++;
    const half = !block && c.chance(35);
    const dim = half ? "h" : "n";
    // A lane holds no more than 64 elements of a tile, and all of it where no access walks along.
    const whole = c.chance(60) && !block && (half ? this.#h : 2 * this.#h) <= 64;
    let open = 0;
    this.#turns = undefined;
    if (c.chance(15)) {
      this.#lines.push(`if (k.at(0) > ${c.below(9)}) {`);
      open++;
    } else if (c.chance(20)) {
      this.#turns = `t${id}`;
      this.#lines.push(`for (const t${id} of range(${half && c.chance(60) ? 2 : 1 + c.below(3)})) {`);
      open++;
    }
    const i = block ? "i0" : `i${id}_`;
    const kept = open === 0 && !block && c.chance(50) ? `s${id}` : undefined;
    if (kept !== undefined && !whole) this.#lines.push(`let ${kept} = -1000;`);
    if (whole) this.#lines.push(`const ${i} = every("${dim}");`);
    else if (!block) {
      this.#lines.push(`for (const ${i} of over("${dim}")) {`);
      open++;
    }
    this.#place = this.#anew(i, half);
    const values: string[] = [`cast(${i} % 5, "f32")`];
    const statements = 1 + c.below(3);
    for (let n = 0; n < statements; n++) this.#statement(i, half, values);
    if (kept !== undefined) {
      const reduced = `amax(${values.at(-1)} + cast(${i} % 1, "f32"), "${dim}")`;
      this.#lines.push(whole ? `const ${kept} = ${reduced};` : `${kept} = max(${kept}, ${reduced});`);
    }
    if (c.chance(15) && !block) this.#scalar();
    for (; open > 0; open--) this.#lines.push("}");
    if (kept !== undefined) this.#numbers.push(kept);
  }

  #statement(i: string, half: boolean, values: string[]): void {
    const c = this.#c;
    const tensor = c.of(["x", "x", "y"]);
    const kind = c.below(6);
    if (kind === 5) {
      this.#lines.push(
        `c.${c.of(["add", "add", "max", "set"])}([r, ${this.#distinct(i, half)}], cast(${i} % 3, "u32"));`,
      );
      return;
    }
    if (kind <= 1) {
      const id = `v${this.#names++}`;
      this.#lines.push(`const ${id} = ${tensor}.at(r, ${this.#any(i, half)});`);
      values.push(id);
      return;
    }
    const value = c.of([
      c.of(values),
      `(${c.of(values)} + ${c.of(this.#numbers)})`,
      `(${c.of(values)} - ${c.of(values)})`,
      `max(${c.of(values)}, ${tensor}.at(r, ${this.#any(i, half)}))`,
      `(${tensor}.at(r, ${this.#any(i, half)}) + 1)`,
    ]);
    this.#lines.push(`${tensor}.set([r, ${this.#distinct(i, half)}], ${value});`);
  }

  /** A load and a store of single elements. */
  #scalar(): void {
    const c = this.#c;
    const id = `v${this.#names++}`;
    this.#lines.push(`const ${id} = x.at(r, ${c.below(2)});`);
    this.#lines.push(`${c.of(["x", "y"])}.set([r, ${c.below(2)}], ${id} + ${c.of(this.#numbers)});`);
  }

  /** A place for each element of the tile, no two alike. */
  #distinct(i: string, half: boolean): string {
    return this.#c.chance(70) ? this.#place : this.#anew(i, half);
  }

  #anew(i: string, half: boolean): string {
    const c = this.#c;
    const t = this.#turns;
    if (half) {
      const places = [i, `${i} + size("h")`, `2 * ${i}`, `2 * ${i} + 1`, `size("h") - 1 - ${i}`, `p.at(r, ${i})`];
      if (t !== undefined)
        places.push(`${t} % 2 * size("h") + ${i}`, `${i} * 2 + ${t} % 2`, `size("h") * ${t} % size("n") + ${i}`);
      return c.of(places);
    }
    const places = [
      i,
      i,
      i,
      `size("n") - 1 - ${i}`,
      `(${i} + ${1 + c.below(3)}) % size("n")`,
      `${i} ^ 1`,
      `p.at(r, ${i})`,
    ];
    if (t !== undefined) places.push(`(${i} + ${t}) % size("n")`);
    return c.of(places);
  }

  #any(i: string, half: boolean): string {
    const c = this.#c;
    return c.chance(88)
      ? this.#distinct(i, half)
      : c.of([`idiv(${i}, 2)`, `max(${i}, 1) - 1`, "0", "1", `${i} & 14`, `min(${i} + 1, size("n") - 1)`]);
  }
}
