/** Uniforms: the numbers that dispatches are called with, packed into one buffer with a place for each. */
import type { Device } from "../device/device.ts";
import type { Dispatch } from "./dispatch.ts";

/** A range of a buffer in which the numbers of a dispatch lie. */
export interface UniformPlace {
  readonly buffer: GPUBuffer;
  readonly offset: number;
}

/** Where uniforms may begin, on every device that we open. */
const UNIFORM_ALIGNMENT = 256;
const UNIFORM = 0x40;
const COPY_DST = 0x8;

/**
 * One buffer with the numbers of all dispatches; undefined where none has any. `places` are in the order of the
 * dispatches. To be called under scopes.
 */
export function uniformsOf(
  device: Device,
  label: string,
  dispatches: readonly Dispatch[],
): { readonly buffer: GPUBuffer; readonly places: readonly (UniformPlace | undefined)[] } | undefined {
  let size = 0;
  const offsets = dispatches.map(({ uniforms }) => {
    if (uniforms.length === 0) return undefined;
    const offset = Math.ceil(size / UNIFORM_ALIGNMENT) * UNIFORM_ALIGNMENT;
    size = offset + bytesOfUniforms(uniforms);
    return offset;
  });
  if (size === 0) return undefined;
  const bytes = new DataView(new ArrayBuffer(size));
  for (const [i, offset] of offsets.entries())
    if (offset !== undefined) packUniforms(bytes, offset, dispatches[i]?.uniforms ?? []);
  const buffer = device.raw.createBuffer({ label: `${label} scalars`, size, usage: UNIFORM | COPY_DST });
  device.raw.queue.writeBuffer(buffer, 0, bytes.buffer as ArrayBuffer);
  return { buffer, places: offsets.map((offset) => (offset === undefined ? undefined : { buffer, offset })) };
}

/** Bytes of the numbers of one dispatch, in whole vec4s. */
export function bytesOfUniforms(uniforms: Dispatch["uniforms"]): number {
  return Math.ceil(uniforms.length / 4) * 16;
}

function packUniforms(bytes: DataView, offset: number, values: Dispatch["uniforms"]): void {
  for (const [i, { dtype, value }] of values.entries()) {
    if (dtype === "f32") bytes.setFloat32(offset + i * 4, value, true);
    else if (dtype === "u32") bytes.setUint32(offset + i * 4, value, true);
    else bytes.setInt32(offset + i * 4, value, true);
  }
}
