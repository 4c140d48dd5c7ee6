/**
 * `tilestate trace`: a state policy's own kernels over recorded queries, keys and values; writes what is kept after
 * each step.
 */
import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import type { Recording } from "../../models/eval/trace.ts";
import type { SafetensorsFile, SafetensorsTensor } from "../../models/formats/safetensors.ts";
import { UserError } from "../../runtime/common/errors.ts";
import { type Context, printJson } from "../support/context.ts";
import {
  type AdapterOptions,
  adapterOption,
  examples,
  jsonOption,
  prefillOption,
  stateOption,
  whole,
} from "../support/options.ts";
import { givenState, type PolicyOptions, policyOption } from "../support/policies.ts";

interface Options extends AdapterOptions, PolicyOptions {
  readonly state: string;
  readonly tensors: string;
  readonly out: string;
  readonly prompt: number;
  readonly prefill: "recurrent" | "oneshot";
  readonly json?: boolean;
}

export function configure(command: Command, context: Context): void {
  examples(command, [
    "tilestate trace --state tova:12 --tensors layer.safetensors --out kept.json",
    "tilestate trace --state tova:12 --prompt 40 --prefill oneshot --tensors layer.safetensors --out kept.json",
  ])
    .addOption(stateOption().makeOptionMandatory().default(undefined))
    .addOption(policyOption())
    .requiredOption(
      "--tensors <file>",
      "safetensors with q [steps, query heads, head dim] and k, v [steps, KV heads, head dim]",
    )
    .requiredOption(
      "--out <file>",
      'the JSON file to write: {"kept": [[positions], …], "attention": [step][head][dim]}',
    )
    .option("--prompt <steps>", "steps that are the prompt; matters with --prefill oneshot", whole(1), 1)
    .addOption(prefillOption())
    .addOption(adapterOption())
    .addOption(jsonOption())
    .action((options: Options) => run(options, context));
}

async function run(options: Options, context: Context): Promise<void> {
  const { io } = context;
  const [{ parsePolicy }, { readSafetensors }, { trace }, { adapterJson, adapterLine, withGpu }] = await Promise.all([
    import("../../models/index.ts"),
    import("../../models/formats/safetensors.ts"),
    import("../../models/eval/trace.ts"),
    import("../support/session.ts"),
  ]);
  const given = await givenState(options.state, options.policy);
  const policy = parsePolicy(given.state, given.policies);
  const recording = await readRecording(await readSafetensors(options.tensors));
  const { steps, heads, groups, headDim } = recording;
  await withGpu(context, options.adapter, async (gpu) => {
    const { prompt, prefill } = options;
    io.err(`adapter  ${adapterLine(gpu)}\n`);
    const { kept, attention } = await trace(gpu, recording, policy, { prompt, prefill });
    const row = (t: number, h: number): number[] => {
      const at = (t * heads + h) * headDim;
      return [...attention.subarray(at, at + headDim)];
    };
    const nested = Array.from({ length: steps }, (_, t) => Array.from({ length: heads }, (_, h) => row(t, h)));
    try {
      await writeFile(options.out, `${JSON.stringify({ kept, attention: nested })}\n`);
    } catch (cause) {
      throw new UserError(`${options.out}: cannot write (${(cause as Error).message})`);
    }
    const last = kept.at(-1) ?? [];
    if (options.json) {
      const state = { state: policy.text, prompt, prefill, steps, heads, groups, head_dim: headDim };
      printJson(io, { adapter: adapterJson(gpu), ...state, out: options.out, entries: kept.length, kept_at_end: last });
    } else
      io.err(
        `trace    ${steps} steps of ${heads} query and ${groups} KV heads in ${options.out}; at the end ${last.join(" ")}\n`,
      );
  });
}

/** The recorded tensors, checked against each other. Throws `UserError` naming file and tensor. */
async function readRecording(file: SafetensorsFile): Promise<Recording> {
  const find = (name: string): SafetensorsTensor => {
    const found = file.tensors.get(name);
    const all = [...file.tensors.keys()];
    const names = all.length === 0 ? "none" : `${all.slice(0, 6).join(", ")}${all.length > 6 ? ", …" : ""}`;
    if (found === undefined) throw new UserError(`${file.where}: no tensor "${name}"; there are: ${names}`);
    if (found.shape.length !== 3 || found.shape.includes(0)) {
      const rows = name === "q" ? "query heads" : "KV heads";
      throw new UserError(
        `${file.where}: tensor "${name}": expected [steps, ${rows}, head dim], got [${found.shape.join(", ")}]`,
      );
    }
    return found;
  };
  const [q, k, v] = [find("q"), find("k"), find("v")];
  const [steps = 0, heads = 0, headDim = 0] = q.shape;
  const groups = k.shape[1] ?? 0;
  for (const t of [k, v]) {
    const expected = [steps, groups, headDim];
    if (t.shape.some((n, i) => n !== expected[i])) {
      throw new UserError(
        `${file.where}: tensor "${t.name}": expected [${expected.join(", ")}] as "q"${t === v ? ' and "k" have' : " has"} it, got [${t.shape.join(", ")}]`,
      );
    }
  }
  return {
    steps,
    heads,
    groups,
    headDim,
    q: await floats(file, q),
    k: await floats(file, k),
    v: await floats(file, v),
  };
}

async function floats(file: SafetensorsFile, t: SafetensorsTensor): Promise<Float32Array> {
  const { decodeBF16, decodeF16 } = await import("../../runtime/memory/dtype.ts");
  const data = await t.bytes();
  if (t.dtype === "F32") return new Float32Array(data.buffer, data.byteOffset, data.byteLength / 4);
  const halves = (): Uint16Array => new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2);
  if (t.dtype === "F16") return decodeF16(halves());
  if (t.dtype === "BF16") return decodeBF16(halves());
  throw new UserError(`${file.where}: tensor "${t.name}": expected F32, F16 or BF16, got ${t.dtype}`);
}
