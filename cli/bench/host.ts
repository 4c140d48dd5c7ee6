/**
 * `tilestate bench host | cold | flat`: what the host pays, how long a start takes, and whether late steps are like
 * early ones.
 */
import { measureCold } from "../../bench/cold.ts";
import type { Facts } from "../../bench/facts.ts";
import { measureFlat } from "../../bench/flat.ts";
import { measureHost } from "../../bench/host.ts";
import { measureImport } from "../../bench/imports.ts";
import type { ModelSource } from "../../models/index.ts";
import type { Context } from "../support/context.ts";
import { bytes } from "../support/format.ts";
import { withGpu } from "../support/session.ts";
import { subjectOf } from "./decode.ts";
import type { FlatOptions, ReportOptions, SubjectOptions } from "./options.ts";
import { report, sayer, sayMeasures } from "./output.ts";
import { modelSettings } from "./settings.ts";

/** Imports are timed so many times as often as starts: they are short. */
const IMPORTS = 3;

/** Room for a state without a number of slots. */
const POSITIONS = 256;

export async function benchHost(options: SubjectOptions, context: Context): Promise<void> {
  const source = await subjectOf(options);
  await withGpu(context, "null", (gpu) =>
    report(context, options, "host", gpu, hostSettings(source, options), async () => {
      const { measures, ...host } = await measureHost(source, roomy(options.state), options.rounds);
      sayMeasures(sayer(context, options), measures);
      return { model: source.config.name, host, measures };
    }),
  );
}

function hostSettings(source: ModelSource, { state, weights }: SubjectOptions): Facts {
  return modelSettings(source, { state: roomy(state), ...(weights === undefined ? {} : { weights }) });
}

function flatSettings(source: ModelSource, { state, early, late, weights }: FlatOptions): Facts {
  return modelSettings(source, { state, early, late, ...(weights === undefined ? {} : { weights }) });
}

function roomy(state: string): string {
  return state === "full" ? `full:${POSITIONS}` : state;
}

export async function benchCold(options: ReportOptions, context: Context): Promise<void> {
  await withGpu(context, options.adapter, (gpu) =>
    report(context, options, "cold", gpu, {}, async () => {
      const { measures, ...cold } = await measureCold(options.adapter, options.rounds);
      const say = sayer(context, options);
      say(`first run, whatever the caches held: ${cold.first_run.first_token_ms.toFixed(0)} ms to the first token`);
      sayMeasures(say, measures);
      const { measures: imports, ...imported } = await measureImport(IMPORTS * options.rounds);
      sayMeasures(say, imports);
      if (!imported.built) say("  from TypeScript; `npm run release` makes the JavaScript that the package has");
      return { cold: { ...cold, ...imported }, measures: [...measures, ...imports] };
    }),
  );
}

export async function benchFlat(options: FlatOptions, context: Context): Promise<void> {
  const source = await subjectOf(options);
  await withGpu(context, options.adapter, (gpu) =>
    report(context, options, "flat", gpu, flatSettings(source, options), async () => {
      const { early, late, settle, rounds, state, weights } = options;
      const progress = (step: number): void => {
        context.signal.throwIfAborted();
        if (step % 10_000 === 0) context.io.err(`step ${step} of ${late}\n`);
      };
      const settings = { early, late, settle, rounds, state, progress, ...(weights === undefined ? {} : { weights }) };
      const { measures, ...flat } = await measureFlat(gpu, source, settings);
      const say = sayer(context, options);
      sayMeasures(say, measures);
      if (flat.cpu_ratio !== null) say(`  late / early by CPU time ${flat.cpu_ratio.toFixed(3)}`);
      say(
        `  resident memory ${bytes(flat.resident_early)} -> ${bytes(flat.resident_late)} (x ${flat.resident_ratio.toFixed(3)}), with room for garbage ${bytes(flat.standing_early)} -> ${bytes(flat.standing_late)}`,
      );
      return { model: source.config.name, state, flat, measures };
    }),
  );
}
