/**
 * Workgroup tiles as text for people: what goes through workgroup memory in a turn, who fills it, and what matrix units
 * do with it.
 */

import type { MatrixUnits, Room } from "../ir/lane/program.ts";
import { axisName } from "../ir/tile/print.ts";
import type { Op, TileProgram } from "../ir/tile/program.ts";
import { isValue } from "../ir/tile/program.ts";
import { everyOp } from "../ir/tile/traverse.ts";
import type { AxisLayout, Digit } from "../schedule/layout.ts";
import { type Operand, roomBytes, type Staging, type TilePlan } from "../schedule/tile-plan.ts";

/** A group of lanes, as arithmetic on the lane's number. */
export function digitsText(digits: readonly Digit[], lanes: number): string {
  const parts = digits.map((d, n) => {
    const weight = digits.slice(n + 1).reduce((w, x) => w * x.count, 1);
    const over = d.stride === 1 ? "lane" : `lane / ${d.stride}`;
    const digit = d.stride * d.count === lanes ? over : `${over} % ${d.count}`;
    return d.count === 1 ? [] : [weight === 1 ? digit : `${digit} · ${weight}`];
  });
  return parts.flat().join(" + ") || "0";
}

/** The shape that matrix units multiply. */
export function matrixText({ M, N, K, component }: MatrixUnits): string {
  return `${M} x ${K} by ${K} x ${N}, ${component} to f32`;
}

/** The type of a room. */
export function roomText(r: Room): string {
  return `${r.elements} ${r.width === 1 ? r.base : `vec${r.width}<${r.base}>`}`;
}

/** A line for each loop and each room, and one for the matrix units. */
export function tileLines(program: TileProgram, plan: TilePlan, axes: readonly AxisLayout[]): string[] {
  const name = (axis: number): string => axisName(program.axes, axis);
  const lines: string[] = [];
  for (const l of plan.loops) {
    const when = plan.stages === 2 ? ", loaded a turn ahead" : "";
    lines.push(`${name(l.k)} is walked ${l.depth} elements a turn, through workgroup memory${when}:`);
    for (const o of l.operands) {
      const size = axes[o.axis]?.size ?? 0;
      const users = l.products.flatMap((p, n) =>
        [p.left, p.right].some((side) => l.operands[side] === o) ? [`${n + 1}`] : [],
      );
      const whose = l.products.length > 1 ? ` of product ${users.join(" and ")}` : "";
      const side = o.axis === plan.i ? "left" : "right";
      lines.push(
        `  ${o.room.name}: ${side} side${whose}, ${name(o.axis)} ${size} x ${name(l.k)} ${l.depth}, ${sources(program, o)}, ${roomBytes(o.room)} bytes`,
      );
    }
    for (const s of l.sums)
      lines.push(`  ${s.room.name}: sums along ${name(l.k)} for each of ${name(s.axis)}, ${roomBytes(s.room)} bytes`);
  }
  const m = plan.matrix;
  if (m !== undefined)
    lines.push(
      `matrix units of ${matrixText(m)}: ${m.down} x ${m.across} subgroups with ${m.rows} x ${m.columns} matrices each`,
      `  ${m.patch.name}: sums on their way back to the lanes, ${roomBytes(m.patch)} bytes`,
    );
  return lines;
}

/** The tensors that an operand is computed from. */
function sources(program: TileProgram, o: Operand): string {
  const ops = new Map<number, Op>();
  everyOp(program.body, (op) => {
    if (isValue(op)) ops.set(op.id, op);
  });
  const found = new Set<string>();
  const visit = (id: number): void => {
    const op = ops.get(id);
    if (op === undefined || !isValue(op)) return;
    if (op.op === "load") found.add(op.param);
    if (op.op === "load") op.index.forEach(visit);
    else if ("x" in op) visit(op.x);
    else if (op.op === "binary") [op.a, op.b].forEach(visit);
    else if (op.op === "select") [op.cond, op.yes, op.no].forEach(visit);
  };
  o.factors.forEach(visit);
  return `from ${[...found].join(", ")}`;
}

/** The layouts in which lanes fill the rooms: a title and the axes with their layouts. */
export function stagings(
  program: TileProgram,
  plan: TilePlan,
): { readonly title: string; readonly axes: readonly (readonly [string, AxisLayout])[] }[] {
  const rooms = (s: Staging & { readonly room: Room }): { title: string; axes: [string, AxisLayout][] } => ({
    title: `${s.room.name} is filled by ${s.lanes} lanes`,
    axes: [...s.layouts].sort(([a], [b]) => a - b).map(([axis, l]) => [axisName(program.axes, axis), l]),
  });
  return plan.loops.flatMap((l) => [...l.operands, ...l.sums].map(rooms));
}
