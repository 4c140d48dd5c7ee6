/** Bind groups: the memory of a dispatch's tensors and its numbers, as its kernel binds them. */
import type { Generated } from "../../compiler/index.ts";
import type { Device } from "../device/device.ts";
import type { Memory } from "../device/failures.ts";
import type { DeviceTensor } from "../memory/tensor.ts";
import type { Dispatch } from "./dispatch.ts";
import { bytesOfUniforms, type UniformPlace, uniformsOf } from "./uniforms.ts";

/**
 * The bind group of a dispatch. Unless it is told where its numbers lie, they get a buffer of their own. To be called
 * under scopes.
 */
export function bindGroupOf(
  device: Device,
  dispatch: Dispatch,
  place?: UniformPlace,
): { group: GPUBindGroup; uniforms: GPUBuffer | undefined } {
  const { variant, uniforms } = dispatch;
  const { pipeline } = variant;
  if (pipeline === undefined) throw new Error(`${variant.label} was not compiled`);
  const own = place === undefined ? uniformsOf(device, variant.label, [dispatch]) : undefined;
  const scalars = place ?? own?.places[0];
  const { buffers } = variant.generated.lanes;
  const entries = buffers.map((b, binding): GPUBindGroupEntry => ({ binding, resource: resourceOf(dispatch, b) }));
  if (scalars !== undefined)
    entries.push({ binding: buffers.length, resource: { ...scalars, size: bytesOfUniforms(uniforms) } });
  return {
    group: device.raw.createBindGroup({ label: variant.label, layout: pipeline.getBindGroupLayout(0), entries }),
    uniforms: own?.buffer,
  };
}

/** The memory that a dispatch writes. */
export function writtenBy({ variant, tensors }: Dispatch): Memory[] {
  const written = variant.generated.lanes.buffers.filter((b) => b.writes || b.writable);
  const names = written.flatMap((b) =>
    b.window === undefined ? (b.members ?? [b]).map((m) => m.name) : [b.window.of],
  );
  return names.flatMap((name) => tensors.get(name)?.memory ?? []);
}

function resourceOf(dispatch: Dispatch, b: Generated["lanes"]["buffers"][number]): GPUBindingResource {
  const texture = b.pitch === undefined ? undefined : dispatch.tensors.get(b.name)?.texture;
  return texture === undefined ? rangeOf(dispatch, b) : texture.createView();
}

/** The memory of one binding: that of a tensor or of a part of it, or the range that several lie in. */
function rangeOf(dispatch: Dispatch, b: Generated["lanes"]["buffers"][number]): GPUBufferBinding {
  const named = b.window === undefined ? (b.members ?? [b]) : [{ name: b.window.of }];
  const tensors = named.map(({ name }) => {
    const found = dispatch.tensors.get(name);
    if (found === undefined) throw new Error(`${dispatch.variant.label}: no tensor for "${name}"`);
    return found;
  });
  const offset = Math.min(...tensors.map((t) => t.offset));
  const end = Math.max(...tensors.map((t) => t.offset + t.bytes));
  const { buffer } = tensors[0] as DeviceTensor;
  const from = offset + 4 * (b.window?.at ?? 0);
  const to = b.window === undefined ? end : Math.min(end, from + 4 * b.elements);
  return { buffer, offset: from, size: Math.ceil((to - from) / 16) * 16 };
}
