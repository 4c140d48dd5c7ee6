/** What the benchmarks of decoders take, and how their reports leave. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { WORSE } from "../../bench/pairs/judge.ts";
import type { WeightFormat } from "../../models/index.ts";
import { adapterOption, idList, real, weightsOption, whole } from "../support/options.ts";

/** What two commits are compared by. */
export interface PairOptions {
  /** An earlier report. */
  readonly compare?: string;
  /** The folder of another checkout. */
  readonly against?: string;
  /** The ratio beyond which something is worse. */
  readonly worse: number;
}

export interface ReportOptions extends PairOptions {
  readonly adapter?: string;
  readonly rounds: number;
  /** True for standard output, else a file ("-" is standard output, too). */
  readonly json?: string | true;
  readonly svg?: string;
}

export interface SubjectOptions extends ReportOptions {
  readonly model?: string;
  readonly shape?: string;
  readonly weights?: WeightFormat;
  readonly state: string;
  readonly policy?: readonly string[];
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

/** For benchmarks that two checkouts can take turns in. */
export function pairOptions(command: Command): Command {
  return command
    .option(
      "--against <dir>",
      `measure another checkout of tilestate in turn with this one, in ${PAIRS} rounds unless told`,
    )
    .addOption(worseOption());
}

/** Pairs of turns unless told. */
export const PAIRS = 15;

export function worseOption(): Option {
  return new Option("--worse <ratio>", "the ratio beyond which --compare and --against call something worse")
    .argParser(ratio)
    .default(WORSE);
}

function ratio(text: string): number {
  const n = real(text);
  if (n < 1) throw new InvalidArgumentError("Expected a ratio of at least 1, as in 1.03.");
  return n;
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
