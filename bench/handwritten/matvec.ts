/**
 * Matrix-vector products by hand, in the two shapes that win.
 *
 * "k": the lanes of a program walk along k side by side, each with 16-byte loads, and meet in one subgroupAdd a row.
 * "rows": every lane owns rows of its own; x is loaded once a subgroup, a piece a lane, and handed around by
 * subgroupBroadcast. The second spares software adapters, which load memory lane by lane, most loads of x: these
 * outnumber the loads of the weights as soon as a weight takes less than a word. Either way a row's sum is one scalar:
 * software adapters blend every live register in every turn of a loop, so a vector of partial sums costs four blends
 * where a scalar costs one.
 */
import { binding, frame, type Handwritten, type Machine, repeat } from "./shader.ts";

export type WeightFormat = "f32" | "f16" | "q8" | "q4";

/** The knobs that were tried; `best` holds what won. */
export interface MatvecShape {
  /** What lies across the lanes of a subgroup. */
  readonly across: "k" | "rows";
  /** Rows of a program ("k") or of a lane ("rows"). */
  readonly rows: number;
  readonly workgroup: number;
  /** "rows" only: components and loads of x that a lane fetches in one turn. */
  readonly x?: readonly [width: 1 | 4, loads: number];
  /**
   * q8, q4 and f16: whether elements are masked where they lie in their word, their place being divided out of x, or
   * moved to its low end first.
   */
  readonly inPlace?: boolean;
}

/** Elements in 16 bytes. */
const PIECE: Readonly<Record<WeightFormat, number>> = { f32: 4, f16: 8, q8: 16, q4: 32 };
/** Elements that share a scale. */
const BLOCK = 32;
const C = "xyzw";

/** y[rows] = w[rows, k] · x[k]; both sizes must be multiples of what the shape takes at once. */
export function matvec(
  machine: Machine,
  format: WeightFormat,
  rows: number,
  k: number,
  shape: MatvecShape = best(machine, format),
): Handwritten {
  const W = machine.subgroup;
  const per = PIECE[format];
  const row = k / per;
  const byRows = shape.across === "rows";
  const [width, loads] = shape.x ?? [4, 1];
  // Elements of a row that one turn takes: everything the subgroup fetched of x, or one lane's 16 bytes.
  const turn = byRows ? W * width * loads : per;
  const pieces = turn / per;
  const quantised = format === "q8" || format === "q4";
  const scales = quantised ? (rows * k) / BLOCK / 8 : 0;
  const declarations = [
    binding(0, "w", format === "f32" ? "vec4<f32>" : "vec4<u32>", (rows * k) / per + scales),
    binding(1, "x", byRows && width === 1 ? "f32" : "vec4<f32>", byRows && width === 1 ? k : k / 4),
    binding(2, "y", "f32", rows, true),
  ].join("\n");
  const all = (text: (r: number) => string): string => repeat(shape.rows, text);
  const decoder = new Decoder(format, shape.inPlace === true, turn, rows * k);
  const first = byRows ? `(pid * ${W}u + lane) * ${shape.rows}u` : `pid * ${shape.rows}u`;
  const body = `
  let first = ${first};
  ${all((r) => `var sum${r} = 0.0f;`)}
  ${all((r) => `var at${r} = (first + ${r}u) * ${row}u${byRows ? "" : " + lane"};`)}
  for (var i = ${byRows ? "0u" : "lane"}; i < ${row}u; i += ${byRows ? pieces : W}u) {
    ${byRows ? shared(W, width, loads, per) : repeat(per / 4, (v) => `let x${v} = x[i * ${per / 4}u + ${v}u];`)}
    ${decoder.before()}
    ${all((r) => `{ ${decoder.row(r)} }`)}
    ${all((r) => `at${r} += ${byRows ? pieces : W}u;`)}
  }
  ${all((r) => `let whole${r} = ${byRows ? `sum${r}` : `subgroupAdd(sum${r})`};`)}
  ${byRows ? "" : "if (lane != 0u) { return; }"}
  ${all((r) => `y[first + ${r}u] = whole${r};`)}`;
  const each = byRows ? W * shape.rows : shape.rows;
  return {
    code: frame(machine, W, shape.workgroup, declarations, body),
    workgroups: [rows / each / (shape.workgroup / W), 1],
  };
}

/** One turn's x in every lane: vectors x0, x1, … */
function shared(W: number, width: 1 | 4, loads: number, per: number): string {
  const fetched = repeat(loads, (n) => `let mine${n} = x[i * ${per / width}u + ${n * W}u + lane];`, " ");
  const from = (e: number): string => `subgroupBroadcast(mine${Math.floor(e / W)}, ${e % W}u)`;
  const vector = (v: number): string =>
    width === 4 ? from(v) : `vec4<f32>(${repeat(4, (j) => from(v * 4 + j), ", ")})`;
  return `${fetched}\n    ${repeat((W * width * loads) / 4, (v) => `let x${v} = ${vector(v)};`, "\n    ")}`;
}

/** One turn of one row: its 16-byte pieces times x0, x1, …, added to its sum. */
class Decoder {
  readonly #format: WeightFormat;
  readonly #inPlace: boolean;
  readonly #turn: number;
  readonly #elements: number;

  constructor(format: WeightFormat, inPlace: boolean, turn: number, elements: number) {
    this.#format = format;
    this.#inPlace = inPlace;
    this.#turn = turn;
    this.#elements = elements;
  }

  /** What depends on x alone and is shared by the rows. */
  before(): string {
    const lines: string[] = [];
    const vectors = this.#turn / 4;
    const blocks = Math.max(1, this.#turn / BLOCK);
    const total = (b: number): string => repeat(vectors / blocks, (v) => `x${(b * vectors) / blocks + v}`, " + ");
    // Nibbles stand for -8 … 7: eight times the sum of a block's x comes off once, instead of eight off every element.
    // In place, bytes have an offset too.
    if (this.#format === "q4" && !this.#inPlace)
      lines.push(repeat(blocks, (b) => `let less${b} = 8.0f * dot(${total(b)}, vec4<f32>(1.0f));`));
    if (!this.#inPlace) return lines.join("\n    ");
    if (this.#format === "q8")
      lines.push(repeat(blocks, (b) => `let less${b} = dot(${total(b)}, vec4<f32>(128.0f, 128.0f, 128.0f, 0.0f));`));
    const odd = (b: number, parity: number): string =>
      repeat(vectors / blocks / 2, (v) => `x${(b * vectors) / blocks + 2 * v + parity}`, " + ");
    if (this.#format === "q4")
      lines.push(
        repeat(
          blocks,
          (b) =>
            `let less${b} = 8.0f * (dot(${odd(b, 0)}, vec4<f32>(1.0f)) + dot((${odd(b, 1)}).xyz, vec3<f32>(1.0f)));`,
        ),
      );
    const place = (v: number): string => {
      if (this.#format === "f16") return "5.192296858534828e33f";
      const first = this.#format === "q4" && v % 2 === 1 ? 4 : 0;
      return repeat(4, (j) => `${2 ** -(first + 8 * j)}f`, ", ");
    };
    lines.push(repeat(vectors, (v) => `let y${v} = x${v} * vec4<f32>(${place(v)});`, "\n    "));
    return lines.join("\n    ");
  }

  row(r: number): string {
    const pieces = this.#turn / PIECE[this.#format];
    const load = repeat(pieces, (p) => `let q${p} = w[at${r} + ${p}u];`, " ");
    const quantised = this.#format === "q8" || this.#format === "q4";
    if (!quantised) return `${load} sum${r} += ${this.#products(0, this.#turn / 4)};`;
    // at counts pieces: how many of them make a block?
    const shift = this.#format === "q8" ? 1 : 0;
    const start = this.#elements / PIECE[this.#format];
    const less = this.#format === "q4" || this.#inPlace;
    if (this.#turn <= BLOCK) {
      return `${load} let block = at${r}${shift === 0 ? "" : ` >> ${shift}u`}; let scales = w[${start}u + (block >> 3u)][(block >> 1u) & 3u];
      sum${r} += unpack2x16float(scales >> ((block & 1u) << 4u)).x * (${this.#products(0, this.#turn / 4)}${less ? " - less0" : ""});`;
    }
    const blocks = this.#turn / BLOCK;
    const each = BLOCK / 4;
    return `${load} let pair = at${r} >> ${shift + 1}u;
      ${repeat(blocks / 2, (p) => `let scales${p} = unpack2x16float(w[${start}u + ((pair + ${p}u) >> 2u)][(pair + ${p}u) & 3u]);`, " ")}
      sum${r} += ${repeat(blocks, (b) => `scales${b >> 1}.${C[b & 1]} * (${this.#products(b * each, each)}${less ? ` - less${b}` : ""})`, " + ")};`;
  }

  #products(from: number, count: number): string {
    const x = this.#inPlace ? "y" : "x";
    return repeat(count, (v) => `dot(${this.#four(from + v)}, ${x}${from + v})`, " + ");
  }

  /** Elements 4v … 4v + 3 of the turn as a vec4<f32>. */
  #four(v: number): string {
    const word = (j: number): string => `q${j >> 2}.${C[j & 3]}`;
    switch (this.#format) {
      case "f32":
        return `q${v}`;
      case "f16": {
        if (!this.#inPlace) return `vec4<f32>(unpack2x16float(${word(2 * v)}), unpack2x16float(${word(2 * v + 1)}))`;
        const pair = (j: number): string => `${word(j)}, ${word(j)} >> 16u`;
        const h = `vec4<u32>(${pair(2 * v)}, ${pair(2 * v + 1)})`;
        return `bitcast<vec4<f32>>(((${h} & vec4<u32>(0x7fffu)) * vec4<u32>(0x2000u)) | ((${h} & vec4<u32>(0x8000u)) * vec4<u32>(0x10000u)))`;
      }
      case "q8":
        if (!this.#inPlace) return `vec4<f32>(unpack4xI8(${word(v)}))`;
        return `vec4<f32>(vec4<i32>(bitcast<i32>(${word(v)} ^ 0x00808080u)) & vec4<i32>(0xff, 0xff00, 0xff0000, -16777216))`;
      case "q4": {
        const nibbles = v % 2 === 0 ? word(v >> 1) : `(${word(v >> 1)} >> 4u)`;
        if (!this.#inPlace) return `vec4<f32>(unpack4xU8(${nibbles} & 0x0f0f0f0fu))`;
        if (v % 2 === 0)
          return `vec4<f32>(vec4<i32>(bitcast<i32>(${word(v >> 1)})) & vec4<i32>(0xf, 0xf00, 0xf0000, 0xf000000))`;
        return `vec4<f32>(vec4<i32>(bitcast<i32>(${word(v >> 1)} ^ 0x80000000u)) & vec4<i32>(0xf0, 0xf000, 0xf00000, -268435456))`;
      }
    }
  }
}

/** What measured best on each adapter; on GPUs nothing was measured, and coalesced loads are the safe choice. */
export function best(machine: Machine, format: WeightFormat): MatvecShape {
  if (machine.kind === "gpu") return { across: "k", rows: 4, workgroup: 64 };
  const [rows, width, loads] = SHAPES[machine.kind][format];
  // SwiftShader shifts vectors one lane at a time, so elements stay where they lie; for codes of blocks that is the
  // faster way on lavapipe, too.
  const inPlace = format === "q8" || format === "q4" || (machine.kind === "swiftshader" && format === "f16");
  return { across: "rows", rows, workgroup: machine.subgroup, x: [width, loads], inPlace };
}

/** Rows of a lane, and the components and number of its loads of x. */
const SHAPES: Readonly<Record<"lavapipe" | "swiftshader", Record<WeightFormat, readonly [number, 1 | 4, number]>>> = {
  lavapipe: { f32: [2, 1, 1], f16: [4, 1, 1], q8: [2, 4, 1], q4: [4, 4, 1] },
  swiftshader: { f32: [4, 1, 1], f16: [4, 4, 1], q8: [4, 4, 2], q4: [8, 4, 2] },
};
