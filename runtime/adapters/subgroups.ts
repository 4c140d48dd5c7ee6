/**
 * A look at a device's subgroups before kernels lean on them: whether they are of the size that code is compiled for,
 * and each made of the invocations that code takes for it. In goes a device, out comes what is wrong with them.
 */
import { PROBE_WORDS, subgroupProbe, type Target } from "../../compiler/index.ts";

/** Subgroups of the workgroup that is looked at. */
const SUBGROUPS = 4;
const SCOPES = ["internal", "validation"] as const;
const [STORAGE, COPY_SRC, COPY_DST, MAP_READ] = [128, 4, 8, 1];

/**
 * Runs the probe.
 * @returns what is not as kernels for `target` take it, in words; undefined where all is, and where they use no
 *   subgroups.
 */
export async function subgroupProblem(raw: GPUDevice, target: Target): Promise<string | undefined> {
  const { subgroup, pinned, maxInvocations } = target;
  if (subgroup === 0) return undefined;
  const invocations = subgroup * Math.max(1, Math.min(SUBGROUPS, Math.floor(maxInvocations / subgroup)));
  let seen: Uint32Array;
  try {
    seen = await run(raw, subgroupProbe(invocations, pinned ? subgroup : undefined), invocations * PROBE_WORDS * 4);
  } catch (error) {
    return `a kernel that looks at them failed (${(error as Error).message.split("\n", 1)[0]})`;
  }
  return problemOf(seen, subgroup, target.traits.linearSubgroups);
}

/**
 * What is wrong with the words that the probe wrote; exported for tests.
 * @param inOrder Lanes must be numbered as the invocations are. Else they may be in any order, each there once.
 */
export function problemOf(seen: Uint32Array, subgroup: number, inOrder: boolean): string | undefined {
  const taken = new Set<string>();
  for (let i = 0; i * PROBE_WORDS < seen.length; i++) {
    const [size, lane = 0, lowest, highest] = seen.subarray(i * PROBE_WORDS, (i + 1) * PROBE_WORDS);
    if (size !== subgroup) return `expected ${subgroup} lanes, got ${size}`;
    const own = Math.floor(i / subgroup);
    const [first, last] = [own * subgroup, own * subgroup + subgroup - 1];
    if (lowest !== first || highest !== last)
      return `expected invocations ${first} to ${last} in one, got invocation ${i} with ${lowest} to ${highest}`;
    if (inOrder && lane !== i - first) return `expected lane ${i - first}, got ${lane} for invocation ${i}`;
    taken.add(`${own} ${lane}`);
    if (lane >= subgroup || taken.size !== i + 1)
      return `expected lanes 0 to ${subgroup - 1} once each, got ${lane} for invocation ${i}`;
  }
  return undefined;
}

async function run(raw: GPUDevice, code: string, bytes: number): Promise<Uint32Array> {
  const [seen, staging] = ([STORAGE | COPY_SRC, COPY_DST | MAP_READ] as const).map((usage) =>
    raw.createBuffer({ label: "subgroup probe", size: bytes, usage }),
  ) as [GPUBuffer, GPUBuffer];
  const encode = (): void => {
    const module = raw.createShaderModule({ label: "subgroup probe", code });
    const pipeline = raw.createComputePipeline({
      label: "subgroup probe",
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    const entries = [{ binding: 0, resource: { buffer: seen } }];
    const group = raw.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    const encoder = raw.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(seen, 0, staging, 0, bytes);
    raw.queue.submit([encoder.finish()]);
  };
  try {
    for (const filter of SCOPES) raw.pushErrorScope(filter);
    let failures: Promise<(GPUError | null)[]>;
    try {
      encode();
    } finally {
      // In the same turn: scopes are a stack of the device, which others may use.
      failures = Promise.all(SCOPES.map(() => raw.popErrorScope()));
    }
    const failure = (await failures).find((f) => f !== null);
    if (failure) throw new Error(failure.message);
    await staging.mapAsync(MAP_READ);
    return new Uint32Array(staging.getMappedRange().slice(0));
  } finally {
    seen.destroy();
    staging.destroy();
  }
}
