/** `tilestate kernels tune`: finds the best knobs for kernels on the adapter at hand and keeps them. */
import type { Command } from "commander";
import type { TileProgram } from "../../compiler/index.ts";
import { UserError } from "../../runtime/common/errors.ts";
import type { Gpu } from "../../runtime/index.ts";
import type { Tuned } from "../../runtime/tuning/tune.ts";
import type { TuningRecord } from "../../runtime/tuning/tuned.ts";
import { type Context, printJson, UsageError } from "../support/context.ts";
import { type Column, heading, row } from "../support/format.ts";
import { adapterOption, examples, jsonOption, pairs, real, whole } from "../support/options.ts";
import { adapterLine, withGpu } from "../support/session.ts";

interface TuneArguments {
  readonly file?: string;
  readonly adapter?: string;
  readonly size?: Record<string, number>;
  readonly storage?: Record<string, string>;
  readonly scalar?: Record<string, number>;
  readonly rounds: number;
  readonly save?: string;
  readonly dry?: boolean;
  readonly json?: boolean;
}

const COLUMNS: readonly Column[] = [
  { title: "kernel", width: 12 },
  { title: "untuned us", width: 10, right: true },
  { title: "tuned us", width: 10, right: true },
  { title: "gain", width: 6, right: true },
  { title: "knobs", width: 20 },
  { title: "sizes", width: 20 },
];

export function configureTune(command: Command, context: Context): void {
  examples(command, [
    "tilestate kernels tune logits --size vocab=32000 --size dim=2048 --storage head=f16",
    "tilestate kernels tune matvec --file examples/kernels/matvec.ts --size rows=4096 --size k=4096",
    "tilestate kernels tune",
  ])
    .argument("[name]", "a kernel (default: all of them)")
    .option("--file <file>", "take the kernels from this TypeScript or JavaScript file instead of the built-in ones")
    .option("--size <dim=n>", "elements of a dim (default: those of hearth, else 64); may be repeated", pairs(whole(1)))
    .option("--storage <tensor=type>", "how a tensor is stored; may be repeated", pairs(String))
    .option("--scalar <name=x>", "value of a scalar parameter (default 1); may be repeated", pairs(real))
    .option("--rounds <n>", "times that each configuration is timed", whole(1), 7)
    .option("--save <file>", "keep the findings in this file instead of the cache")
    .option("--dry", "keep nothing")
    .addOption(adapterOption())
    .addOption(jsonOption())
    .action((name: string | undefined, options: TuneArguments) => tuneKernels(name, options, context));
}

async function tuneKernels(name: string | undefined, options: TuneArguments, context: Context): Promise<void> {
  const [{ builtinKernels, kernelsIn, programsOf }, { sizesOf }] = await Promise.all([
    import("./builtin.ts"),
    import("./targets.ts"),
  ]);
  const all = await (options.file === undefined ? builtinKernels() : kernelsIn(options.file));
  const entries = name === undefined ? all : all.filter((e) => e.name === name);
  if (entries.length === 0) {
    const where = options.file === undefined ? "built-in kernel" : `exported kernel in ${options.file}`;
    throw new UserError(
      name === undefined
        ? `no ${where}`
        : `no ${where} is called "${name}"; there are: ${all.map((e) => e.name).join(", ") || "none"}`,
    );
  }
  const programs = [...(await programsOf(entries)).values()];
  for (const dim of Object.keys(options.size ?? {}))
    if (!programs.some((p) => p.params.some((q) => q.kind === "tensor" && q.dims.includes(dim))))
      throw new UsageError(`no kernel here has a dim "${dim}"`);
  const { io } = context;
  const found: Tuned[] = [];
  await withGpu(context, options.adapter, async (gpu) => {
    io.err(`adapter  ${adapterLine(gpu)}\n`);
    if (!options.json) io.out(`${heading(COLUMNS)}\n`);
    for (const program of programs) {
      const sizes = sizesOf(program, options.size ?? {});
      const tuned = await tuneOne(gpu, program, sizes, options, context.signal);
      if (tuned === undefined) continue;
      found.push(tuned);
      if (!options.json) io.out(`${line(tuned.record, sizes)}\n`);
    }
  });
  const where = options.dry ? undefined : await keep(found, options.save);
  if (options.json) printJson(io, { kept: where, tuned: found });
  else io.err(where === undefined ? "kept nothing\n" : `kept in ${where}\n`);

  async function tuneOne(
    gpu: Gpu,
    program: TileProgram,
    sizes: Record<string, number>,
    { storage, scalar, rounds }: TuneArguments,
    signal: AbortSignal,
  ): Promise<Tuned | undefined> {
    const { sampleArguments } = await import("../../runtime/tuning/sample.ts");
    const { tune } = await import("../../runtime/tuning/tune.ts");
    const own = Object.entries(storage ?? {}).filter(([p]) => program.params.some((q) => q.name === p));
    const samples = { sizes, scalars: scalar ?? {}, storage: Object.fromEntries(own) };
    const args = sampleArguments(gpu, program, samples);
    try {
      return await tune(gpu, program, args, { rounds, signal });
    } catch (error) {
      // Among all kernels one may not work at these sizes; asked for by name, that is the answer.
      if (name !== undefined || signal.aborted || !gpu.device.isOpen) throw error;
      io.err(`${program.name}: ${(error as Error).message}\n`);
      return undefined;
    } finally {
      for (const a of args) if (typeof a !== "number") a.destroy();
    }
  }
}

function line(r: TuningRecord, sizes: Record<string, number>): string {
  const us = (x: number): string => x.toFixed(x < 100 ? 1 : 0);
  const knobs = Object.entries(r.knobs).map(([k, v]) => `${k}=${v}`);
  const extents = Object.entries(sizes).map(([d, n]) => `${d}=${n}`);
  return row(COLUMNS, [
    r.kernel,
    us(r.untunedUs),
    us(r.us),
    `${(r.untunedUs / r.us).toFixed(2)}x`,
    knobs.join(" ") || "the compiler's own",
    extents.join(" "),
  ]);
}

/** Adds the findings to a file and gives its path; undefined where nothing can be kept. */
async function keep(found: readonly Tuned[], save: string | undefined): Promise<string | undefined> {
  const { forgetTuning, readRecords, recordsText, tuningPath } = await import("../../runtime/tuning/tuned.ts");
  const { writeWhole } = await import("../../compiler/index.ts");
  const [first] = found;
  const path = save ?? (first === undefined ? undefined : tuningPath(first.record.adapter));
  if (path === undefined || first === undefined) return undefined;
  writeWhole(
    path,
    recordsText(
      readRecords(path),
      found.map((f) => f.record),
    ),
  );
  forgetTuning();
  return path;
}
