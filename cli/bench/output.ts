/** Reports of benchmarks: the head that every one begins with, tables, and the files that were asked for. */
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { KernelLine } from "../../bench/breakdown.ts";
import type { Ceiling } from "../../bench/ceiling.ts";
import { type Change, type Comparison, checkSettings, compare, regressions } from "../../bench/compare.ts";
import type { Facts } from "../../bench/facts.ts";
import { Checkout } from "../../bench/pairs/checkout.ts";
import { type Measure, spreadOf } from "../../bench/stats.ts";
import { LoadWatch, surroundings, variables } from "../../bench/surroundings.ts";
import { type Gpu, UserError } from "../../runtime/index.ts";
import { type Context, prettyJson } from "../support/context.ts";
import { bytes, type Column, heading, row } from "../support/format.ts";
import { adapterLine } from "../support/session.ts";
import { version } from "../support/version.ts";
import type { ReportOptions } from "./options.ts";

/** What one benchmark found; everything in it goes into the JSON. */
export interface Findings {
  readonly measures: readonly Measure[];
  readonly [key: string]: unknown;
}

/** Is standard output taken by JSON? Then everything else is said on the other stream. */
export function quiet(options: ReportOptions): boolean {
  return options.json === true || options.json === "-";
}

/** Where people read: standard output, unless JSON goes there. */
export function sayer(context: Context, options: ReportOptions): (line: string) => void {
  const say = quiet(options) ? context.io.err : context.io.out;
  return (line) => say(`${line}\n`);
}

/** Says what runs where, runs `work`, and writes what was asked for. */
export async function report(
  context: Context,
  options: ReportOptions,
  benchmark: string,
  gpu: Gpu,
  own: Facts,
  work: () => Promise<Findings>,
): Promise<void> {
  // Read first: a report that is not there should not be found out after minutes of measuring.
  const before = options.compare === undefined ? undefined : await readReport(options.compare);
  const say = sayer(context, options);
  const around = surroundings(gpu);
  const settings = { benchmark, runtime: around.runtime.name, adapter: around.adapter.name, ...own };
  // As early: what cannot be compared need not be measured.
  if (before !== undefined) checkSettings(before, settings, options.compare ?? "");
  const watch = await LoadWatch.begin();
  const { limits } = around.adapter;
  say(`adapter   ${adapterLine(gpu)}`);
  say(
    `limits    binding ${bytes(limits.bindingBytes ?? 0)}, buffer ${bytes(limits.bufferBytes ?? 0)}, workgroup ${limits.workgroupInvocations} invocations and ${bytes(limits.workgroupBytes ?? 0)}, ${limits.storageBuffers} storage buffers`,
  );
  for (const note of gpu.device.notes) say(`          ${note}`);
  say(
    `runtime   ${around.runtime.name} ${around.runtime.version}, ${around.machine.os}, ${around.machine.cores} x ${around.machine.cpu}`,
  );
  const { measures, ...findings } = await work();
  const load = watch.end();
  const cores = (n: number | undefined): string => (n === undefined ? "unknown" : n.toFixed(2));
  say(
    `load      other programs kept ${cores(load.others_before)} cores busy before and ${cores(load.others_during)} during the run; averages before ${load.averages_before.map((x) => x.toFixed(2)).join(", ")}`,
  );
  const { adapter, ...rest } = around;
  const environment = { ...checkout(), ...variables() };
  const head = { benchmark, settings, environment, tilestate: version() };
  const whole = { adapter, ...findings, ...head, ...rest, load, measures };
  await finish(context, options, before, whole);
}

/**
 * Writes the report, and says how it compares with the earlier one.
 * @throws UserError when something is worse.
 */
export async function finish(context: Context, options: ReportOptions, before: unknown, whole: unknown): Promise<void> {
  const { compare: file = "", worse } = options;
  const comparison = before === undefined ? undefined : compare(before, whole, file, worse);
  if (comparison !== undefined) sayComparison(sayer(context, options), file, comparison);
  await writeReport(context, options, whole);
  const bad = comparison === undefined ? [] : regressions(comparison).map((c) => c.name);
  if (bad.length > 0) throw new UserError(`worse than ${file} by a factor of more than ${worse}: ${bad.join(", ")}`);
}

/** Commit and packages of this checkout; nothing in the built package, which is known by its version. */
function checkout(): Facts {
  const home = new URL("../../", import.meta.url);
  if (!existsSync(new URL("package.json", home))) return {};
  const { tilestate: _, ...facts } = new Checkout(fileURLToPath(home)).facts();
  return facts;
}

/** Writes the JSON where it was asked for. */
export async function writeReport(context: Context, options: ReportOptions, whole: unknown): Promise<void> {
  if (options.json === undefined) return;
  const text = `${prettyJson(whole)}\n`;
  if (quiet(options)) context.io.out(text);
  else await save(String(options.json), text);
}

export async function save(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (cause) {
    throw new UserError(`${file}: cannot be written (${(cause as Error).message})`, { cause });
  }
}

export async function readReport(file: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new UserError(`${file}: cannot be read (${(cause as Error).message})`, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UserError(`${file}: is not JSON (${(cause as Error).message})`, { cause });
  }
}

function sayComparison(say: (line: string) => void, file: string, { notes, changes }: Comparison): void {
  say(`\nagainst   ${file}`);
  for (const note of notes) say(`          ${note}`);
  const real = changes.filter((c) => c.verdict !== "noise");
  for (const c of real) say(`  ${c.verdict.padEnd(7)} ${changeLine(c)}`);
  say(`  ${changes.length - real.length} of ${changes.length} figures within noise`);
}

function changeLine({ name, unit, before, after, ratio }: Change): string {
  if (before === null) return `${name}: ${digits(after ?? 0)} ${unit}`;
  if (after === null) return `${name}: was ${digits(before)} ${unit}`;
  return `${name}: ${digits(before)} -> ${digits(after)} ${unit} (x ${(ratio ?? 0).toFixed(2)})`;
}

/** Three digits that count. */
export function digits(x: number): string {
  if (!Number.isFinite(x)) return String(x);
  if (x !== 0 && Math.abs(x) < 0.001) return x.toExponential(1);
  return Math.abs(x) >= 100 ? x.toFixed(0) : x.toPrecision(3);
}

/** A table whose columns are as wide as they have to be. The first column is words, the others numbers. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const columns = titles.map((title, i): Column => {
    const width = Math.max(title.length, ...rows.map((r) => (r[i] ?? "").length));
    return { title, width, right: i > 0 };
  });
  return [heading(columns), ...rows.map((r) => row(columns, r))].join("\n");
}

export function sayMeasures(say: (line: string) => void, measures: readonly Measure[]): void {
  const width = Math.max(...measures.map((m) => m.name.length));
  for (const m of measures) {
    say(`  ${m.name.padEnd(width)}  ${digits(m.median)} ${m.unit}  ${spreadOf(m)}`.trimEnd());
  }
}

export function sayCeiling(say: (line: string) => void, ceiling: Ceiling): void {
  say(`ceiling   copy ${digits(ceiling.copy_gb_s)} GB/s, arithmetic ${digits(ceiling.arithmetic_gflop_s)} GFLOP/s`);
}

export function kernelTable(lines: readonly KernelLine[]): string {
  const percent = (x: number): string => `${(100 * x).toFixed(0)}%`;
  return table(
    ["kernel", "calls", "stamped us", "alone us", "share", "GB/s", "of copy", "GFLOP/s", "of sums"],
    lines.map((l) => [
      l.kernel,
      String(l.dispatches),
      l.timestamp_ms === null ? "-" : digits((1000 * l.timestamp_ms) / l.dispatches),
      digits((1000 * l.alone_ms) / l.dispatches),
      percent(l.share),
      digits(l.gb_s),
      percent(l.of_copy),
      digits(l.gflop_s),
      percent(l.of_arithmetic),
    ]),
  );
}
