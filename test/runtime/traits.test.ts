/** Traits: whose they are, that they change code and never results, and that four lanes alone make no SwiftShader. */
import { fileURLToPath } from "node:url";
import { describe, expect, it, test } from "vitest";
import { type AdapterTraits, type Family, familyOf, TRAITS, traitsOf } from "../../runtime/adapters/traits.ts";
import { open } from "../../runtime/index.ts";
import { adaptersUnderTest, onlyOn } from "../support/gpu.ts";
import { runProgram } from "../support/program.ts";
import { type Outcome, runProducts } from "./programs/products-run.ts";

/** f32 sums of 256 products in another order than the reference's. */
const CLOSE = 2e-6;

function info(names: Partial<GPUAdapterInfo>): GPUAdapterInfo {
  return { vendor: "", architecture: "", device: "", description: "", ...names } as GPUAdapterInfo;
}

describe("an adapter's family", () => {
  it.each([
    ["lavapipe", { device: "llvmpipe-llvm-15-0-6-256-bits" }],
    ["lavapipe", { device: "llvmpipe-llvm-15-0-6-128-bits", subgroupMinSize: 4, subgroupMaxSize: 4 }],
    ["lavapipe", { description: "llvmpipe (LLVM 19.1.7, 512 bits)" }],
    ["swiftshader", { device: "swiftshader-device-subzero-" }],
    ["swiftshader", { vendor: "google", architecture: "swiftshader" }],
    ["software", { description: "Microsoft Basic Render Driver" }],
    ["software", { device: "something", isFallbackAdapter: true }],
    ["gpu", { vendor: "nvidia", device: "nvidia-h100-pcie", subgroupMinSize: 32, subgroupMaxSize: 32 }],
    ["gpu", { vendor: "qualcomm", device: "adreno", subgroupMinSize: 4, subgroupMaxSize: 4 }],
  ] as const satisfies readonly (readonly [Family, Partial<GPUAdapterInfo>])[])("is %s for %j", (family, names) => {
    expect(familyOf(info(names))).toBe(family);
    expect(traitsOf(info(names))).toEqual(TRAITS[family]);
  });
});

describe("traits that are given", () => {
  it("take the place of the adapter's own, one by one", () => {
    expect(traitsOf(info({ vendor: "nvidia" }), { scalarShifts: true, vectorRegisters: 7 })).toEqual({
      ...TRAITS.gpu,
      scalarShifts: true,
      vectorRegisters: 7,
    });
    expect(traitsOf(info({ device: "llvmpipe" }), { textureBytes: undefined }).textureBytes).toBeUndefined();
  });

  it.each([
    [{ shifty: true }, 'traits: no trait "shifty"; there are scalarShifts, constantsAreLoads, '],
    [{ scalarShifts: 1 }, 'traits: "scalarShifts" expected a boolean, got 1'],
    [{ vectorRegisters: "all" }, 'traits: "vectorRegisters" expected a number, got "all"'],
  ])("are refused where they are none: %j", (given, message) => {
    expect(() => traitsOf(info({}), given as Partial<AdapterTraits>)).toThrow(message);
  });
});

describe.each(adaptersUnderTest())("%s", (adapter) => {
  const run = async (traits?: AdapterTraits): Promise<Outcome[]> => {
    const gpu = await open({ adapter, traits });
    try {
      if (traits !== undefined) expect(gpu.target.traits).toEqual(traits);
      return await runProducts(gpu);
    } finally {
      await gpu.close();
    }
  };

  test("computes the same with other adapters' traits, by other code", async () => {
    const own = await run();
    expect(own.length).toBe(16);
    for (const { what, worst } of own) expect(worst, what).toBeLessThan(CLOSE);
    for (const family of ["lavapipe", "swiftshader", "gpu"] as const) {
      const other = await run(TRAITS[family]);
      for (const { what, worst } of other) expect(worst, `${what}, as on ${family}`).toBeLessThan(CLOSE);
      const changed = other.filter(({ wgsl }, i) => wgsl !== own[i]?.wgsl);
      if (family === (adapter === "llvmpipe" ? "lavapipe" : adapter)) expect(changed).toEqual([]);
      else expect(changed.length).toBeGreaterThan(0);
    }
  });
});

test.each(onlyOn("llvmpipe"))("%s with four lanes is no SwiftShader", async (adapter) => {
  const program = fileURLToPath(new URL("programs/products-here.ts", import.meta.url));
  const { code, out, errors } = await runProgram(program, [adapter], { LP_NATIVE_VECTOR_WIDTH: "128" });
  expect(code, errors).toBe(0);
  const said = JSON.parse(out) as {
    readonly subgroups: unknown;
    readonly traits: unknown;
    readonly outcomes: readonly Outcome[];
  };
  expect(said.subgroups).toEqual({ min: 4, max: 4 });
  expect(said.traits).toEqual(JSON.parse(JSON.stringify(TRAITS.lavapipe)));
  expect(said.outcomes.length).toBe(16);
  for (const { what, worst, lanes } of said.outcomes) {
    expect(worst, what).toBeLessThan(CLOSE);
    expect(lanes, what).toBe(4);
  }
});
