/** What the benchmarks of decoders take, and how their reports leave. */
import { type Command, Option } from "commander";
import type { WeightFormat } from "../../models/index.ts";
import { adapterOption, idList, weightsOption, whole } from "../options.ts";

export interface ReportOptions {
  readonly adapter?: string;
  readonly rounds: number;
  /** True for standard output, else a file ("-" is standard output, too). */
  readonly json?: string | true;
  readonly compare?: string;
  readonly svg?: string;
}

export interface SubjectOptions extends ReportOptions {
  readonly model?: string;
  readonly shape?: string;
  readonly weights?: WeightFormat;
  readonly state: string;
  readonly context?: number;
  readonly tokens: number;
  readonly ids?: readonly number[];
  readonly batch: number;
}

export interface FlatOptions extends SubjectOptions {
  readonly early: number;
  readonly late: number;
  readonly settle: number;
}

/** Options of every benchmark that writes a report. */
export function reportOptions(command: Command, rounds: number): Command {
  return command
    .addOption(adapterOption())
    .option("--rounds <n>", "rounds; figures are medians of them", whole(1), rounds)
    .option("--json [file]", 'write the whole report as JSON, to standard output or to a file ("-" is standard output)')
    .option("--compare <file>", "say what changed since an earlier report, beyond noise");
}

/** Which model, in which format. */
export function subjectOptions(command: Command): Command {
  return command
    .option("--model <path>", 'a Hugging Face folder or a llama2.c .bin file ("hearth" is the embedded model)')
    .option(
      "--shape <name>",
      "random weights of a known shape, such as stories15M or Llama-3.2-1B (default: stories15M)",
    )
    .addOption(weightsOption());
}

/** How much is read and written. */
export function lengthOptions(command: Command, context: number, tokens: number): Command {
  return command
    .option("--context <n>", `tokens of the prompt (default: ${context}, or as many as --ids has)`, whole(1))
    .option("--tokens <n>", "tokens to write", whole(2), tokens);
}

export function idsOption(): Option {
  return new Option("--ids <list>", "the prompt as token ids, as in 1,2,3; repeated up to --context").argParser(idList);
}

export function svgOption(): Option {
  return new Option("--svg <file>", "draw the roofline of a step (needs the npm package vega)");
}
