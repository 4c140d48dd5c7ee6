/**
 * Which parameters share a binding, decided from where their tensors lie; pack.ts then rewrites the program.
 *
 * Browsers bind 8 storage buffers to a kernel unless an adapter has more, and WebGPU refuses a buffer that is bound for
 * reading and for writing at once. So tensors that lie in one GPU buffer may be bound as one range, each at its own
 * offset in it, and what is only read beside something that is written is bound for writing too. Neither is done where
 * it is not needed: a range of mixed types costs bitcasts, and adapters may read read-only memory faster.
 */
import type { Member, Packing, Parted, Place } from "../ir/binding.ts";
import { elementCount, perWord } from "../ir/formats.ts";
import type { LaneProgram } from "../ir/lane/program.ts";

/** Neighbours in one GPU buffer. */
type Run = readonly Place[];

/**
 * The packing for one call, undefined where every parameter can have a binding of its own. At most `bindings` are used
 * if the places allow it, none longer than `bindingBytes`; with too few neighbours, more are left, which is for the
 * caller to refuse. What is longer and only read is bound in parts.
 * @param places the tensors of one call, each a part of a GPU buffer
 * @param limits most storage bindings of a kernel, and most bytes of one
 */
export function planPacking(
  places: readonly Place[],
  limits: { readonly bindings: number; readonly bindingBytes: number },
): Packing | undefined {
  const homes = new Map<unknown, Place[]>();
  for (const p of places) homes.set(p.home, [...(homes.get(p.home) ?? []), p]);
  const writable: string[] = [];
  const packs: Run[] = [];
  for (const home of homes.values()) {
    home.sort((a, b) => a.offset - b.offset);
    if (!home.some((p) => p.writes)) continue;
    writable.push(...home.flatMap((p) => (p.writes ? [] : [p.name])));
    packs.push(...overlaps(home));
  }
  const parted = places.flatMap((p) =>
    p.bytes > limits.bindingBytes && !p.writes ? [partedOf(p, limits.bindingBytes)] : [],
  );
  const more = parted.reduce((n, p) => n + p.windows - 1, 0);
  const whole = (p: Place): boolean => !parted.some((x) => x.name === p.name);
  const excess = (): number => places.length + more - packs.reduce((n, run) => n + run.length - 1, 0) - limits.bindings;
  while (excess() > 0) {
    const taken = new Set(packs.flat());
    const runs = [...homes.values()].flatMap((home) => runsOf(home.filter(whole), taken, limits.bindingBytes));
    // The smallest run that is enough, or else the one that saves most.
    const enough = runs.filter((r) => r.length > excess());
    const best = enough.length > 0 ? least(enough, bytesOf) : least(runs, (r) => -r.length);
    if (best === undefined) break;
    packs.push(best);
  }
  if (writable.length + packs.length + parted.length === 0) return undefined;
  const members = (run: Run): Member[] =>
    run.map((p) => ({ name: p.name, at: (p.offset - (run[0] as Place).offset) / 4 }));
  const windows = parted.map(({ name, words }) => ({ name, words }));
  return { writable, packs: packs.map(members), ...(windows.length === 0 ? {} : { parted: windows }) };
}

/** Windows as alike as offsets of bindings allow. */
function partedOf(p: Place, most: number): Parted & { readonly windows: number } {
  const grain = 256;
  const windows = Math.ceil(p.bytes / (Math.floor(most / grain) * grain));
  const words = (Math.ceil(p.bytes / windows / grain) * grain) / 4;
  return { name: p.name, words, windows: Math.ceil(p.bytes / 4 / words) };
}

/** Two bindings for writing must not overlap, so what is read twice beside something written is bound once. */
function overlaps(home: Run): Run[] {
  const runs: Place[][] = [];
  let end = 0;
  for (const p of home) {
    if (p.offset < end) runs.at(-1)?.push(p);
    else runs.push([p]);
    end = Math.max(end, p.offset + p.bytes);
  }
  return runs.filter((r) => r.length > 1);
}

/**
 * All runs of two and more neighbours that may share a binding. A range takes in everything between its ends, since
 * nothing else could be bound there.
 */
function runsOf(home: Run, taken: ReadonlySet<Place>, most: number): Run[] {
  const runs: Run[] = [];
  for (let from = 0; from < home.length; from++) {
    const start = (home[from] as Place).offset;
    for (let to = from; to < home.length; to++) {
      const p = home[to] as Place;
      if (p.atomic || taken.has(p) || p.offset + p.bytes - start > most) break;
      if (to > from) runs.push(home.slice(from, to + 1));
    }
  }
  return runs;
}

function bytesOf(run: Run): number {
  return run.reduce((n, p) => n + p.bytes, 0);
}

function least<T>(of: readonly T[], cost: (x: T) => number): T | undefined {
  return of.reduce<T | undefined>((best, x) => (best === undefined || cost(x) < cost(best) ? x : best), undefined);
}

/** Words that a buffer of a lane program takes. */
export function wordsOf(b: LaneProgram["buffers"][number]): number {
  return elementCount(b) * (b.unit / perWord(b.storage));
}

/** Throws where a packing does not fit the program: our defect, or that of whoever made the packing by hand. */
export function verifyPacking(program: LaneProgram, packing: Packing): void {
  const bad = (what: string): never => {
    throw new Error(`kernel ${program.name}: the packing of bindings is not legal: ${what}`);
  };
  const seen = new Set<string>();
  for (const pack of packing.packs) {
    if (pack.length < 2) bad("a pack of fewer than two");
    const ranges = pack.map(({ name, at }) => {
      const b = program.buffers.find((x) => x.name === name) ?? bad(`there is no buffer "${name}"`);
      if (seen.has(name)) bad(`"${name}" is packed twice`);
      seen.add(name);
      if (b.atomic) bad(`"${name}" is atomic, and those are bound alone`);
      if (!Number.isInteger(at) || at < 0 || at % 4 !== 0) bad(`"${name}" starts at word ${at}`);
      return { name, at, end: at + wordsOf(b), writes: b.writes };
    });
    if (Math.min(...ranges.map((r) => r.at)) !== 0) bad("nothing lies at the start of a pack");
    for (const [i, a] of ranges.entries())
      for (const b of ranges.slice(i + 1))
        if (a.at < b.end && b.at < a.end && (a.writes || b.writes))
          bad(`"${a.name}" and "${b.name}" overlap, and one of them is written`);
  }
}
