import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { UserError } from "../../runtime/common/errors.ts";
import { type Device, openDevice } from "../../runtime/device/device.ts";
import { guarded } from "../../runtime/device/scopes.ts";
import { settle } from "../../runtime/device/wait.ts";
import { createTensor } from "../../runtime/memory/create.ts";
import { adaptersUnderTest, EMBEDDED, withDevice } from "../support/gpu.ts";

const SCRIPT = fileURLToPath(new URL("./programs/open-close.ts", import.meta.url));
const STORAGE = 128;
const DOUBLE = `
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&x)) { x[id.x] = x[id.x] * 2.0; }
}`;

async function doubler(device: Device): Promise<GPUComputePipeline> {
  const module = device.raw.createShaderModule({ code: DOUBLE });
  return guarded(device, 'kernel "double"', () =>
    device.raw.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "main" } }),
  );
}

describe.each(adaptersUnderTest())("a device on %s", (adapter) => {
  it("computes", async () => {
    const device = await withDevice(adapter);
    const tensor = createTensor(device, [100], "f32", { data: Float32Array.from({ length: 100 }, (_, i) => i) });
    const pipeline = await doubler(device);
    const group = device.raw.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer: tensor.buffer, offset: tensor.offset, size: tensor.bytes } }],
    });
    for (let i = 0; i < 3; i++) {
      const encoder = device.raw.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(2);
      pass.end();
      device.raw.queue.submit([encoder.finish()]);
      await settle(device, "double");
    }
    expect([...(await tensor.read())]).toEqual(Array.from({ length: 100 }, (_, i) => i * 8));
    tensor.destroy();
  });

  it("turns errors in a guard into one exception with the name in front", async () => {
    const device = await withDevice(adapter);
    const bad = guarded(device, 'kernel "attend"', () => device.raw.createBuffer({ size: 16, usage: 1 | 2 }));
    await expect(bad).rejects.toThrow(/^kernel "attend": /);
    const thrown = guarded(device, 'kernel "evict"', () => {
      throw new TypeError("no such thing");
    });
    await expect(thrown).rejects.toThrow('kernel "evict": no such thing');
    const module = device.raw.createShaderModule({
      code: "@compute @workgroup_size(1) fn main() { let x: i32 = 1.5; }",
    });
    await settle(device).catch(() => {});
    const pipeline = guarded(device, 'kernel "typo"', () =>
      device.raw.createComputePipelineAsync({ layout: "auto", compute: { module } }),
    );
    await expect(pipeline).rejects.toThrow(/^kernel "typo": /);
    expect(await guarded(device, "fine", () => 7)).toBe(7);
    await settle(device);
  });

  it("throws what nobody caught at the next wait, once", async () => {
    const device = await withDevice(adapter);
    device.raw.createBuffer({ size: 16, usage: 1 | 2, label: "wrong" });
    await expect(settle(device)).rejects.toThrow(/outside any guard.*\n?.*/);
    await settle(device);
  });

  it("reports the loss of the device with its reason", async () => {
    const device = await openDevice({ adapter });
    const tensor = createTensor(device, [4], "f32");
    device.raw.destroy();
    expect(await device.lost).toMatch(/destroyed/);
    await expect(settle(device)).rejects.toThrow(/GPU device was lost: it was destroyed/);
    await expect(tensor.read()).rejects.toThrow(/lost/);
    await expect(guarded(device, "x", () => 1)).rejects.toThrow(/lost/);
    expect(device.isOpen).toBe(false);
    await device.close();
  });

  it("closes once and for all, also with failures pending", async () => {
    const device = await openDevice({ adapter });
    device.raw.createBuffer({ size: 16, usage: 1 | 2 });
    createTensor(device, [4], "f32");
    await device.close();
    await device.close();
    expect(await device.lost).toBe("closed");
    await expect(settle(device)).rejects.toThrow(UserError);
    expect(() => createTensor(device, [4], "f32")).toThrow("the device was closed");
  });

  it("wraps a device that the caller made, and leaves it alive", async () => {
    const owner = await withDevice(adapter);
    const guest = await openDevice({ device: owner.raw });
    expect(guest.origin).toBe("given");
    expect(guest.capabilities).toEqual(owner.capabilities);
    const tensor = createTensor(guest, [2], "f32", { data: [3, 4] });
    expect([...(await tensor.read())]).toEqual([3, 4]);
    await guest.close();
    owner.raw.createBuffer({ size: 16, usage: STORAGE }).destroy();
    await settle(owner);
  });
});

describe("both Dawns", () => {
  it("work at the same time in one process", async () => {
    const devices = await Promise.all(adaptersUnderTest().map(withDevice));
    for (let round = 0; round < 5; round++) {
      const values = await Promise.all(
        devices.map((device, i) => createTensor(device, [3], "u32", { data: [i, round, 9] }).read()),
      );
      for (const [i, one] of values.entries()) expect([...one]).toEqual([i, round, 9]);
    }
  });

  it("let the process end by itself after close", async () => {
    const adapters = [...adaptersUnderTest(), "null"];
    const { code, out } = await run([...runtimeArguments(), SCRIPT, ...adapters]);
    expect(out.trim().split("\n").at(-1)).toBe("closed");
    for (const name of adapters.slice(0, -1)) expect(out).toContain(`${name} 1 2 3`);
    expect(code).toBe(0);
  }, 30_000);

  it.runIf(EMBEDDED)(
    "unpack the embedded adapter once when several processes need it at the same moment",
    async () => {
      const cache = mkdtempSync(join(tmpdir(), "tilestate-test-"));
      const once = (): ReturnType<typeof run> =>
        run([...runtimeArguments(), SCRIPT, "swiftshader"], { TILESTATE_CACHE: cache });
      for (const { code, out } of await Promise.all([once(), once(), once()])) {
        expect(out).toBe("swiftshader 1 2 3\nclosed\n");
        expect(code).toBe(0);
      }
      // Besides the note that it was checked.
      expect(readdirSync(cache).filter((name) => !name.endsWith(".checked"))).toHaveLength(1);
      rmSync(cache, { recursive: true });
    },
    30_000,
  );
});

/** What makes this same runtime run a TypeScript file. */
function runtimeArguments(): string[] {
  if ("Deno" in globalThis) return ["run", "-A"];
  return "Bun" in globalThis ? [] : ["--import", "tsx"];
}

function run(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<{ code: number | null; out: string }> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", "pipe", "inherit"],
      timeout: 25_000,
      env: { ...process.env, ...env },
    });
    let out = "";
    child.stdout.on("data", (chunk) => {
      out += String(chunk);
    });
    child.on("error", fail);
    child.on("close", (code) => done({ code, out }));
  });
}
