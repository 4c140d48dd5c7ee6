/** `--weights`: what `inspect` says a format takes, and that the commands run with it. */
import { expect, test } from "vitest";
import { temporary } from "../models/formats/temporary.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import { cli, cliJson, distance, tensorOf } from "./run.ts";

const at = temporary();

interface Inspected {
  readonly parameters: number;
  readonly weights?: string;
  readonly config: { readonly layers: readonly unknown[]; readonly dim: number };
  readonly bytes: { readonly weights: number; readonly state: number; readonly total: number };
}

test("inspect counts the bytes of the format asked for", async () => {
  const stored = await cliJson<Inspected>("inspect");
  expect(stored.weights).toBeUndefined();
  const { layers, dim } = stored.config;
  const norms = (2 * layers.length + 1) * dim;
  for (const [format, each] of [
    ["f32", 4],
    ["f16", 2],
    ["q8", 1 + 2 / 32],
    ["q4", 0.5 + 2 / 32],
  ] as const) {
    const { weights, bytes } = await cliJson<Inspected>("inspect", "--weights", format);
    expect(weights).toBe(format);
    expect(bytes.weights).toBe((stored.parameters - norms) * each + norms * 4);
    expect(bytes.state).toBe(stored.bytes.state);
  }
  expect((await cli("inspect", "--weights", "q4")).out).toContain(", kept as q4\n");
  expect(await cli("inspect", "--weights", "q2")).toMatchObject({ code: 2, out: "" });
});

test("forward runs with 8-bit weights: another model, but not much", async () => {
  const adapter = adaptersUnderTest()[0] as string;
  const run = async (name: string, ...more: string[]): Promise<Float32Array> => {
    const out = at(`${name}.safetensors`);
    const said = await cli("forward", "--adapter", adapter, "--ids", "35,505,343", "--out", out, ...more);
    expect(said.code, said.err).toBe(0);
    return (await tensorOf(out, "logits")).data;
  };
  const [exact, rounded] = [await run("stored"), await run("q8", "--weights", "q8")];
  const largest = exact.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  expect(distance(exact, rounded)).toBeGreaterThan(0);
  expect(distance(exact, rounded)).toBeLessThan(0.1 * largest);
});
