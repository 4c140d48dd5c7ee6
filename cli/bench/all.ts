/** `tilestate bench`: a set of all benchmarks that a machine without a GPU gets through in some minutes. */
import { measureCold } from "../../bench/cold.ts";
import { measureHost } from "../../bench/host.ts";
import type { Measure } from "../../bench/stats.ts";
import { threadCpu } from "../../bench/surroundings.ts";
import type { Context } from "../support/context.ts";
import { withGpu } from "../support/session.ts";
import { decodeFindings, subjectOf } from "./decode.ts";
import type { SubjectOptions } from "./options.ts";
import { type Findings, report, sayer, sayMeasures } from "./output.ts";
import { decodeSettings } from "./settings.ts";
import { type Sweep, sweepFindings } from "./sweeps.ts";

/** What is decoded in depth. */
const DECODE = { state: "full", batch: 1, context: 128, tokens: 64 } as const;
/** Sweeps with their context and tokens: shorter than alone. */
const SWEEPS: readonly (readonly [Sweep, number, number])[] = [
  ["prefill", 256, 4],
  ["batch", 16, 16],
  ["state", 512, 16],
  ["policy", 512, 16],
];

export async function benchAll(options: SubjectOptions, context: Context): Promise<void> {
  const source = await subjectOf(options);
  const say = sayer(context, options);
  await withGpu(context, options.adapter, (gpu) =>
    report(context, options, "all", gpu, decodeSettings(source, { ...options, ...DECODE }), async () => {
      const measures: Measure[] = [];
      const all: Record<string, unknown> = {};
      const sweeps: Record<string, unknown> = {};
      const add = ({ measures: more, ...found }: Findings, prefix: string): void => {
        measures.push(...more.map((m) => ({ ...m, name: `${prefix}${m.name}` })));
        Object.assign(all, found);
      };
      const decode = { ...options, ...DECODE };
      add(await decodeFindings(gpu, source, decode, context), "");
      for (const [sweep, length, tokens] of SWEEPS) {
        say("");
        const settings = {
          ...options,
          state: "full",
          batch: 1,
          context: length,
          tokens,
          rounds: Math.min(3, options.rounds),
        };
        const found = await sweepFindings(sweep, gpu, source, settings, context);
        // Apart, since a decoder's own report has a prefill, a batch and a state, too.
        sweeps[sweep] = found[sweep];
        add({ measures: found.measures }, `${sweep}, `);
      }
      say("");
      if (threadCpu() !== undefined) {
        const { measures: more, ...host } = await measureHost(source, "full:256", options.rounds);
        sayMeasures(say, more);
        add({ host, measures: more }, "");
      }
      const { measures: starts, ...cold } = await measureCold(options.adapter, Math.min(3, options.rounds));
      sayMeasures(say, starts);
      add({ cold, measures: starts }, "");
      return { ...all, sweeps, measures };
    }),
  );
}
