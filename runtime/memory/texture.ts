/**
 * Tensors in textures: memory that kernels read 16 bytes at a time.
 *
 * lavapipe asks for every word that a lane loads from a buffer whether the lane is on and the word is there, and jumps
 * if not. Texels of a texture it loads whole, all lanes at once, and masks what lies outside: a quarter of the
 * instructions. So weights that lie in texels (rgba32uint, which keeps any bits) reach a kernel up to twice as fast.
 * Rows of the texture are a power of two of texels, and element follows element as in a buffer.
 */
import type { Device } from "../device/device.ts";
import { watched } from "../device/scopes.ts";

export const TEXEL_BYTES = 16;
/**
 * Rows are no longer than they must be, since a tensor is padded to whole ones; and copies to buffers want multiples of
 * 256 bytes.
 */
const LEAST_PITCH = 64;
const USAGE = 1 | 2 | 8; // COPY_SRC | COPY_DST | STORAGE_BINDING
/** Dawn stages each write; pieces keep that staging small. */
export const WRITE_BYTES: number = 32 << 20;

/** Bytes of the largest texture. */
export function mostTexelBytes({ capabilities }: Device): number {
  const all = capabilities.limits.textureExtent ** 2 * TEXEL_BYTES;
  return Math.min(all, capabilities.traits.textureBytes ?? all);
}

/** Texels in a row for a tensor of so many bytes, undefined where no texture of this device holds it. */
export function pitchFor(device: Device, bytes: number): number | undefined {
  const extent = device.capabilities.limits.textureExtent;
  // With its last row filled.
  if (bytes + extent * TEXEL_BYTES > mostTexelBytes(device)) return undefined;
  for (let pitch = LEAST_PITCH; pitch <= extent; pitch *= 2) if (rowsFor(bytes, pitch) <= extent) return pitch;
  return undefined;
}

function rowsFor(bytes: number, pitch: number): number {
  return Math.ceil(bytes / (pitch * TEXEL_BYTES));
}

/** A texture of zeros with rows of `pitch` texels. */
export function newTexture(device: Device, what: string, label: string, bytes: number, pitch: number): GPUTexture {
  const size = [pitch, rowsFor(bytes, pitch)];
  const make = (): GPUTexture => device.raw.createTexture({ label, size, format: "rgba32uint", usage: USAGE });
  return watched(device, what, make, { touched: (made) => [made], lasting: true });
}

/** Bytes that a texture takes. */
export function bytesOfTexture(texture: GPUTexture): number {
  return texture.width * texture.height * TEXEL_BYTES;
}

/** Queues a write of whole texels from byte `at` on: what is left of the row there, whole rows, and what remains. */
export function writeTexels(device: Device, texture: GPUTexture, bytes: Uint8Array<ArrayBuffer>, at: number): void {
  const row = texture.width * TEXEL_BYTES;
  for (let from = 0; from < bytes.length; ) {
    const [y, x] = [Math.floor((at + from) / row), ((at + from) % row) / TEXEL_BYTES];
    const left = bytes.length - from;
    const rows = x === 0 ? Math.min(Math.floor(left / row), Math.max(1, Math.floor(WRITE_BYTES / row))) : 0;
    const count = rows > 0 ? rows * row : Math.min(left, row - x * TEXEL_BYTES);
    const size = rows > 0 ? [texture.width, rows] : [count / TEXEL_BYTES, 1];
    const layout = { offset: from, bytesPerRow: rows > 0 ? row : count, rowsPerImage: Math.max(1, rows) };
    device.raw.queue.writeTexture({ texture, origin: [x, y] }, bytes, layout, size);
    from += count;
  }
}

/** The rows that hold the bytes from `at` on: how many bytes they have, and how many of them lie before. */
export function rowsAround(texture: GPUTexture, at: number, bytes: number): { skip: number; bytes: number } {
  const row = texture.width * TEXEL_BYTES;
  const skip = at % row;
  return { skip, bytes: Math.ceil((skip + bytes) / row) * row };
}

/** Encodes a copy of the whole rows that `rowsAround` counted. */
export function copyRows(
  encoder: GPUCommandEncoder,
  texture: GPUTexture,
  at: number,
  bytes: number,
  to: GPUBuffer,
  offset: number,
): void {
  const row = texture.width * TEXEL_BYTES;
  const origin = [0, Math.floor(at / row)];
  encoder.copyTextureToBuffer({ texture, origin }, { buffer: to, offset, bytesPerRow: row }, [
    texture.width,
    bytes / row,
  ]);
}
