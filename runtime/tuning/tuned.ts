/**
 * Tuned knobs: what `tilestate kernels tune` found out, looked up when a kernel is bound.
 *
 * A record belongs to an adapter, a kernel (by a hash of its tile IR, so a comment does not void it and a change does)
 * and one binding of sizes and formats. The user's own records, in the folder `tuning` of the cache, come before those
 * that ship with the package (tuned-records.ts, same form). They are read once a process; a kernel whose name is in no
 * record costs one look into a map. TILESTATE_TUNING=off does without.
 */
import { type Binding, type Knobs, readText, type TileProgram, tuningFolder } from "../../compiler/index.ts";
import type { Capabilities } from "../adapters/capabilities.ts";
import { env } from "../common/env.ts";
import type { FindKnobs } from "../kernels/kernel.ts";
import { areKnobs } from "./knobs.ts";
import { shipped, type TuningFile, type TuningRecord } from "./tuned-records.ts";

export type { TuningRecord };

const FORMAT = 1;
/** Bytes of a file of records beyond which it is none of ours. */
const LARGEST = 64 << 20;

/**
 * Names an adapter for records: without versions of drivers, and with the feature level and the sizes of subgroups,
 * which decide what code is generated.
 */
export function adapterKey(c: Capabilities): string {
  // The names of software adapters go on with the version of their compiler.
  const name = c.kind === "software" ? c.name.split(" ", 1)[0] : c.name;
  const { min = 0, max = 0 } = c.subgroups ?? {};
  return [c.vendor, name, c.featureLevel, min === max ? min : `${min}-${max}`].join("/").toLowerCase();
}

/**
 * Names all that a kernel is specialised to: sizes, formats and scalars in memory; and, where there are any, panels,
 * textures, and what shares a binding. How tensors lie decides what is fast as much as their sizes do.
 */
export function bindingKey(b: Binding): string {
  const { panels = {}, pitches = {}, packing } = b;
  const sorted = (x: Readonly<Record<string, number | string>>): string =>
    Object.entries(x)
      .sort(([a], [c]) => (a < c ? -1 : 1))
      .map(([k, v]) => `${k}=${v}`)
      .join(" ");
  const named = (what: string, text: string): string[] => (text === "" ? [] : [`${what} ${text}`]);
  const packs = (packing?.packs ?? []).map((pack) => pack.map((m) => `${m.name}@${m.at}`).join("+")).sort();
  const parted = (packing?.parted ?? []).map((p) => `${p.name}/${p.words}`).sort();
  return [
    sorted(b.sizes),
    sorted(b.storage),
    [...b.cells].sort().join(" "),
    ...named("panels", sorted(panels)),
    ...named("textures", sorted(pitches)),
    ...named("writable", [...(packing?.writable ?? [])].sort().join(" ")),
    ...named("packs", packs.join(" ")),
    ...named("parts", parted.join(" ")),
  ].join("; ");
}

/** A hash of what a kernel does: its tile IR without positions in the source. */
export function programHash(program: TileProgram): string {
  const text = JSON.stringify(program, (key, value: unknown) => (key === "span" ? undefined : value));
  // Two FNV-1a sums of 32 bits from different starts: it has to be made in browsers too, and has no enemies.
  let [a, b] = [0x811c9dc5, 0x01234567];
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    a = Math.imul(a ^ c, 0x01000193);
    b = Math.imul(b ^ c, 0x01000193);
  }
  return [a, b].map((x) => (x >>> 0).toString(16).padStart(8, "0")).join("");
}

/** Where the user's records of an adapter are kept; undefined where nothing is. */
export function tuningPath(adapter: string): string | undefined {
  const folder = tuningFolder();
  return folder === undefined ? undefined : `${folder}/${adapter.replace(/[^a-z0-9]+/g, "-")}.json`;
}

/**
 * The records of a file that are in order; none when it is missing or of another form. What is left out here is gone
 * once the file is written again.
 */
export function readRecords(file: string): readonly TuningRecord[] {
  try {
    const read = JSON.parse(readText(file, LARGEST) ?? "null") as TuningFile | null;
    if (read?.tilestate !== FORMAT || !Array.isArray(read.records)) return [];
    return (read.records as unknown[]).filter(isRecord);
  } catch {
    return [];
  }
}

/** Has this all fields of a record, with values that the tuner could have written? */
function isRecord(x: unknown): x is TuningRecord {
  if (typeof x !== "object" || x === null) return false;
  const r = x as Readonly<Record<string, unknown>>;
  return (
    [r.adapter, r.kernel, r.hash, r.binding].every((text) => typeof text === "string") &&
    [r.us, r.untunedUs].every((us) => typeof us === "number" && us > 0) &&
    areKnobs(r.knobs)
  );
}

/** Text of a file of records: the old ones with the new ones in their place. */
export function recordsText(before: readonly TuningRecord[], now: readonly TuningRecord[]): string {
  const all = new Map([...before, ...now].map((r) => [recordKey(r), r]));
  const records = [...all.values()].sort((a, b) => (recordKey(a) < recordKey(b) ? -1 : 1));
  return `${JSON.stringify({ tilestate: FORMAT, records } satisfies TuningFile, null, 2)}\n`;
}

/** A new hash of the same kernel replaces the old one: the old source is gone. */
function recordKey(r: TuningRecord): string {
  return [r.adapter, r.kernel, r.binding].join("\n");
}

const tables = new Map<string, ReadonlyMap<string, readonly TuningRecord[]>>();

/** Kernel name -> records of this adapter, the user's first. */
function tableOf(adapter: string): ReadonlyMap<string, readonly TuningRecord[]> {
  let table = tables.get(adapter);
  if (table === undefined) {
    const file = tuningPath(adapter);
    const own = file === undefined ? [] : readRecords(file);
    const all = [...own, ...shipped.records].filter((r) => r.adapter === adapter);
    table = new Map(all.map((r) => [r.kernel, all.filter((other) => other.kernel === r.kernel)]));
    tables.set(adapter, table);
  }
  return table;
}

/**
 * The knobs that were found best for this kernel, bound like this on this adapter; undefined when nobody tuned it or
 * TILESTATE_TUNING is "off".
 */
export function tunedKnobs(c: Capabilities, program: TileProgram, binding: Binding): Knobs | undefined {
  if (env("TILESTATE_TUNING") === "off") return undefined;
  const records = tableOf(adapterKey(c)).get(program.name);
  if (records === undefined) return undefined;
  const key = bindingKey(binding);
  const near = records.filter((r) => r.binding === key);
  if (near.length === 0) return undefined;
  const hash = programHash(program);
  return near.find((r) => r.hash === hash)?.knobs;
}

/** The lookup of an adapter's records, as kernels take it. */
export function tunedFor(c: Capabilities): FindKnobs {
  return (program, binding) => tunedKnobs(c, program, binding);
}

/** Forgets what was read, so that new records count in this process. */
export function forgetTuning(): void {
  tables.clear();
}
