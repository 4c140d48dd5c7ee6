/**
 * Tile IR as text for people: one operation a line, values by number, the source line on the right.
 */

import { type Axis, isValue, type Op, operands, type Param, type TileProgram, type Value } from "./program.ts";

/** `k: Tensor<"groups slots dim", f32 | f16>`. */
export function paramText(p: Param): string {
  if (p.kind === "scalar") return `${p.name}: Scalar<${p.dtype}>`;
  const storage = p.storage.length === 1 && p.storage[0] === "f32" ? "" : `, ${p.storage.join(" | ")}`;
  return `${p.name}: Tensor<"${p.dims.join(" ")}"${storage}>`;
}

/** What the kernel does to a parameter. */
export function paramUse(p: Param): string {
  if (p.kind === "scalar") return "given with each call";
  return p.reads && p.writes ? "read and written" : p.writes ? "written" : p.reads ? "read" : "unused";
}

/** `attend(q, k, …)` in one line. */
export function signature(program: TileProgram): string {
  return `${program.name}(${program.params.map(paramText).join(", ")})`;
}

/** How many operations, loops' and branches' bodies included. */
export function operationCount(ops: readonly Op[]): number {
  return ops.reduce((n, op) => {
    if (op.op === "loop") return n + 1 + operationCount(op.body);
    return op.op === "if" ? n + 1 + operationCount(op.yes) + operationCount(op.no) : n + 1;
  }, 0);
}

/** `columns#2`: an axis is a dim with an identity. */
export function axisName(axes: readonly Axis[], id: number): string {
  return `${axes[id]?.dim ?? "?"}#${id}`;
}

/** A whole tile program. */
export function printTileProgram(program: TileProgram): string {
  const lines = [`kernel ${program.name}`];
  for (const [name, value] of Object.entries(program.fixed ?? {})) lines.push(`  fixed ${name} = ${value}`);
  for (const p of program.params) lines.push(`  param ${paramText(p)}  ${paramUse(p)}`);
  const axis = (id: number): string => axisName(program.axes, id);
  for (const a of program.axes) {
    lines.push(`  axis ${axis(a.id)}  ${a.kind}${a.size === undefined ? "" : ` of ${a.size}`}`);
  }
  const grid = program.grid.map((g) => (g.axis === undefined ? g.dim : `${g.dim} in blocks ${axis(g.axis)}`));
  lines.push(`  grid ${grid.join(" x ") || "one program"}`);
  printOps(program.body, "  ", axis, lines);
  // The first of the kinds is the program itself.
  for (const k of program.kinds?.slice(1) ?? []) lines.push("", printTileProgram(k));
  return lines.join("\n");
}

function printOps(ops: readonly Op[], indent: string, axis: (id: number) => string, lines: string[]): void {
  const type = (v: Value): string => (v.axes.length === 0 ? v.type : `${v.type}[${v.axes.map(axis).join(" ")}]`);
  const put = (text: string, line: number): void => {
    const left = `${indent}${text}`;
    lines.push(line > 0 ? `${left.padEnd(72)} ; ${line}` : left);
  };
  for (const op of ops) {
    const { line } = op.span;
    if (op.op === "store") {
      const how = op.combine === undefined ? "<-" : `<- ${op.combine} with`;
      put(`${op.param}[${op.index.map(ref).join(", ")}] ${how} ${ref(op.value)}`, line);
    } else if (op.op === "loop") {
      const what =
        op.kind === "over"
          ? `over ${axis(op.axis ?? -1)} below ${ref(op.limit)}`
          : `range ${op.start === undefined ? 0 : ref(op.start)} to ${ref(op.limit)}`;
      put(`for ${ref(op.index.id)}: ${type(op.index)} in ${what} {`, line);
      for (const c of op.carried) put(`  ${c.name}: ${ref(c.inside.id)}: ${type(c.inside)} <- ${ref(c.init)}`, 0);
      printOps(op.body, `${indent}  `, axis, lines);
      for (const c of op.carried) put(`  next ${c.name} = ${ref(c.next)}; after the loop ${ref(c.after.id)}`, 0);
      put("}", 0);
    } else if (op.op === "if") {
      put(`if ${ref(op.cond)} {`, line);
      printOps(op.yes, `${indent}  `, axis, lines);
      if (op.no.length > 0) {
        put("} else {", 0);
        printOps(op.no, `${indent}  `, axis, lines);
      }
      put("}", 0);
      for (const m of op.merged)
        put(`${ref(m.after.id)}: ${type(m.after)} = ${m.name} (${ref(m.yes)} or ${ref(m.no)})`, 0);
    } else if (isValue(op)) {
      put(`${ref(op.id)}: ${type(op)} = ${valueText(op, axis)}`, line);
    }
  }
}

function ref(id: number): string {
  return `%${id}`;
}

function valueText(op: Extract<Op, Value>, axis: (id: number) => string): string {
  switch (op.op) {
    case "const":
      return String(op.value);
    case "size":
    case "program":
      return `${op.op} "${op.dim}"`;
    case "scalar":
      return `scalar ${op.param}`;
    case "iota":
      return `index ${axis(op.axis)}`;
    case "load":
      return `${op.param}[${op.index.map(ref).join(", ")}]`;
    default: {
      // Whatever an operation is called, it has operands, and perhaps a function and an axis.
      const name = "fn" in op ? (op.op === "fold" ? `fold ${op.fn}` : op.fn) : op.op;
      const along = "axis" in op ? ` along ${axis(op.axis)}` : "";
      return `${name} ${operands(op).map(ref).join(", ")}${along}`;
    }
  }
}
