/**
 * The roofline of a step as SVG (Williams, Waterman & Patterson 2009): each kernel by its operations a byte and its
 * rate, under what memory and arithmetic allow.
 *
 * Drawn by Vega, which needs neither a browser nor a canvas for that. It is an optional dependency and loaded only
 * here.
 */
import type { Spec, View } from "vega";
import { UserError } from "../runtime/index.ts";
import type { KernelLine } from "./breakdown.ts";
import type { Ceiling } from "./ceiling.ts";

/** A point under the roof. */
export interface Point {
  readonly label: string;
  /** Operations a byte. */
  readonly intensity: number;
  readonly gflop_s: number;
  /** Of the step's time. */
  readonly share: number;
}

/** The kernels that compute at all; those that only move bytes have no place on logarithmic axes. */
export function pointsOf(lines: readonly KernelLine[]): Point[] {
  return lines
    .filter((l) => l.operations > 0 && l.bytes > 0)
    .map((l) => ({ label: l.kernel, intensity: l.operations / l.bytes, gflop_s: l.gflop_s, share: l.share }));
}

/**
 * The roof from `from` to `to` operations a byte: a slope as steep as memory is fast, and the arithmetic's flat top.
 */
export function roof(
  ceiling: Pick<Ceiling, "copy_gb_s" | "arithmetic_gflop_s">,
  from: number,
  to: number,
): { readonly intensity: number; readonly gflop_s: number }[] {
  const { copy_gb_s: slope, arithmetic_gflop_s: top } = ceiling;
  const ridge = top / slope;
  const at = (x: number): { intensity: number; gflop_s: number } => ({
    intensity: x,
    gflop_s: Math.min(x * slope, top),
  });
  return [from, ...(ridge > from && ridge < to ? [ridge] : []), to].map(at);
}

/** Draws the picture. Throws a `UserError` when Vega is not installed or nothing was computed. */
export async function roofline(
  title: string,
  lines: readonly KernelLine[],
  ceiling: Pick<Ceiling, "copy_gb_s" | "arithmetic_gflop_s">,
): Promise<string> {
  const points = pointsOf(lines);
  if (points.length === 0) throw new UserError("no kernel of this run computes anything: there is no roofline to draw");
  const { parse, View } = await load();
  const view: View = new View(parse(specification(title, points, ceiling)), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

async function load(): Promise<typeof import("vega")> {
  try {
    return await import("vega");
  } catch (cause) {
    throw new UserError("drawing needs the npm package vega, which is not installed", {
      hint: "npm install vega",
      cause,
    });
  }
}

function specification(
  title: string,
  points: readonly Point[],
  ceiling: Pick<Ceiling, "copy_gb_s" | "arithmetic_gflop_s">,
): Spec {
  const xs = [...points.map((p) => p.intensity), ceiling.arithmetic_gflop_s / ceiling.copy_gb_s];
  const [from, to] = [Math.min(...xs) / 2, Math.max(...xs) * 2];
  const line = roof(ceiling, from, to);
  const ys = [...points, ...line].map((p) => p.gflop_s);
  const axis = { grid: true, gridOpacity: 0.3, tickCount: 6, format: "~g" };
  const place = { x: { scale: "x", field: "intensity" }, y: { scale: "y", field: "gflop_s" } };
  return {
    width: 640,
    height: 400,
    padding: 12,
    background: "white",
    title: { text: title, fontSize: 13, offset: 10 },
    data: [
      { name: "points", values: points as Point[] },
      { name: "roof", values: line },
    ],
    scales: [
      { name: "x", type: "log", domain: [from, to], range: "width" },
      { name: "y", type: "log", domain: [Math.min(...ys) / 2, Math.max(...ys) * 2], range: "height" },
      { name: "area", type: "sqrt", domain: [0, 1], range: [40, 1200] },
    ],
    axes: [
      { orient: "bottom", scale: "x", title: "operations a byte", ...axis },
      { orient: "left", scale: "y", title: "GFLOP/s", ...axis },
    ],
    marks: [
      {
        type: "line",
        from: { data: "roof" },
        encode: { enter: { ...place, stroke: { value: "#333333" }, strokeWidth: { value: 2 } } },
      },
      {
        name: "dots",
        type: "symbol",
        from: { data: "points" },
        encode: {
          enter: {
            ...place,
            size: { scale: "area", field: "share" },
            fill: { value: "#1f77b4" },
            fillOpacity: { value: 0.6 },
            stroke: { value: "#0b3c5d" },
          },
        },
      },
      {
        type: "text",
        from: { data: "dots" },
        encode: { enter: { fontSize: { value: 11 }, text: { field: "datum.label" } } },
        // Labels that would lie on one another move to another side of their point.
        transform: [
          { type: "label", size: { signal: "[width, height]" }, offset: [3], padding: null, avoidBaseMark: false },
        ],
      },
    ],
  };
}
