/**
 * The printer: lane IR to WGSL text. With texture.ts and wgsl-words.ts the only place in the project where WGSL is
 * written.
 */

import { elementCount, perWord } from "../ir/formats.ts";
import type { Atom, Buffer, LaneProgram, LaneType, MatrixStmt, Rhs, Room, Stmt } from "../ir/lane/program.ts";
import { BINARY, type ReduceKind } from "../ir/operators.ts";
import { constantVectors } from "./inline.ts";
import { textureOf } from "./texture.ts";
import { atom, elementType, INFINITIES, literal, SUBGROUP, typeName } from "./words.ts";

class Printer {
  readonly #p: LaneProgram;
  readonly #lines: string[] = [];
  readonly #shared: Set<string> = new Set<string>();
  readonly #scans: Set<string> = new Set<string>();
  /** Vectors of constants, written where they are used: SwiftShader would keep a named one in memory. */
  readonly #inline: Map<string, string> = new Map<string, string>();
  readonly #infinities: Set<keyof typeof INFINITIES> = new Set();
  #opaque = false;

  constructor(program: LaneProgram) {
    this.#p = program;
  }

  #atom(a: Atom): string {
    if (a.kind === "const" && a.type.base === "f32" && Math.abs(a.value) === Infinity) {
      const known = a.value > 0 ? "highest" : "lowest";
      this.#infinities.add(known);
      return a.type.width === 1 ? known : `${typeName(a.type)}(${known})`;
    }
    return (a.kind === "ref" ? this.#inline.get(a.name) : undefined) ?? atom(a);
  }

  print(): string {
    const p = this.#p;
    for (const [name, rhs] of constantVectors(p.body)) this.#inline.set(name, this.#rhs(rhs.rhs, rhs.type));
    this.#block(p.body, 1);
    const body = this.#lines;
    const head: string[] = [];
    const matrix = p.matrix;
    const together = p.mode === "subgroup" || matrix !== undefined;
    if (together)
      head.push(
        "enable subgroups;",
        ...(p.pinned ? ["enable subgroup_size_control;"] : []),
        ...(matrix === undefined ? [] : ["enable chromium_experimental_subgroup_matrix;"]),
        ...(p.rooms?.some((r) => r.base === "f16") ? ["enable f16;"] : []),
        "diagnostic(off, subgroup_uniformity);",
        ...(matrix === undefined ? [] : ["diagnostic(off, chromium.subgroup_matrix_uniformity);"]),
      );
    for (const [i, b] of p.buffers.entries()) {
      if (b.pitch !== undefined) {
        const element = { width: b.unit / perWord(b.storage), type: elementType(b) };
        head.push(...textureOf(i, name(b.name), loaderOf(b), element, b.pitch));
      } else
        head.push(
          `@group(0) @binding(${i}) var<storage, ${b.writes || b.writable ? "read_write" : "read"}> ${name(b.name)}: array<${elementType(b)}, ${elementCount(b)}>;`,
        );
    }
    if (p.uniforms.length > 0) {
      head.push(`struct Scalars { ${p.uniforms.map((u) => `${name(u.name)}: ${u.dtype}`).join(", ")} }`);
      head.push(`@group(0) @binding(${p.buffers.length}) var<uniform> scalars: Scalars;`);
    }
    for (const r of p.rooms ?? [])
      head.push(
        `var<workgroup> ${r.name}: array<${r.width === 1 ? r.base : `vec${r.width}<${r.base}>`}, ${r.elements}>;`,
      );
    head.push(
      ...[...this.#shared].flatMap((s) => this.#treeReduction(s)),
      ...[...this.#scans].flatMap((t) => this.#scanHelper(t)),
    );
    const n = p.workgroupSize;
    // WGSL does not promise that lanes are numbered as the workgroup's invocations are. Where they are known to be, the
    // adapter's compiler makes more of that number: lavapipe decodes 4 % faster with it.
    const builtin = p.mode === "subgroup" && p.lanes > 1 && p.linear !== true;
    const lane = builtin ? "@builtin(subgroup_invocation_id) lane: u32, " : "";
    head.push(
      `@compute @workgroup_size(${n})${together && p.pinned ? ` @subgroup_size(${matrix?.lanes ?? p.lanes})` : ""}`,
      `fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32, ${lane}@builtin(num_workgroups) nwg: vec3<u32>) {`,
    );
    const group = p.workgroups[1] > 1 ? "(wid.x + wid.y * nwg.x)" : "wid.x";
    const inner =
      p.programsPerWorkgroup === 1
        ? group
        : `${group} * ${p.programsPerWorkgroup}u + ${p.lanes === 1 ? "lid" : `lid / ${p.lanes}u`}`;
    head.push(`  let pid = ${inner};`);
    if (p.lanes > 1 && lane === "")
      head.push(`  let lane = ${p.programsPerWorkgroup === 1 ? "lid" : `lid % ${p.lanes}u`};`);
    if (this.#opaque) head.push("  let zero = nwg.z - 1u; // unknown to the adapter's compiler");
    for (const known of this.#infinities)
      head.push(`  let ${known}_bits = ${INFINITIES[known]};`, `  let ${known} = bitcast<f32>(${known}_bits);`);
    if (p.programs < p.workgroups[0] * p.workgroups[1] * p.programsPerWorkgroup)
      head.push(`  if (pid >= ${p.programs}u) { return; }`);
    return `${[...head, ...body, "}"].join("\n")}\n`;
  }

  /** Feature level L0: a tree in workgroup memory, for adapters without subgroup operations. */
  #treeReduction(id: string): string[] {
    const [fn, type] = id.split(":") as [ReduceKind | "first", string];
    const n = this.#p.lanes;
    const base = type.replace(/^vec\d<(.*)>$/, "$1").trim();
    const combine = fn === "sum" ? "a + b" : `${fn}(a, b)`;
    const label = `${fn}_${type.replace(/[<>]/g, "_")}`;
    if (fn === "first") {
      return [
        `var<workgroup> room_${label}: ${type};`,
        `fn lanes_${label}(x: ${type}, lane: u32) -> ${type} {`,
        `  if (lane == 0u) { room_${label} = x; }`,
        `  return workgroupUniformLoad(&room_${label});`,
        "}",
      ];
    }
    // Two levels of loops instead of a tree: each barrier costs the software adapters' compilers dearly.
    const groups = 2 ** Math.ceil(Math.log2(n) / 2);
    return [
      `var<workgroup> room_${label}: array<${type}, ${n}>;`,
      `fn lanes_${label}(x: ${type}, lane: u32) -> ${type} { // ${base}`,
      `  room_${label}[lane] = x;`,
      "  workgroupBarrier();",
      `  if (lane < ${groups}u) {`,
      `    var a = room_${label}[lane];`,
      `    for (var i = lane + ${groups}u; i < ${n}u; i += ${groups}u) {`,
      `      let b = room_${label}[i];`,
      `      a = ${combine};`,
      "    }",
      `    room_${label}[lane] = a;`,
      "  }",
      "  workgroupBarrier();",
      "  if (lane == 0u) {",
      `    var a = room_${label}[0];`,
      `    for (var i = 1u; i < ${groups}u; i += 1u) {`,
      `      let b = room_${label}[i];`,
      `      a = ${combine};`,
      "    }",
      `    room_${label}[0] = a;`,
      "  }",
      `  return workgroupUniformLoad(&room_${label}[0]);`,
      "}",
    ];
  }

  /** Feature level L0: sums over the lanes before each, doubling the reach in every round. */
  #scanHelper(type: string): string[] {
    const n = this.#p.lanes;
    return [
      `var<workgroup> steps_${type}: array<${type}, ${n}>;`,
      `fn before_${type}(x: ${type}, lane: u32) -> ${type} {`,
      "  workgroupBarrier();",
      `  steps_${type}[lane] = x;`,
      "  workgroupBarrier();",
      `  for (var reach = 1u; reach < ${n}u; reach = reach << 1u) {`,
      `    var more = ${type}(0);`,
      `    if (lane >= reach) { more = steps_${type}[lane - reach]; }`,
      "    workgroupBarrier();",
      `    steps_${type}[lane] += more;`,
      "    workgroupBarrier();",
      "  }",
      `  return steps_${type}[lane] - x;`,
      "}",
    ];
  }

  #buffer(param: string): Buffer {
    const found = this.#p.buffers.find((b) => b.name === param);
    if (found === undefined) throw new Error(`no buffer "${param}"`);
    return found;
  }

  /** f32 has no atomic arithmetic in WGSL: its bits are exchanged until nobody came between. */
  #atomic(s: Stmt & { op: "atomic" }, depth: number): void {
    const place = `&${name(s.buffer)}[${this.#atom(s.index)}]`;
    const fn = { sum: "add", max: "max", min: "min" }[s.fn];
    if (this.#buffer(s.buffer).storage !== "f32")
      return this.#put(
        depth,
        `atomic${fn === "add" ? "Add" : fn === "max" ? "Max" : "Min"}(${place}, ${this.#atom(s.value)});`,
      );
    const combined =
      fn === "add" ? `bitcast<f32>(old) + ${this.#atom(s.value)}` : `${fn}(bitcast<f32>(old), ${this.#atom(s.value)})`;
    this.#put(depth, "loop {");
    this.#put(depth + 1, `let old = atomicLoad(${place});`);
    this.#put(
      depth + 1,
      `if (atomicCompareExchangeWeak(${place}, old, bitcast<u32>(${combined})).exchanged) { break; }`,
    );
    this.#put(depth, "}");
  }

  #put(depth: number, line: string): void {
    this.#lines.push("  ".repeat(depth) + line);
  }

  #block(stmts: readonly Stmt[], depth: number): void {
    for (const s of stmts) this.#statement(s, depth);
  }

  #statement(s: Stmt, depth: number): void {
    switch (s.op) {
      case "let":
        if (this.#inline.has(s.name)) return;
        return this.#put(depth, `let ${s.name} = ${this.#rhs(s.rhs, s.type)};`);
      case "var":
        return this.#put(
          depth,
          `var ${s.name}: ${typeName(s.type)}${s.init === undefined ? "" : ` = ${this.#atom(s.init)}`};`,
        );
      case "assign":
        return this.#put(depth, `${s.name} = ${this.#atom(s.value)};`);
      case "for": {
        if (s.opaque) this.#opaque = true;
        const limit = this.#atom(s.limit) + (s.opaque ? " + zero" : "");
        this.#put(
          depth,
          `for (var ${s.name} = ${this.#atom(s.start)}; ${s.name} < ${limit}; ${s.name} += ${s.step}u) {`,
        );
        this.#block(s.body, depth + 1);
        return this.#put(depth, "}");
      }
      case "if":
        this.#put(depth, `if (${this.#atom(s.cond)}) {`);
        this.#block(s.yes, depth + 1);
        if (s.no.length > 0) {
          this.#put(depth, "} else {");
          this.#block(s.no, depth + 1);
        }
        return this.#put(depth, "}");
      case "atomic":
        return this.#atomic(s, depth);
      case "insert": {
        const [place, shift] = [`&${name(s.buffer)}[${this.#atom(s.index)}]`, this.#atom(s.shift)];
        const all = literal(2 ** s.bits - 1, "u32"); // In both steps only these bits change.
        const or = `atomicOr(${place}, ${this.#atom(s.value)} << ${shift});`;
        return this.#put(depth, `atomicAnd(${place}, ~(${all} << ${shift})); ${or}`);
      }
      case "write": {
        const { base, width } = this.#room(s.room);
        const half = width === 1 ? "f16" : `vec${width}<f16>`;
        const value = base === "f16" ? `${half}(${this.#atom(s.value)})` : this.#atom(s.value);
        return this.#put(depth, `${s.room}[${this.#atom(s.index)}] = ${value};`);
      }
      case "barrier":
        return this.#put(depth, "workgroupBarrier();");
      case "matrix":
      case "fetch":
      case "multiply":
      case "spill":
        return this.#put(depth, this.#matrix(s));
      case "store":
        if (this.#buffer(s.buffer).atomic) {
          const value =
            this.#buffer(s.buffer).storage === "f32" ? `bitcast<u32>(${this.#atom(s.value)})` : this.#atom(s.value);
          return this.#put(depth, `atomicStore(&${name(s.buffer)}[${this.#atom(s.index)}], ${value});`);
        }
        return this.#put(
          depth,
          `${name(s.buffer)}[${this.#atom(s.index)}]${s.part === undefined ? "" : `[${this.#atom(s.part)}]`} = ${this.#atom(s.value)};`,
        );
    }
  }

  #element(param: string, index: Atom): string {
    const b = this.#buffer(param);
    return b.pitch === undefined ? `${name(param)}[${this.#atom(index)}]` : `${loaderOf(b)}(${this.#atom(index)})`;
  }

  #room(name: string): Room {
    const found = this.#p.rooms?.find((r) => r.name === name);
    if (found === undefined) throw new Error(`no room "${name}"`);
    return found;
  }

  /** Matrix types name their columns before their rows. */
  #matrix(s: MatrixStmt): string {
    const m = this.#p.matrix;
    if (m === undefined) throw new Error("a program without matrix units uses them");
    switch (s.op) {
      case "matrix":
        return `var ${s.name}: subgroup_matrix_result<f32, ${m.N}, ${m.M}>;`;
      case "fetch": {
        const shape = s.side === "left" ? `${m.component}, ${m.K}, ${m.M}` : `${m.component}, ${m.N}, ${m.K}`;
        const order = s.columns ? "col_major" : "row_major";
        return `let ${s.name} = subgroupMatrixLoad<subgroup_matrix_${s.side}<${shape}>, ${order}>(&${s.room}, ${this.#atom(s.index)}, ${s.stride}u);`;
      }
      case "multiply":
        return `${s.name} = subgroupMatrixMultiplyAccumulate(${s.left}, ${s.right}, ${s.name});`;
      case "spill":
        return `subgroupMatrixStore<row_major>(&${s.room}, ${this.#atom(s.index)}, ${s.name}, ${s.stride}u);`;
    }
  }

  #rhs(r: Rhs, type: LaneType): string {
    switch (r.op) {
      case "unary": {
        const x = this.#atom(r.x);
        if (r.fn === "neg") return `-(${x})`;
        if (r.fn === "not") return `!${x}`;
        if (r.fn === "rsqrt") return `inverseSqrt(${x})`;
        // SwiftShader's tanh of large arguments is not finite.
        if (r.fn === "tanh") return `tanh(clamp(${x}, ${typeName(type)}(-15.0f), ${typeName(type)}(15.0f)))`;
        return `${r.fn}(${x})`;
      }
      case "binary": {
        if (r.fn === "min" || r.fn === "max" || r.fn === "pow")
          return `${r.fn}(${this.#atom(r.a)}, ${this.#atom(r.b)})`;
        if (r.fn === "xor" && r.a.type.base === "bool") return `${this.#atom(r.a)} != ${this.#atom(r.b)}`;
        return `${this.#atom(r.a)} ${BINARY[r.fn].symbol} ${this.#atom(r.b)}`;
      }
      case "select":
        return `select(${this.#atom(r.no)}, ${this.#atom(r.yes)}, ${this.#atom(r.cond)})`;
      case "cast":
      case "splat":
        return `${typeName(type)}(${this.#atom(r.x)})`;
      case "bitcast":
        return `bitcast<${typeName(type)}>(${this.#atom(r.x)})`;
      case "compose":
        return `${typeName(type)}(${r.parts.map((x) => this.#atom(x)).join(", ")})`;
      case "pick":
        return r.at.kind === "const"
          ? `${this.#atom(r.x)}.${"xyzw"[r.at.value]}`
          : `${this.#atom(r.x)}[${this.#atom(r.at)}]`;
      case "copy":
        return r.hidden === true && r.x.kind === "const" ? this.#hidden(r.x.value, type) : this.#atom(r.x);
      case "load":
        if (this.#buffer(r.buffer).atomic) {
          const bits = `atomicLoad(&${name(r.buffer)}[${this.#atom(r.index)}])`;
          return this.#buffer(r.buffer).storage === "f32" ? `bitcast<f32>(${bits})` : bits;
        }
        return `${this.#element(r.buffer, r.index)}${r.part === undefined ? "" : `[${this.#atom(r.part)}]`}`;
      case "unpack":
        if (r.format === "q8") return `vec4<f32>(unpack4xI8(${this.#atom(r.x)}))`;
        if (r.format === "u4") return `vec4<f32>(unpack4xU8(${this.#atom(r.x)} & 0x0f0f0f0fu))`;
        if (r.format === "q4") return `vec4<f32>(unpack4xU8(${this.#atom(r.x)} & 0x0f0f0f0fu)) - vec4<f32>(8.0f)`;
        return r.format === "f16"
          ? `unpack2x16float(${this.#atom(r.x)})`
          : `bitcast<vec2<f32>>(vec2<u32>(${this.#atom(r.x)} << 16u, ${this.#atom(r.x)} & 0xffff0000u))`;
      case "pack":
        return r.format === "f16" ? this.#packHalves(r.a, r.b) : this.#packBrain(r.a, r.b);
      case "read":
        return `${r.room}[${this.#atom(r.index)}]${r.part === undefined ? "" : `[${this.#atom(r.part)}]`}`;
      case "scalar":
        return `scalars.${name(r.param)}`;
      case "take":
        return `subgroupBroadcast(${this.#atom(r.x)}, ${r.lane}u)`;
      case "dot":
        return `dot(${this.#atom(r.a)}, ${this.#atom(r.b)})`;
      case "before": {
        if (this.#p.mode === "subgroup") return `subgroupExclusiveAdd(${this.#atom(r.x)})`;
        this.#scans.add(typeName(r.x.type));
        return `before_${typeName(r.x.type)}(${this.#atom(r.x)}, lane)`;
      }
      case "lanes": {
        if (this.#p.mode === "subgroup") return `${SUBGROUP[r.fn]}(${this.#atom(r.x)})`;
        const id = `${r.fn}:${typeName(r.x.type)}`;
        this.#shared.add(id);
        return `lanes_${r.fn}_${typeName(r.x.type).replace(/[<>]/g, "_")}(${this.#atom(r.x)}, lane)`;
      }
    }
  }

  #hidden(value: number, type: LaneType): string {
    this.#opaque = true;
    return type.base === "i32" ? `bitcast<i32>(${value >>> 0}u | zero)` : `${literal(value, type.base)} | zero`;
  }

  /**
   * Two f32 to f16. Out of range is the smallest power of two beyond it: SwiftShader makes NaN of infinities and of
   * large numbers.
   */
  #packHalves(a: Atom, b: Atom): string {
    const pair = `vec2<f32>(${this.#atom(a)}, ${this.#atom(b)})`;
    return `pack2x16float(select(${pair}, sign(${pair}) * 65536.0f, abs(${pair}) > vec2<f32>(65536.0f)))`;
  }

  /** Two f32 to bf16, rounded to nearest even. NaN is not rounded, which may carry it to an infinity or to zero. */
  #packBrain(a: Atom, b: Atom): string {
    const round = (x: Atom): string => {
      const bits = `bitcast<u32>(${this.#atom(x)})`;
      const rounded = `(${bits} + 0x7fffu + ((${bits} >> 16u) & 1u)) >> 16u`;
      return `select(${rounded}, (${bits} >> 16u) | 0x40u, (${bits} & 0x7fffffffu) > 0x7f800000u)`;
    };
    return `${round(a)} | (${round(b)} << 16u)`;
  }
}

/** Parameter names cannot clash with WGSL's own words or ours. */
function name(param: string): string {
  return `p_${param.replaceAll("$", "_dollar_")}`;
}

/** The function that loads an element of a tensor that lies in a texture. */
function loaderOf(b: Buffer): string {
  return `load_${name(b.name)}`;
}

/** WGSL of a lane program; its entry point is `main`, group 0 holds the buffers in order and then the uniform block. */
export function printWgsl(program: LaneProgram): string {
  return new Printer(program).print();
}
