/** `tilestate bench prefill | batch | state | policy`: decoders of one model side by side. */

import { measureCeiling } from "../../bench/ceiling.ts";
import type { Facts } from "../../bench/facts.ts";
import { type Entrant, runSweep, type SweepLine } from "../../bench/run.ts";
import { type AnyPolicy, type DecoderOptions, type ModelSource, POLICIES } from "../../models/index.ts";
import type { Gpu } from "../../runtime/index.ts";
import type { Context } from "../support/context.ts";
import { bytes } from "../support/format.ts";
import { givenStates } from "../support/policies.ts";
import { withGpu } from "../support/session.ts";
import { subjectOf } from "./decode.ts";
import type { SubjectOptions } from "./options.ts";
import { digits, type Findings, report, sayCeiling, sayer, table } from "./output.ts";
import { modelSettings } from "./settings.ts";

export type Sweep = "prefill" | "batch" | "state" | "policy";

export interface SweepOptions extends SubjectOptions {
  /** What the sweep goes over. */
  readonly over?: readonly number[];
}

/** Context unless one is given. */
const CONTEXT: Readonly<Record<Sweep, number>> = { prefill: 512, batch: 32, state: 1024, policy: 1024 };

export async function benchSweep(sweep: Sweep, options: SweepOptions, context: Context): Promise<void> {
  const source = await subjectOf(options);
  await withGpu(context, options.adapter, (gpu) =>
    report(context, options, sweep, gpu, sweepSettings(sweep, source, options), async () => {
      const ceiling = await measureCeiling(gpu);
      sayCeiling(sayer(context, options), ceiling);
      const { copy_gb_s, arithmetic_gflop_s } = ceiling;
      return {
        ...(await sweepFindings(sweep, gpu, source, options, context)),
        ceiling: { copy_gb_s, arithmetic_gflop_s },
      };
    }),
  );
}

function sweepSettings(sweep: Sweep, source: ModelSource, options: SweepOptions): Facts {
  const { context = CONTEXT[sweep], tokens, weights, state, over } = options;
  return modelSettings(source, {
    ...{ context, tokens },
    ...(weights === undefined ? {} : { weights }),
    ...(state === undefined ? {} : { state }),
    ...(over === undefined ? {} : { over }),
  });
}

export async function sweepFindings(
  sweep: Sweep,
  gpu: Gpu,
  source: ModelSource,
  options: SweepOptions,
  context: Context,
): Promise<Findings> {
  const { states, policies } = await givenStates(options.state === undefined ? [] : [options.state], options.policy);
  const entrants = entrantsOf(
    sweep,
    { ...options, ...(states[0] === undefined ? {} : { state: states[0] }) },
    policies,
  );
  const { lines, measures } = await runSweep(gpu, source, entrants, options.rounds, () => context.signal.aborted);
  const say = sayer(context, options);
  say(`${sweep.padEnd(9)} ${source.config.name}, weights ${options.weights ?? "as stored"}`);
  say(sweepTable(lines));
  return { model: source.config.name, weights: options.weights ?? "stored", [sweep]: lines, measures };
}

/** Who takes part: the first is what the others are compared with. */
export function entrantsOf(sweep: Sweep, options: SweepOptions, policies: readonly AnyPolicy[] = []): Entrant[] {
  const context = options.context ?? CONTEXT[sweep];
  const { tokens, over, weights, state } = options;
  const format: DecoderOptions = {
    ...(policies.length === 0 ? {} : { policies }),
    ...(weights === undefined ? {} : { weights }),
  };
  const part = (n: number): number => Math.max(1, Math.floor(context / n));
  const entrant = (label: string, decoder: DecoderOptions, length = context): Entrant => {
    return { label, decoder: { ...format, ...decoder }, context: length, tokens };
  };
  switch (sweep) {
    case "prefill":
      return (over ?? [part(8), part(4), part(2), context]).map((n) => entrant(`prompt of ${n}`, { state }, n));
    case "batch":
      return (over ?? [1, 2, 4, 8]).map((batch) => entrant(`batch of ${batch}`, { state, batch }));
    case "state": {
      const bounded = (over ?? [part(2), part(4), part(8)]).map((n) => entrant(`tova:${n}`, { state: `tova:${n}` }));
      return [entrant("full", { state: "full" }), ...bounded];
    }
    case "policy": {
      const names = [...Object.values(POLICIES), ...policies].flatMap((p) => (p.score === undefined ? [] : [p.name]));
      const sizes = over ?? [part(8)];
      const bounded = sizes.flatMap((n) => names.map((name) => entrant(`${name}:${n}`, { state: `${name}:${n}` })));
      return [entrant("full", { state: "full" }), ...bounded];
    }
  }
}

function sweepTable(lines: readonly SweepLine[]): string {
  return table(
    ["", "decode/s", "x first", "by bytes", "prefill/s", "GFLOP/s", "calls", "step", "state"],
    lines.map((l) => [
      l.label,
      digits(l.decode_tokens_per_second),
      l.over_first.toFixed(2),
      l.predicted_over_first.toFixed(2),
      digits(l.prefill_tokens_per_second),
      digits(l.prefill_gflop_s),
      String(l.dispatches),
      bytes(l.step_bytes),
      bytes(l.state_bytes),
    ]),
  );
}
