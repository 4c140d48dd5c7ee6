/**
 * Two reports of a benchmark: what changed, and what of it is more than noise.
 *
 * Settings have to be the same: another adapter, model, state or batch is another measurement. Figures are matched by
 * name. A change counts when the middle halves of the rounds (quartile to quartile) lie apart, the medians differ by
 * more than a given factor, and both sides have rounds enough to tell; whatever else differs is noise until more rounds
 * say otherwise. Figures of other machines, and of a machine that was busy with something else, are no change of ours:
 * that is said first.
 */
import { UserError } from "../runtime/index.ts";
import { differenceLine, differences, type Facts } from "./facts.ts";
import { WORSE } from "./pairs/judge.ts";
import type { Measure } from "./stats.ts";

/** Rounds below which quartiles say nothing: then only a change of more than this counts. */
const ENOUGH_ROUNDS = 3;
const WITHOUT_ROUNDS = 1.25;
/** Cores that other programs may keep busy before it is worth a word. */
const BUSY = 0.25;

export interface Change {
  readonly name: string;
  readonly unit: string;
  readonly before: number | null;
  readonly after: number | null;
  /** after / before. */
  readonly ratio: number | null;
  /** False for what belongs to the surroundings: nobody made it worse. */
  readonly judged: boolean;
  readonly verdict: "better" | "worse" | "noise" | "new" | "gone";
}

export interface Comparison {
  /** What else is different between the two runs. */
  readonly notes: readonly string[];
  readonly changes: readonly Change[];
}

/** Reads the figures of a report, `where` naming it in errors. Throws a `UserError` when it is none. */
export function measuresIn(report: unknown, where: string): readonly Measure[] {
  // `bench kernels` writes its table as a plain list.
  if (Array.isArray(report)) return report.map((line) => lineMeasure(line as Record<string, unknown>, where));
  const found = (report as { measures?: unknown } | null)?.measures;
  if (!Array.isArray(found) || !found.every(isMeasure)) throw notOne(where);
  return found;
}

function lineMeasure(line: Record<string, unknown>, where: string): Measure {
  const { name, dtype, shape, ours_ms: ms } = line;
  if (typeof ms !== "number" || typeof name !== "string") throw notOne(where);
  return { name: `${name} ${dtype} ${shape}`, unit: "ms", better: "lower", median: ms, low: ms, high: ms, rounds: 1 };
}

function notOne(where: string): UserError {
  return new UserError(`${where}: expected a report that "tilestate bench … --json" wrote, with a list "measures"`);
}

function isMeasure(x: unknown): x is Measure {
  const m = x as Partial<Measure> | null;
  const numbers = [m?.median, m?.low, m?.high, m?.rounds];
  return (
    typeof m?.name === "string" && numbers.every((n) => typeof n === "number") && /^(high|low)er$/.test(m.better ?? "")
  );
}

/** What changed from one list of figures to the next, in the order of the new one. */
export function changes(before: readonly Measure[], after: readonly Measure[], worse: number = WORSE): Change[] {
  const old = new Map(before.map((m) => [m.name, m]));
  const out = after.map((now): Change => {
    const was = old.get(now.name);
    old.delete(now.name);
    const { name, unit, judged = true } = now;
    if (was === undefined) return { name, unit, before: null, after: now.median, ratio: null, judged, verdict: "new" };
    const ratio = now.median / was.median;
    return { name, unit, before: was.median, after: now.median, ratio, judged, verdict: verdict(was, now, worse) };
  });
  for (const { name, unit, median, judged = true } of old.values())
    out.push({ name, unit, before: median, after: null, ratio: null, judged, verdict: "gone" });
  return out;
}

function verdict(was: Measure, now: Measure, worse: number): "better" | "worse" | "noise" {
  const apart = now.low > was.high || now.high < was.low;
  const limit = Math.min(was.rounds, now.rounds) < ENOUGH_ROUNDS ? Math.max(worse, WITHOUT_ROUNDS) : worse;
  const factor = now.better === "higher" ? was.median / now.median : now.median / was.median;
  if (!apart || (factor <= limit && factor >= 1 / limit)) return "noise";
  return factor > limit ? "worse" : "better";
}

/** What makes a comparison a failure. */
export function regressions({ changes: all }: Comparison): readonly Change[] {
  return all.filter((c) => c.judged && c.verdict === "worse");
}

/**
 * Compares two reports, `where` naming the earlier one.
 * @throws UserError when it is no report, or when their settings differ.
 */
export function compare(before: unknown, after: unknown, where: string, worse: number = WORSE): Comparison {
  const notes = [...checkSettings(before, settingsOf(after).known, where), ...environmentNotes(before, after)];
  for (const [which, report] of [
    ["earlier", before],
    ["new", after],
  ] as const) {
    const others = headOf(report).load?.others_during;
    if (typeof others === "number" && others > BUSY)
      notes.push(`other programs kept ${others.toFixed(2)} cores busy during the ${which} run: its times are doubtful`);
  }
  return { notes, changes: changes(measuresIn(before, where), measuresIn(after, "the new report"), worse) };
}

/**
 * Checks that a report was made with these settings, and gives notes on those that it does not tell.
 * @throws UserError that names what differs.
 */
export function checkSettings(before: unknown, now: Facts, where: string): string[] {
  const { known, complete } = settingsOf(before);
  const all = differences(known, now);
  const unknown = complete ? [] : all.filter((d) => d.a === undefined);
  const unlike = complete ? all : all.filter((d) => d.a !== undefined && d.b !== undefined);
  if (unlike.length > 0) {
    const list = unlike.map((d) => differenceLine(d, "there", "here")).join("; ");
    throw new UserError(`${where}: different settings cannot be compared: ${list}`);
  }
  return unknown.map((d) => `the earlier report does not say its ${d.what}: it is ${d.b} here`);
}

interface Head {
  readonly settings?: Facts;
  readonly environment?: Facts;
  readonly benchmark?: string;
  readonly adapter?: { readonly name?: string; readonly description?: string; readonly driver?: string };
  readonly runtime?: { readonly name?: string; readonly version?: string };
  readonly load?: { readonly others_during?: unknown };
  readonly machine?: { readonly cpu?: string; readonly cores?: number };
  readonly [key: string]: unknown;
}

function headOf(report: unknown): Head {
  return ((Array.isArray(report) ? report[0] : report) ?? {}) as Head;
}

/** Settings that reports told at their top before they had a list of them. */
const EARLIER: readonly string[] = ["model", "weights", "state", "batch", "context", "tokens"];

/** The settings of a report, and whether it tells all of them. */
function settingsOf(report: unknown): { readonly known: Facts; readonly complete: boolean } {
  const head = headOf(report);
  if (head.settings !== undefined) return { known: head.settings, complete: true };
  const found: Record<string, unknown> = {
    benchmark: Array.isArray(report) ? "kernels" : head.benchmark,
    runtime: head.runtime?.name,
    adapter: head.adapter?.name,
    ...Object.fromEntries(EARLIER.map((key) => [key, head[key]])),
  };
  // A sweep tells its lines under its own name.
  const told = Object.entries(found).filter(([, value]) => typeof value === "string" || typeof value === "number");
  return { known: Object.fromEntries(told) as Facts, complete: false };
}

/** What else is different, where both reports say it. */
function environmentNotes(before: unknown, after: unknown): string[] {
  const facts = (report: unknown): Facts => {
    const { adapter, runtime, machine, environment } = headOf(report);
    const found = {
      driver: adapter?.driver ?? adapter?.description,
      "version of the runtime": runtime?.version,
      machine: machine?.cpu === undefined ? undefined : `${machine.cores} x ${machine.cpu}`,
      ...environment,
    };
    return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as Facts;
  };
  const both = headOf(before).environment !== undefined && headOf(after).environment !== undefined;
  return differences(facts(before), facts(after))
    .filter((d) => both || (d.a !== undefined && d.b !== undefined))
    .map((d) => `another ${d.what}: was ${d.a ?? "not set"}, is ${d.b ?? "not set"}`);
}
