/**
 * Two reports of a benchmark: what changed, and what of it is more than noise.
 *
 * Figures are matched by name. A change counts when the middle halves of the rounds (quartile to quartile) lie apart, the medians differ by more than three in a
 * hundred, and both sides have rounds enough to tell; whatever else differs is noise until more rounds say otherwise. Figures of other machines, and of a machine
 * that was busy with something else, are no change of ours: that is said first.
 */
import { UserError } from "../runtime/index.ts";
import type { Measure } from "./stats.ts";

/** Changes below this are never called one. */
const LEAST = 0.03;
/** Rounds below which quartiles say nothing: then only a change of more than this counts. */
const ENOUGH_ROUNDS = 3;
const LEAST_WITHOUT_ROUNDS = 0.25;
/** Cores that other programs may keep busy before it is worth a word. */
const BUSY = 0.25;

export interface Change {
  readonly name: string;
  readonly unit: string;
  readonly before: number | null;
  readonly after: number | null;
  /** after / before. */
  readonly ratio: number | null;
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
export function changes(before: readonly Measure[], after: readonly Measure[]): Change[] {
  const old = new Map(before.map((m) => [m.name, m]));
  const out = after.map((now): Change => {
    const was = old.get(now.name);
    old.delete(now.name);
    const { name, unit } = now;
    if (was === undefined) return { name, unit, before: null, after: now.median, ratio: null, verdict: "new" };
    const ratio = now.median / was.median;
    return { name, unit, before: was.median, after: now.median, ratio, verdict: verdict(was, now) };
  });
  for (const { name, unit, median } of old.values())
    out.push({ name, unit, before: median, after: null, ratio: null, verdict: "gone" });
  return out;
}

function verdict(was: Measure, now: Measure): "better" | "worse" | "noise" {
  const apart = now.low > was.high || now.high < was.low;
  const least = Math.min(was.rounds, now.rounds) < ENOUGH_ROUNDS ? LEAST_WITHOUT_ROUNDS : LEAST;
  if (!apart || Math.abs(now.median / was.median - 1) <= least) return "noise";
  return now.median > was.median === (now.better === "higher") ? "better" : "worse";
}

/** Compares two reports. */
export function compare(before: unknown, after: unknown, where: string): Comparison {
  const notes: string[] = [];
  for (const [what, of] of Object.entries(SAME)) {
    const [a, b] = [of(before), of(after)];
    if (a !== undefined && b !== undefined && a !== b) notes.push(`another ${what}: was ${a}, is ${b}`);
  }
  for (const [which, report] of [
    ["earlier", before],
    ["new", after],
  ] as const) {
    const others = headOf(report).load?.others_during;
    if (typeof others === "number" && others > BUSY)
      notes.push(`other programs kept ${others.toFixed(2)} cores busy during the ${which} run: its times are doubtful`);
  }
  return { notes, changes: changes(measuresIn(before, where), measuresIn(after, "the new report")) };
}

interface Head {
  readonly benchmark?: string;
  readonly adapter?: { readonly name?: string; readonly driver?: string };
  readonly runtime?: { readonly name?: string; readonly version?: string };
  readonly load?: { readonly others_during?: unknown };
  readonly machine?: { readonly cpu?: string; readonly cores?: number };
}

function headOf(report: unknown): Head {
  return ((Array.isArray(report) ? report[0] : report) ?? {}) as Head;
}

/** What has to be the same for figures to be comparable. */
const SAME: Readonly<Record<string, (report: unknown) => string | undefined>> = {
  benchmark: (r) => headOf(r).benchmark,
  adapter: (r) => headOf(r).adapter?.name,
  driver: (r) => headOf(r).adapter?.driver,
  runtime: (r) => words(headOf(r).runtime?.name, headOf(r).runtime?.version),
  machine: (r) => words(headOf(r).machine?.cpu, headOf(r).machine?.cores?.toString()),
};

function words(...parts: readonly (string | undefined)[]): string | undefined {
  return parts.includes(undefined) ? undefined : parts.join(" ");
}
