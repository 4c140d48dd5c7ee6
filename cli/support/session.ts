/**
 * Opening and closing for commands: a GPU that is closed however the command ends, and the lines that say what is about
 * to run.
 */
import type { Contract, Decoder, ModelSource } from "../../models/index.ts";
import type { Gpu } from "../../runtime/index.ts";
import type { Context } from "./context.ts";
import { bytes, count } from "./format.ts";

/** Runs `work` with an open GPU and closes it afterwards, after an error or Ctrl-C as well. */
export async function withGpu<T>(
  context: Context,
  adapter: string | undefined,
  work: (gpu: Gpu) => Promise<T>,
): Promise<T> {
  const { open } = await import("../../runtime/index.ts");
  // A process of its own: nobody else's threads are chosen.
  const gpu = await open({ adapter, threads: "auto" });
  const close = (): void => void gpu.close();
  context.signal.addEventListener("abort", close, { once: true });
  try {
    context.signal.throwIfAborted();
    return await work(gpu);
  } finally {
    context.signal.removeEventListener("abort", close);
    await gpu.close();
  }
}

/** `llvmpipe (…), software, feature level L2`. */
export function adapterLine(gpu: Gpu): string {
  const { name, description, kind, featureLevel, subgroups } = gpu.capabilities;
  const more = description === "" || description === name ? "" : ` (${description})`;
  const lanes = subgroups === undefined ? "no subgroups" : `subgroups of ${span(subgroups.min, subgroups.max)}`;
  return `${name}${more}: ${kind === "unknown" ? "GPU" : kind}, ${lanes}, feature level ${featureLevel}`;
}

function span(min: number, max: number): string {
  return min === max ? String(min) : `${min} to ${max}`;
}

/** What was opened, for `--json`. */
export function adapterJson(gpu: Gpu): Record<string, unknown> {
  const { name, description, kind, featureLevel } = gpu.capabilities;
  return { name, description, kind, featureLevel, origin: gpu.device.origin };
}

/** One line that says what the model and its state take. */
export function contractLine(source: ModelSource, state: string, c: Contract): string {
  const total = c.weights + c.state + c.scratch;
  return (
    `${source.config.name}, ${count(c.parameters)} parameters: weights ${bytes(c.weights)}, ` +
    `state ${bytes(c.state)} (${state}, ${c.kept} + 1 slots in each of ${source.config.layers.length} layers), ` +
    `scratch ${bytes(c.scratch)}, together ${bytes(total)}`
  );
}

/** Says on stderr which adapter runs what, and how much memory it takes. */
export function announce(context: Context, gpu: Gpu, source: ModelSource, decoder: Decoder): void {
  const { io } = context;
  io.err(`adapter  ${adapterLine(gpu)}\n`);
  for (const note of gpu.device.notes) io.err(`         ${note}\n`);
  for (const note of source.notes) io.err(`model    ${note}\n`);
  io.err(`memory   ${contractLine(source, decoder.policy.text, decoder.contract)}\n`);
}
