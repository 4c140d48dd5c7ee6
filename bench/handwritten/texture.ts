/**
 * The matrix-vector product by hand where the weights lie in panels in a texture, as a decoder's do on lavapipe.
 *
 * A program takes the rows of one panel, up to four a lane, so that all it reads is one stream of texels. x is loaded
 * once a turn, a piece by each lane, and handed around. Fewer rows a lane, longer turns, panels of fewer rows than a
 * program has, and touching ahead of time what comes next were slower.
 */
import type { WeightFormat } from "./matvec.ts";
import { binding, frame, type Handwritten, type Machine, repeat } from "./shader.ts";

/** Formats of weights that lie in textures. */
export type TexelFormat = WeightFormat & ("f32" | "f16");

/**
 * y[rows] = w[rows, k] · x[k] with w in panels of `panel` rows in texels of rows of `pitch`. `panel` is 1, 2 or 4 times
 * the lanes; k must be a multiple of four times the lanes over that, and of what a texel holds, and rows one of the
 * panel.
 */
export function matvecTexture(
  machine: Machine,
  format: TexelFormat,
  rows: number,
  k: number,
  { panel, pitch }: { readonly panel: number; readonly pitch: number },
): Handwritten {
  const W = machine.subgroup;
  const share = panel / W;
  const per = format === "f32" ? 4 : 8;
  const turn = (4 * W) / share;
  const pieces = turn / per;
  const width = turn / W;
  const declarations = [
    "@group(0) @binding(0) var w: texture_storage_2d<rgba32uint, read>;",
    binding(1, "x", width === 1 ? "f32" : `vec${width}<f32>`, k / width),
    binding(2, "y", "f32", rows, true),
    `fn texel(i: u32) -> vec4<u32> { return textureLoad(w, vec2<u32>(i & ${pitch - 1}u, i >> ${Math.log2(pitch)}u)); }`,
  ].join("\n");
  const element = (e: number): string =>
    `subgroupBroadcast(mine, ${Math.floor(e / width)}u)${width === 1 ? "" : `.${"xyzw"[e % width]}`}`;
  const four = (v: number): string => `vec4<f32>(${repeat(4, (j) => element(4 * v + j), ", ")})`;
  const halves = (a: string, b: string): string => `vec4<f32>(unpack2x16float(${a}), unpack2x16float(${b}))`;
  const product = (q: string, p: number): string =>
    format === "f32"
      ? `dot(bitcast<vec4<f32>>(${q}), x${p})`
      : `dot(${halves(`${q}.x`, `${q}.y`)}, x${2 * p}) + dot(${halves(`${q}.z`, `${q}.w`)}, x${2 * p + 1})`;
  const all = (text: (c: number) => string): string => repeat(share, text, "\n    ");
  const body = `
  ${all((c) => `var sum${c} = 0.0f;`)}
  var at = pid * ${(panel * k) / per}u + lane;
  for (var i = 0u; i < ${k / width}u; i += ${W}u) {
    let mine = x[i + lane];
    ${repeat(turn / 4, (v) => `let x${v} = ${four(v)};`, "\n    ")}
    ${all((c) => repeat(pieces, (p) => `let q${c}_${p} = texel(at + ${p * panel + c * W}u);`, " "))}
    ${all((c) => `sum${c} += ${repeat(pieces, (p) => product(`q${c}_${p}`, p), " + ")};`)}
    at += ${pieces * panel}u;
  }
  ${all((c) => `y[pid * ${panel}u + ${c * W}u + lane] = sum${c};`)}`;
  return { code: frame(machine, W, W, declarations, body), workgroups: [rows / panel, 1] };
}
