/** `tilestate bench decode`: one decoder in depth. */
import { measureCeiling } from "../../bench/ceiling.ts";
import { roofline } from "../../bench/roofline.ts";
import { type DecodeReport, runDecode } from "../../bench/run.ts";
import { openSubject } from "../../bench/subject.ts";
import type { ModelSource } from "../../models/index.ts";
import type { Gpu } from "../../runtime/index.ts";
import { type Context, UsageError } from "../support/context.ts";
import { bytes } from "../support/format.ts";
import { givenState } from "../support/policies.ts";
import { withGpu } from "../support/session.ts";
import type { SubjectOptions } from "./options.ts";
import { digits, type Findings, kernelTable, report, save, sayCeiling, sayer, sayMeasures } from "./output.ts";
import { decodeSettings } from "./settings.ts";

/** The shape that is measured when nothing is named: it runs anywhere in a minute. */
export const DEFAULT_SHAPE = "stories15M";
/** Tokens of the prompt where nothing says how many. */
export const CONTEXT = 128;

/** The model or shape that the options name. */
export function subjectOf(options: Pick<SubjectOptions, "model" | "shape">): Promise<ModelSource> {
  if (options.model !== undefined && options.shape !== undefined) {
    throw new UsageError("give --model or --shape, not both");
  }
  return openSubject(options.model === undefined ? { shape: options.shape ?? DEFAULT_SHAPE } : options);
}

export async function benchDecode(options: SubjectOptions, context: Context): Promise<void> {
  const source = await subjectOf(options);
  await withGpu(context, options.adapter, (gpu) =>
    report(context, options, "decode", gpu, decodeSettings(source, { ...options, context: contextOf(options) }), () =>
      decodeFindings(gpu, source, options, context),
    ),
  );
}

/** Tokens of the prompt. */
export function contextOf({ context, ids }: Pick<SubjectOptions, "context" | "ids">): number {
  return context ?? ids?.length ?? CONTEXT;
}

/** Measures and says what was found. */
export async function decodeFindings(
  gpu: Gpu,
  source: ModelSource,
  options: SubjectOptions,
  context: Context,
): Promise<Findings> {
  const say = sayer(context, options);
  const ceiling = await measureCeiling(gpu);
  sayCeiling(say, ceiling);
  const { weights, batch, ids } = options;
  const given = await givenState(options.state, options.policy);
  const length = contextOf(options);
  const decoder = { ...given, batch, ...(weights === undefined ? {} : { weights }) };
  const stop = (): boolean => context.signal.aborted;
  const run = await runDecode(gpu, ceiling, {
    ...{ source, decoder, ids, stop },
    ...{ context: length, tokens: options.tokens, rounds: options.rounds },
  });
  sayDecode(say, run);
  if (options.svg !== undefined) {
    const title = `${run.model}, ${run.weights} weights, ${run.state}, on ${gpu.capabilities.name}`;
    await save(options.svg, await roofline(title, run.kernels, ceiling));
  }
  const { copy_gb_s, arithmetic_gflop_s } = ceiling;
  return {
    ...run,
    ceiling: { copy_gb_s, arithmetic_gflop_s },
    measures: [...run.measures, ...ceiling.measures],
  };
}

function sayDecode(say: (line: string) => void, run: DecodeReport): void {
  const { step } = run;
  say(
    `model     ${run.model}, weights ${run.weights} ${bytes(run.bytes.weights)}, state ${run.state} ${bytes(run.bytes.state)}, batch ${run.batch}`,
  );
  say(`          ${run.context} tokens read, ${run.tokens} written, ${run.measures[0]?.rounds} rounds`);
  sayMeasures(say, run.measures);
  say(
    `step      ${step.dispatches} dispatches, ${bytes(step.bytes)}, ${digits(step.operations / 1e6)} MFLOP at position ${step.position}: ` +
      `${digits(step.gb_s)} GB/s (${percent(step.of_copy)} of copy), ${digits(step.gflop_s)} GFLOP/s (${percent(step.of_arithmetic)})`,
  );
  const cpu = step.over_kernels_cpu === null ? "" : ` (${step.over_kernels_cpu.toFixed(2)} by CPU time)`;
  say(
    `          its kernels alone, back to back: ${digits(step.kernels_ms)} ms; a step takes ${step.over_kernels.toFixed(2)} of that${cpu}`,
  );
  say(kernelTable(run.kernels));
  say(`ids       ${run.ids.slice(0, 16).join(",")}${run.ids.length > 16 ? ",…" : ""}`);
}

function percent(x: number): string {
  return `${(100 * x).toFixed(0)} %`;
}
