import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type AdapterFacts, describeAdapter } from "../../runtime/adapters/capabilities.ts";
import { type DawnRequest, openDawn } from "../../runtime/adapters/dawn.ts";
import { unpackEmbedded } from "../../runtime/adapters/swiftshader.ts";
import { UserError } from "../../runtime/common/errors.ts";
import { openDevice } from "../../runtime/device/device.ts";
import { adaptersUnderTest, EMBEDDED, withDevice } from "../support/gpu.ts";

const kept = { ...process.env };
afterEach(() => {
  for (const name of ["TILESTATE_ADAPTER", "TILESTATE_FEATURE_LEVEL", "TILESTATE_CACHE", "TMPDIR"]) {
    if (kept[name] === undefined) delete process.env[name];
    else process.env[name] = kept[name];
  }
});

/** An adapter on paper. */
function paper(
  info: Partial<GPUAdapterInfo>,
  features: readonly string[],
  matrices: readonly object[] = [],
): AdapterFacts {
  const all = { vendor: "", architecture: "", device: "", description: "", isFallbackAdapter: false };
  return {
    info: { ...all, ...info, subgroupMatrixConfigs: matrices } as unknown as GPUAdapterInfo,
    features: new Set(features),
    limits: {
      maxStorageBufferBindingSize: 1,
      maxBufferSize: 2,
      maxComputeInvocationsPerWorkgroup: 3,
      maxComputeWorkgroupStorageSize: 4,
      maxStorageBuffersPerShaderStage: 5,
      maxComputeWorkgroupsPerDimension: 6,
    } as GPUSupportedLimits,
  };
}

const SUBGROUPS = { subgroupMinSize: 32, subgroupMaxSize: 32 };
const MATRIX = "chromium-experimental-subgroup-matrix";

describe("the description of an adapter", () => {
  it.each([
    ["L0", []],
    ["L0", ["shader-f16"]],
    ["L1", ["subgroups"]],
    ["L1", ["subgroups", "subgroup-size-control"]],
    ["L2", ["subgroups", "shader-f16"]],
    ["L3", ["subgroups", "shader-f16", "subgroup-size-control"]],
    ["L4", ["subgroups", "shader-f16", "subgroup-size-control", MATRIX]],
  ] as const)("reaches feature level %s with %j", (featureLevel, features) => {
    const matrix = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
    const adapter = paper({ vendor: "nvidia", device: "nvidia-h100-pcie", ...SUBGROUPS }, features, [matrix]);
    const found = describeAdapter(adapter);
    expect(found.featureLevel).toBe(featureLevel);
    expect(found).toMatchObject({ name: "nvidia h100 pcie", kind: "discrete", profile: "gpu" });
    expect(found.subgroupMatrix).toEqual(
      featureLevel === "L4" ? [{ component: "f16", result: "f32", M: 16, N: 16, K: 16 }] : [],
    );
    expect(found.limits).toEqual({
      bindingBytes: 1,
      bufferBytes: 2,
      workgroupInvocations: 3,
      workgroupBytes: 4,
      storageBuffers: 5,
      workgroups: 6,
    });
  });

  it("has the feature of matrices but no shape of them: stays below L4", () => {
    const all = ["subgroups", "shader-f16", "subgroup-size-control", MATRIX];
    expect(describeAdapter(paper({ vendor: "intel", ...SUBGROUPS }, all)).featureLevel).toBe("L3");
  });

  it("is lowered by TILESTATE_FEATURE_LEVEL and never raised", () => {
    const adapter = paper(SUBGROUPS, ["subgroups", "shader-f16"]);
    process.env.TILESTATE_FEATURE_LEVEL = "l1";
    expect(describeAdapter(adapter).featureLevel).toBe("L1");
    process.env.TILESTATE_FEATURE_LEVEL = "L4";
    expect(describeAdapter(adapter).featureLevel).toBe("L2");
    process.env.TILESTATE_FEATURE_LEVEL = "9";
    expect(() => describeAdapter(adapter)).toThrow(
      'TILESTATE_FEATURE_LEVEL: expected one of L0, L1, L2, L3, L4, got "9"',
    );
  });

  it.each([
    ["software", "google", "swiftshader-device-subzero-"],
    ["discrete", "nvidia", "nvidia-geforce-rtx-4090"],
    ["integrated", "nvidia", "nvidia-tegra-orin-nvgpu-"],
    ["discrete", "amd", "amd-radeon-rx-7900-xtx-radv-navi31-"],
    ["integrated", "amd", "amd-radeon-graphics-radv-raphael-"],
    ["integrated", "intel", "intel-r-uhd-graphics-770"],
    ["discrete", "intel", "intel-r-arc-tm-a770-graphics"],
    ["integrated", "apple", "apple-m2"],
    ["unknown", "", "something"],
  ] as const)("tells %s by %s %s", (kind, vendor, device) => {
    expect(describeAdapter(paper({ vendor, device }, [])).kind).toBe(kind);
  });
});

describe("opening an adapter", () => {
  it.each(adaptersUnderTest())("%s is what it says", async (name) => {
    const { capabilities, origin } = await withDevice(name);
    expect(capabilities.kind).toBe("software");
    expect(capabilities.profile).toBe("software");
    expect(origin).toBe(name === "swiftshader" ? "embedded" : "system");
    expect(`${capabilities.name} ${capabilities.description}`.toLowerCase()).toContain(name);
    expect(capabilities.subgroups?.min).toBeGreaterThanOrEqual(4);
    // SwiftShader has no f16, so it proves the feature level below.
    if (name === "swiftshader")
      expect(capabilities).toMatchObject({ f16: false, featureLevel: "L1", subgroups: { min: 4, max: 4 } });
    else expect(capabilities).toMatchObject({ f16: true, subgroupSizeControl: true, featureLevel: "L3" });
    expect(capabilities.limits.bindingBytes).toBeGreaterThanOrEqual(128 << 20);
    expect(capabilities.limits.workgroupInvocations).toBeGreaterThanOrEqual(256);
    expect(capabilities.timestamps).toBe(true);
  });

  it("knows the null backend, which compiles every feature level", async () => {
    const device = await openDevice({ adapter: "null" });
    expect(device.origin).toBe("null");
    expect(device.capabilities).toMatchObject({ featureLevel: "L4", profile: "gpu", f16: true });
    expect(device.capabilities.subgroupMatrix.length).toBeGreaterThan(0);
    await device.close();
  });

  it("takes the first there is by default, or what TILESTATE_ADAPTER names", async () => {
    expect((await openDawn({ adapter: "auto" })).adapter.limits.maxBufferSize).toBeGreaterThan(0);
    process.env.TILESTATE_ADAPTER = "null";
    expect((await openDawn()).origin).toBe("null");
    expect((await openDawn({ adapter: "swiftshader" })).origin).toBe("embedded");
  });

  it("lists what there is when the named one is not there", async () => {
    const failure = await openDawn({ adapter: "voodoo" }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UserError);
    expect((failure as UserError).message).toMatch(/^no adapter matches "voodoo"; found: /);
    expect((failure as UserError).hint).toContain("swiftshader");
    const others = adaptersUnderTest().filter((name) => name !== "swiftshader");
    for (const name of others) expect((failure as UserError).message).toContain(name);
  });

  it("passes toggles on", async () => {
    const { adapter, origin } = await openDawn({
      adapter: "swiftshader",
      toggles: ["allow_unsafe_apis", "-skip_validation"],
    });
    expect(origin).toBe("embedded");
    expect(adapter.info.device).toContain("swiftshader");
  });
});

describe("the unsafe APIs of Dawn", () => {
  /** What Dawn is created with for an adapter of this kind; each time under another name, since instances are kept. */
  let turn = 0;
  async function optionsFor(vendor: string, request: DawnRequest = {}): Promise<string> {
    const created: string[][] = [];
    const info = { vendor, architecture: "", device: "toy", description: "", isFallbackAdapter: vendor === "software" };
    const dawn = {
      create: (options: string[]): GPU => {
        created.push(options);
        return { requestAdapter: () => Promise.resolve({ info, features: new Set(), limits: {} }) } as unknown as GPU;
      },
    };
    const toggles = [`toy_${turn++}`, ...(request.toggles ?? [])];
    await openDawn({ adapter: "auto", dawn, ...request, toggles });
    expect(created.length).toBe(vendor === "software" ? 1 : 2);
    return created.flat().join(" ");
  }

  it("are off on every adapter unless matrix units are asked for", async () => {
    for (const vendor of ["nvidia", "amd", "intel", "software"])
      expect(await optionsFor(vendor), vendor).not.toContain("allow_unsafe_apis");
    expect(await optionsFor("nvidia")).toContain("vulkan_enable_f16_on_nvidia");
    expect(await optionsFor("nvidia", { matrixUnits: true })).toContain("allow_unsafe_apis");
    expect(await optionsFor("software", { matrixUnits: true })).not.toContain("allow_unsafe_apis");
    expect(await optionsFor("amd", { toggles: ["allow_unsafe_apis"] })).toContain("allow_unsafe_apis");
  });

  it("come with feature level L4, if that is asked for", async () => {
    process.env.TILESTATE_FEATURE_LEVEL = "L3";
    expect(await optionsFor("nvidia")).not.toContain("allow_unsafe_apis");
    process.env.TILESTATE_FEATURE_LEVEL = "L4";
    expect(await optionsFor("nvidia")).toContain("allow_unsafe_apis");
    expect(await optionsFor("nvidia", { matrixUnits: false })).not.toContain("allow_unsafe_apis");
  });
});

describe("unpacking the embedded adapter", () => {
  if (!EMBEDDED)
    it("is refused where there is none", () => {
      expect(() => unpackEmbedded()).toThrow(/for Linux on x86-64 only/);
    });

  /** What lies there besides notes of what was checked. */
  const foldersIn = (root: string): string[] => readdirSync(root).filter((name) => !name.endsWith(".checked"));

  it.runIf(EMBEDDED)("makes one complete folder, and leaves it alone the next time", () => {
    const root = mkdtempSync(join(tmpdir(), "tilestate-test-"));
    const folder = unpackEmbedded(root);
    expect(readdirSync(folder).sort()).toEqual(["dawn.node", "libvulkan.so.1"]);
    expect(unpackEmbedded(root)).toBe(folder);
    expect(unpackEmbedded(root)).toBe(folder);
    expect(foldersIn(root)).toHaveLength(1);
    rmSync(root, { recursive: true });
  });

  const damage: readonly [string, (folder: string) => void][] = [
    ["a library cut off", (folder) => truncateSync(join(folder, "libvulkan.so.1"), 4096)],
    ["Dawn cut off", (folder) => truncateSync(join(folder, "dawn.node"), 1 << 20)],
    [
      "one byte changed",
      (folder) => {
        const file = join(folder, "libvulkan.so.1");
        const bytes = readFileSync(file);
        bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
        writeFileSync(file, bytes);
      },
    ],
    ["a library missing", (folder) => rmSync(join(folder, "dawn.node"))],
    [
      "a file in its place",
      (folder) => {
        rmSync(folder, { recursive: true });
        writeFileSync(folder, "");
      },
    ],
  ];
  it.runIf(EMBEDDED).each(damage)("makes a folder anew that has %s", (_, spoil) => {
    const root = mkdtempSync(join(tmpdir(), "tilestate-test-"));
    const folder = unpackEmbedded(root);
    // Once more: by then there is a note that it was whole.
    expect(unpackEmbedded(root)).toBe(folder);
    const sizes = (): number[] => readdirSync(folder).map((name) => statSync(join(folder, name)).size);
    const whole = sizes();
    const library = readFileSync(join(folder, "libvulkan.so.1"));
    spoil(folder);
    expect(unpackEmbedded(root)).toBe(folder);
    expect(sizes()).toEqual(whole);
    expect(readFileSync(join(folder, "libvulkan.so.1")).equals(library)).toBe(true);
    expect(foldersIn(root)).toHaveLength(1);
    rmSync(root, { recursive: true });
  });

  it.runIf(EMBEDDED)("removes what a process left that died while unpacking, and no folder of others", () => {
    const root = mkdtempSync(join(tmpdir(), "tilestate-test-"));
    const then = new Date(Date.now() - 25 * 3_600_000);
    for (const [name, file] of [
      ["unpacking-abc123", "dawn.node"],
      ["unpacking-mine77", "thesis.txt"],
      ["unpacking-young1", "dawn.node"],
    ] as const) {
      mkdirSync(join(root, name));
      writeFileSync(join(root, name, file), "");
      if (!name.includes("young")) utimesSync(join(root, name), then, then);
    }
    unpackEmbedded(root);
    const names = readdirSync(root).filter((name) => name.startsWith("unpacking"));
    expect(names.sort()).toEqual(["unpacking-mine77", "unpacking-young1"]);
    rmSync(root, { recursive: true });
  });

  it.runIf(EMBEDDED)("goes among the temporary files where TILESTATE_CACHE is no folder", () => {
    const root = mkdtempSync(join(tmpdir(), "tilestate-test-"));
    writeFileSync(join(root, "file"), "");
    process.env.TILESTATE_CACHE = join(root, "file");
    process.env.TMPDIR = root;
    expect(unpackEmbedded().startsWith(join(root, `tilestate-${process.getuid?.()}`, "swiftshader-"))).toBe(true);
    rmSync(root, { recursive: true });
  });

  it.runIf(EMBEDDED)("says where it tried when no folder can be written", () => {
    const root = mkdtempSync(join(tmpdir(), "tilestate-test-"));
    writeFileSync(join(root, "file"), "");
    expect(() => unpackEmbedded(join(root, "file", "cache"))).toThrow(/could not be unpacked: tried .*file.cache/);
    rmSync(root, { recursive: true });
  });
});
