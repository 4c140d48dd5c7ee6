/**
 * Schedule, layout, lane IR and bindings as text for people: who does what, which lane holds which element, what one
 * invocation does, what is bound.
 */

import { elementCount, perWord } from "../ir/formats.ts";
import type { Atom, Buffer, LaneProgram, LaneType, Rhs, Stmt } from "../ir/lane/program.ts";
import { axisName } from "../ir/tile/print.ts";
import { isValue, type TileProgram } from "../ir/tile/program.ts";
import { everyOp } from "../ir/tile/traverse.ts";
import { type AxisLayout, lanesAlong } from "../schedule/layout.ts";
import type { Schedule } from "../schedule/types.ts";
import { elementType } from "../wgsl/words.ts";
import { digitsText, matrixText, roomText, stagings, tileLines } from "./print-matmul.ts";

/** Where one element of an axis's block sits. */
export interface Place {
  /**
   * Undefined where every lane holds it; the number of a group of lanes where the axis is spread over digits of theirs.
   */
  readonly lane: number | undefined;
  readonly register: number;
  readonly component: number;
}

/** The place of element `e` of a block laid out like this over `lanes` lanes. */
export function placeOf(layout: AxisLayout, lanes: number, e: number): Place {
  if (!layout.spread) return { lane: undefined, register: e, component: 0 };
  const { width, chunk } = layout;
  lanes = lanesAlong(layout, lanes);
  const register = Math.floor(e / width);
  const run = Math.floor(register / chunk);
  return {
    lane: run % lanes,
    register: Math.floor(run / lanes) * chunk + (register % chunk),
    component: e % width,
  };
}

/** Who does what, in words. */
export function printSchedule(program: TileProgram, s: Schedule): string {
  const who = {
    thread: "one thread",
    subgroup: `one subgroup of ${s.lanes} lanes`,
    workgroup: `one workgroup of ${s.lanes} lanes`,
  };
  const lines = [
    `a program is ${who[s.mode]}; ${plural(s.programsPerWorkgroup, "program")} in a workgroup of ${s.workgroupSize}`,
    `${plural(s.programs, "program")}: ${program.grid.map((g, i) => `${g.dim} ${s.grid[i]}`).join(" x ") || "one"}`,
  ];
  for (const a of program.axes) {
    const l = s.axes[a.id];
    if (l === undefined) continue;
    if (s.tiles?.loops.some((t) => t.k === a.id)) continue;
    const groups = l.digits === undefined ? "the lanes" : `${plural(lanesAlong(l, s.lanes), "group")} of lanes`;
    const how = l.spread ? `spread over ${groups}` : "whole in each lane";
    const width = l.width === 1 ? "" : `, ${l.width} at a time`;
    lines.push(
      `axis ${axisName(program.axes, a.id)}: ${plural(l.size, "element")}, ${how}, ${plural(l.count, "register")}${width}`,
    );
  }
  if (s.tiles !== undefined) lines.push(...tileLines(program, s.tiles, s.axes));
  return lines.join("\n");
}

/** Rows of an axis's table; of longer axes the first and the last are shown. */
const ROWS = 12;

/** Which lane holds what: a table for each axis, then the registers that each kind of tile takes. */
export function printLayout(program: TileProgram, s: Schedule): string {
  const parts: string[] = [];
  for (const a of program.axes) {
    const layout = s.axes[a.id];
    if (layout === undefined || s.tiles?.loops.some((t) => t.k === a.id)) continue;
    const name = `axis ${axisName(program.axes, a.id)}`;
    if (!layout.spread) {
      const { count, width } = layout;
      const [elements, registers] = [
        `0..${count * width - 1}`,
        count === 1 ? "register 0" : `registers 0..${count - 1}`,
      ];
      const where = count * width === 1 ? "element 0 in register 0" : `elements ${elements} in ${registers}`;
      parts.push(`${name}: every lane holds all of it, ${where}`);
      continue;
    }
    parts.push(spreadText(name, layout, s.lanes));
  }
  for (const { title, axes } of s.tiles === undefined ? [] : stagings(program, s.tiles))
    parts.push([`${title}:`, ...axes.map(([name, l]) => spreadText(`axis ${name}`, l, s.lanes))].join("\n"));
  const tiles = new Map<string, { lanes: string; values: number }>();
  everyOp(program.body, (op) => {
    const values = isValue(op) ? [op] : op.op === "loop" ? [op.index, ...op.carried.map((c) => c.inside)] : [];
    for (const v of values) {
      if (v.axes.length === 0 || v.axes.some((x) => s.tiles?.loops.some((t) => t.k === x))) continue;
      const layouts = v.axes.map((x) => s.axes[x]);
      const width = Math.max(1, ...layouts.map((l) => l?.width ?? 1));
      const counts = layouts.map((l) => l?.count ?? 1);
      const total = counts.reduce((x, y) => x * y, 1);
      const key = `${v.type}[${v.axes.map((x) => axisName(program.axes, x)).join(" ")}]`;
      const product = counts.length > 1 ? `${counts.join(" x ")} = ` : "";
      const lanes = `${product}${plural(total, "register")} of ${typeName({ base: v.type, width: width as 1 | 2 | 4 })} in each lane`;
      tiles.set(key, { lanes, values: (tiles.get(key)?.values ?? 0) + 1 });
    }
  });
  const list = [...tiles].map(([key, t]) => `  ${key}  ${t.lanes}  (${plural(t.values, "tile")})`);
  if (list.length > 0) parts.push(["tiles", ...list].join("\n"));
  return parts.join("\n") || "no tiles: every value is one number";
}

function spreadText(name: string, layout: AxisLayout, lanes: number): string {
  const { digits } = layout;
  const whom = digits === undefined ? "lane" : "group";
  const group = digits === undefined ? "" : `; a lane's group is ${digitsText(digits, lanes)}`;
  return [`${name}: element -> ${whom}, register, components${group}`, ...table(layout, lanes)].join("\n");
}

/** A line for each run of elements that share lane and register. */
function table(layout: AxisLayout, lanes: number): string[] {
  const { width, size } = layout;
  const runs = Math.ceil(size / width);
  const shown = Array.from({ length: runs }, (_, i) => i).filter((i) => i < ROWS - 2 || i >= runs - 2 || runs <= ROWS);
  return shown.flatMap((i, n) => {
    const first = i * width;
    const last = Math.min(size, first + width) - 1;
    const { lane, register } = placeOf(layout, lanes, first);
    const range = first === last ? `${first}` : `${first}..${last}`;
    const components = width === 1 ? "" : `  ${"xyzw".slice(0, last - first + 1)}`;
    const gap = n > 0 && i !== (shown[n - 1] ?? 0) + 1 ? ["  …"] : [];
    const whom = layout.digits === undefined ? "lane" : "group";
    return [...gap, `  ${range.padEnd(12)} ${whom} ${String(lane).padEnd(4)} register ${register}${components}`];
  });
}

/** What is bound to a shader and what it takes: the last thing to look at before it runs. */
export function printBindings(lanes: LaneProgram, wgsl: string): string {
  const lines = lanes.buffers.map((b, i) => {
    const n = elementCount(b);
    const bytes = (n * 4 * b.unit) / perWord(b.storage);
    const use =
      b.pitch !== undefined
        ? `read, as a texture with rows of ${b.pitch} texels`
        : b.atomic
          ? "atomic"
          : b.writes || b.writable
            ? "read and write"
            : "read";
    const parts = b.members?.map((m) => `${m.name} at word ${m.at}`).join(", ");
    const what = parts ?? (b.window === undefined ? b.name : `${b.window.of} from word ${b.window.at}`);
    return `binding ${i}: ${what}, ${b.storage} as ${n} x ${elementType(b)}, ${bytes} bytes, ${use}`;
  });
  if (lanes.uniforms.length > 0) {
    const block = lanes.uniforms.map((u) => `${u.name}: ${u.dtype}`).join(", ");
    lines.push(`binding ${lanes.buffers.length}: uniforms { ${block} }`);
  }
  const [x, y] = lanes.workgroups;
  const pinned = lanes.mode === "subgroup" && lanes.pinned ? `, subgroups of ${lanes.lanes} asked for` : "";
  lines.push(`workgroup size: ${lanes.workgroupSize} invocations${pinned}`);
  lines.push(`workgroups: ${x * y} (${x} x ${y}), ${x * y * lanes.workgroupSize} invocations`);
  lines.push(`workgroup memory: ${workgroupBytes(wgsl)} bytes`);
  return lines.join("\n");
}

/**
 * Bytes of the shader's workgroup variables, which all are arrays of scalars (of 4 bytes, f16 of 2) or vectors of them.
 */
export function workgroupBytes(wgsl: string): number {
  const arrays = wgsl.matchAll(/^var<workgroup> \w+: array<(?:vec(\d)<)?(\w+)>?, (\d+)>;/gm);
  return [...arrays].reduce((sum, [, w, base, n]) => sum + (base === "f16" ? 2 : 4) * Number(w ?? 1) * Number(n), 0);
}

function plural(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}

function typeName(t: LaneType): string {
  return t.width === 1 ? t.base : `vec${t.width}<${t.base}>`;
}

/** The lane IR. */
export function printLanes(program: LaneProgram): string {
  const p = program;
  const lines = [
    `lanes ${p.name}: ${p.mode} of ${p.lanes}, ${p.programs} programs, ${p.programsPerWorkgroup} in a workgroup`,
    ...p.buffers.map((b) => `  buffer ${b.name}: ${bufferText(b)}`),
    ...(p.rooms ?? []).map((r) => `  room ${r.name}: ${roomText(r)}`),
    ...(p.matrix === undefined ? [] : [`  matrix units: ${matrixText(p.matrix)}`]),
  ];
  const walk = (stmts: readonly Stmt[], indent: string): void => {
    for (const s of stmts) {
      const put = (text: string): void => void lines.push(`${indent}${text}`);
      if (s.op === "let") put(`${s.name}: ${typeName(s.type)} = ${rhsText(s.rhs)}`);
      else if (s.op === "var")
        put(`var ${s.name}: ${typeName(s.type)}${s.init === undefined ? "" : ` = ${atomText(s.init)}`}`);
      else if (s.op === "assign") put(`${s.name} = ${atomText(s.value)}`);
      else if (s.op === "store") put(`${elementText(s.buffer, s.index, s.part)} <- ${atomText(s.value)}`);
      else if (s.op === "insert")
        put(`${elementText(s.buffer, s.index)} <- ${s.bits} bits of ${atomText(s.value)} at bit ${atomText(s.shift)}`);
      else if (s.op === "atomic") put(`${elementText(s.buffer, s.index)} <- ${s.fn} with ${atomText(s.value)}, atomic`);
      else if (s.op === "write") put(`${elementText(s.room, s.index)} <- ${atomText(s.value)}`);
      else if (s.op === "barrier") put("barrier");
      else if (s.op === "matrix") put(`matrix ${s.name}`);
      else if (s.op === "fetch")
        put(
          `matrix ${s.name} = ${s.side} ${elementText(s.room, s.index)}, ${s.columns ? "columns" : "rows"} ${s.stride} apart`,
        );
      else if (s.op === "multiply") put(`matrix ${s.name} += ${s.left} · ${s.right}`);
      else if (s.op === "spill") put(`${elementText(s.room, s.index)} <- matrix ${s.name}, rows ${s.stride} apart`);
      else if (s.op === "for") {
        const opaque = s.opaque ? ", bound hidden" : "";
        put(`for ${s.name} from ${atomText(s.start)} below ${atomText(s.limit)} by ${s.step}${opaque} {`);
        walk(s.body, `${indent}  `);
        put("}");
      } else {
        put(`if ${atomText(s.cond)} {`);
        walk(s.yes, `${indent}  `);
        if (s.no.length > 0) put("} else {");
        walk(s.no, `${indent}  `);
        put("}");
      }
    }
  };
  walk(p.body, "  ");
  return lines.join("\n");
}

function bufferText(b: Buffer): string {
  return `${b.elements} ${b.storage}, ${b.unit} at a time${b.writes ? ", written" : ""}${b.atomic ? ", atomic" : ""}${b.pitch === undefined ? "" : ", in a texture"}`;
}

function elementText(buffer: string, index: Atom, part?: Atom): string {
  return `${buffer}[${atomText(index)}]${part === undefined ? "" : `.${atomText(part)}`}`;
}

function atomText(a: Atom): string {
  if (a.kind === "ref") return a.name;
  return a.type.width === 1 ? String(a.value) : `${typeName(a.type)} of ${a.value}`;
}

function rhsText(r: Rhs): string {
  switch (r.op) {
    case "load":
      return `load ${elementText(r.buffer, r.index, r.part)}`;
    case "read":
      return `read ${elementText(r.room, r.index, r.part)}`;
    case "scalar":
      return `scalar ${r.param}`;
    case "copy":
      return `copy ${atomText(r.x)}${r.hidden === true ? ", hidden" : ""}`;
    case "compose":
      return `compose ${r.parts.map(atomText).join(", ")}`;
    case "take":
      return `take ${atomText(r.x)} of lane ${r.lane}`;
    default: {
      // As with tile operations: a name, perhaps a function or a format, and the operands in the order in which they
      // are declared.
      const name =
        r.op === "lanes" || r.op === "pack" || r.op === "unpack" ? `${r.op} ${"fn" in r ? r.fn : r.format}` : r.op;
      const what = r.op === "unary" || r.op === "binary" ? r.fn : name;
      const atoms = Object.values(r).filter((x): x is Atom => typeof x === "object" && x !== null && "kind" in x);
      return `${what} ${atoms.map(atomText).join(", ")}`;
    }
  }
}
