/**
 * Subgroups are looked at before kernels lean on them, and a device whose subgroups are others opens on feature level
 * L0 and says so.
 */
import { describe, expect, it, test } from "vitest";
import { openDawn } from "../../runtime/adapters/dawn.ts";
import { problemOf, subgroupProblem } from "../../runtime/adapters/subgroups.ts";
import { openDevice } from "../../runtime/device/device.ts";
import { Gpu, targetOf } from "../../runtime/index.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import { runProducts } from "./programs/products-run.ts";

/** What a driver writes whose subgroups of `size` are made of these invocations, in this order of lanes. */
function seen(size: number, subgroups: readonly (readonly number[])[]): Uint32Array {
  const words: number[] = [];
  for (const own of subgroups)
    for (const [lane, i] of own.entries()) words.splice(4 * i, 4, size, lane, Math.min(...own), Math.max(...own));
  return Uint32Array.from(words);
}

describe("what the probe wrote", () => {
  it("is as it should be for neighbours in order, and in any order of lanes", () => {
    const inOrder = [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ];
    expect(problemOf(seen(4, inOrder), 4, false)).toBeUndefined();
    expect(problemOf(seen(4, inOrder), 4, true)).toBeUndefined();
    expect(problemOf(words([0, 2, 1, 3], [3, 0, 1, 2]), 4, false)).toBeUndefined();
    expect(problemOf(words([0, 2, 1, 3], [3, 0, 1, 2]), 4, true)).toBe("expected lane 1, got 2 for invocation 1");
  });

  it.each([
    ["another size", seen(8, [[0, 1, 2, 3, 4, 5, 6, 7]]), "expected 4 lanes, got 8"],
    ["a lane twice", words([0, 1, 1, 3], [0, 1, 2, 3]), "expected lanes 0 to 3 once each, got 1 for invocation 2"],
    ["a lane too many", words([0, 1, 2, 4], [0, 1, 2, 3]), "expected lanes 0 to 3 once each, got 4 for invocation 3"],
    [
      "neighbours apart",
      Uint32Array.from([0, 1, 2, 3, 4, 5, 6, 7].flatMap((i) => [4, i >> 1, i % 2, 6 + (i % 2)])),
      "expected invocations 0 to 3 in one, got invocation 0 with 0 to 6",
    ],
    ["nothing", new Uint32Array(32), "expected 4 lanes, got 0"],
  ])("is refused with %s", (_, written, problem) => {
    expect(problemOf(written, 4, false)).toBe(problem);
  });

  /** Two subgroups of four neighbours with these numbers of lanes. */
  function words(...lanes: readonly (readonly number[])[]): Uint32Array {
    return Uint32Array.from(lanes.flatMap((own, s) => own.flatMap((lane) => [4, lane, 4 * s, 4 * s + 3])));
  }
});

describe.each(adaptersUnderTest())("%s", (adapter) => {
  /** The adapter's own device, on which the probe's text is another. */
  async function spoilt(change: (code: string) => string): Promise<{ raw: GPUDevice; asked: () => number }> {
    const dawn = await openDawn({ adapter });
    const features = [...dawn.adapter.features].filter((f) => /^(subgroups|subgroup-size-control|shader-f16)$/.test(f));
    const raw = await dawn.adapter.requestDevice({ requiredFeatures: features as GPUFeatureName[] });
    let asked = 0;
    const make = raw.createShaderModule.bind(raw);
    Object.defineProperty(raw, "createShaderModule", {
      value: (how: GPUShaderModuleDescriptor): GPUShaderModule => {
        if (how.label !== "subgroup probe") return make(how);
        asked++;
        const code = change(how.code);
        expect(code).not.toBe(how.code);
        return make({ ...how, code });
      },
    });
    return { raw, asked: () => asked };
  }

  test("passes the probe on its own feature level", async () => {
    const usual = await openDevice({ adapter });
    const looked = await openDevice({ adapter, traits: { linearSubgroups: false } });
    expect(looked.capabilities.featureLevel).toBe(usual.capabilities.featureLevel);
    expect(looked.notes).toEqual(usual.notes);
    await Promise.all([usual.close(), looked.close()]);
  });

  test("has lanes in the order of its invocations, as its traits say", async () => {
    const device = await openDevice({ adapter });
    const target = targetOf(device.capabilities);
    expect(target.traits.linearSubgroups).toBe(true);
    expect(await subgroupProblem(device.raw, target)).toBeUndefined();
    await device.close();
  });

  test.each([
    ["another size", "vec4<u32>(size,", "vec4<u32>(size * 2u,", /expected (\d+) lanes, got \d+/],
    ["other invocations", "subgroupMax(lid)", "subgroupMax(lid) + 1u", /expected invocations 0 to \d+ in one, got /],
    ["a shader that it refuses", "enable subgroups;", "enable subgroups; oops", /a kernel that looks at them failed/],
  ])("with subgroups of %s opens on feature level L0, says so, and computes the same", async (_, from, to, problem) => {
    const { raw, asked } = await spoilt((code) => code.replace(from, to));
    const device = await openDevice({ device: raw, traits: { linearSubgroups: false } });
    expect(asked()).toBe(1);
    expect(device.capabilities.featureLevel).toBe("L0");
    expect(device.notes).toHaveLength(1);
    expect(device.notes[0]).toMatch(problem);
    expect(device.notes[0]).toMatch(/^The subgroups of .* Kernels run without them, on feature level L0\.$/);
    const gpu = new Gpu(device);
    expect(gpu.target.subgroup).toBe(0);
    for (const { what, worst, wgsl } of await runProducts(gpu, ["f32"])) {
      expect(worst, what).toBeLessThan(2e-6);
      expect(wgsl).not.toContain("enable subgroups");
    }
    await device.close();
    raw.destroy();
  });

  test("with lanes in another order keeps its feature level", async () => {
    const { raw } = await spoilt((code) => code.replace("(size, lane,", "(size, size - 1u - lane,"));
    const device = await openDevice({ device: raw, traits: { linearSubgroups: false } });
    expect([device.capabilities.featureLevel === "L0", device.notes]).toEqual([false, []]);
    await device.close();
    raw.destroy();
  });
});
