/** Counting what is created on a device, by wrapping its methods. */

const CREATORS = [
  "createBuffer",
  "createBindGroup",
  "createBindGroupLayout",
  "createPipelineLayout",
  "createShaderModule",
  "createComputePipeline",
  "createComputePipelineAsync",
  "createTexture",
  "createQuerySet",
];

/** Pipelines made, by either method: SwiftShader compiles in the thread that asks, other adapters beside it. */
export function pipelinesIn(counts: Readonly<Record<string, number>>): number {
  return (counts.createComputePipeline ?? 0) + (counts.createComputePipelineAsync ?? 0);
}

/** Counts by method, from now on. */
export function counted(device: GPUDevice): Record<string, number> {
  const counts: Record<string, number> = {};
  const target = device as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const name of CREATORS) {
    const original = target[name];
    if (original === undefined) throw new Error(`the device has no ${name}`);
    counts[name] = 0;
    target[name] = (...args) => {
      counts[name] = (counts[name] ?? 0) + 1;
      return original.apply(device, args);
    };
  }
  return counts;
}
