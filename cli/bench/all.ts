/** `tilestate bench`: a set of all benchmarks that a machine without a GPU gets through in some minutes. */
import { measureCold } from "../../bench/cold.ts";
import { measureHost } from "../../bench/host.ts";
import type { Measure } from "../../bench/stats.ts";
import { threadCpu } from "../../bench/surroundings.ts";
import type { Context } from "../context.ts";
import { withGpu } from "../session.ts";
import { decodeFindings, subjectOf } from "./decode.ts";
import type { SubjectOptions } from "./options.ts";
import { type Findings, report, sayer, sayMeasures } from "./output.ts";
import { type Sweep, sweepFindings } from "./sweeps.ts";

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
    report(context, options, "all", gpu, async () => {
      const measures: Measure[] = [];
      const all: Record<string, unknown> = {};
      const add = ({ measures: more, ...found }: Findings, prefix: string): void => {
        measures.push(...more.map((m) => ({ ...m, name: `${prefix}${m.name}` })));
        Object.assign(all, found);
      };
      const decode = { ...options, state: "full", batch: 1, context: 128, tokens: 64 };
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
        add(await sweepFindings(sweep, gpu, source, settings, context), `${sweep}, `);
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
      return { ...all, measures };
    }),
  );
}
