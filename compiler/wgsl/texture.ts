/**
 * Tensors that lie in textures, as a shader sees them: texels of 16 bytes in rows of `pitch`, one element after the
 * other (what that is good for: runtime/memory/texture.ts).
 *
 * The lane IR knows nothing of it: a load is a load, and only how it is written differs. Loads beyond the end give
 * zeros.
 */
/** An element as it is loaded: its words, and their WGSL type together. */
export interface Element {
  readonly width: number;
  readonly type: string;
}

/** The declaration of one binding and of the function that loads an element by its number. */
export function textureOf(binding: number, name: string, loader: string, element: Element, pitch: number): string[] {
  const { width, type } = element;
  const texel = width === 4 ? "i" : `(i >> ${width === 2 ? 1 : 2}u)`;
  const load = `textureLoad(${name}, vec2<u32>(${texel} & ${pitch - 1}u, ${texel} >> ${Math.log2(pitch)}u))`;
  const bits = (x: string): string => (type.includes("u32") ? x : `bitcast<${type}>(${x})`);
  const body = {
    4: [`  return ${bits(load)};`],
    2: [`  let t = ${load};`, `  return ${bits("select(t.xy, t.zw, (i & 1u) != 0u)")};`],
    1: [
      `  let t = ${load};`,
      "  let h = select(t.xy, t.zw, (i & 2u) != 0u);",
      `  return ${bits("select(h.x, h.y, (i & 1u) != 0u)")};`,
    ],
  }[width as 1 | 2 | 4];
  return [
    `@group(0) @binding(${binding}) var ${name}: texture_storage_2d<rgba32uint, read>;`,
    `fn ${loader}(i: u32) -> ${type} {`,
    ...body,
    "}",
  ];
}
