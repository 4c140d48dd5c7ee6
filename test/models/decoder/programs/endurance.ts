/**
 * Generates many tokens with a bounded state and reports, as JSON, what was created on the device and how much memory was held on the way.
 *
 * A process of its own, since a test runner's memory grows with what it notes. Arguments: adapter, tokens, tokens that count as warming up.
 */
import { setImmediate as turn } from "node:timers/promises";
import { Decoder, openModel } from "../../../../models/index.ts";
import { open } from "../../../../runtime/index.ts";
import { counted } from "../../../support/counted.ts";

export interface Report {
  readonly tokens: number;
  /** Ids outside the vocabulary. */
  readonly strange: number;
  /** Bytes on the device, before the run and the most and least seen during it. */
  readonly allocated: { readonly before: number; readonly most: number; readonly least: number };
  /** Objects created on the device by method: until warm, and afterwards. */
  readonly warming: Record<string, number>;
  readonly after: Record<string, number>;
  /** Resident bytes, the least of several looks (more is garbage not yet collected): after warming up, a quarter on (an engine takes its time to give back what starting up took), and at the end. */
  readonly resident: { readonly warm: number; readonly quarter: number; readonly end: number };
  /** Tokens kept in each layer at the end. */
  readonly kept: number[];
}

/** Tokens between two looks at the memory, and looks at each end. */
const EVERY = 50;
const LOOKS = 9;
/** Tokens between two collections. */
const COLLECT = 500;

/** Resident bytes after collecting garbage, so that what is measured is what is held. */
async function resident(): Promise<number> {
  const { Bun, gc } = globalThis as { Bun?: { gc(force: boolean): void }; gc?: () => void };
  for (let i = 0; i < 2; i++) {
    if (Bun !== undefined) Bun.gc(true);
    else if (gc !== undefined) gc();
    else throw new Error("start this program so that it can collect garbage");
    await turn();
  }
  return process.memoryUsage().rss;
}

const [adapter, tokens = 0, warm = 0] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const gpu = await open({ adapter });
const counts = counted(gpu.device.raw);
const source = await openModel(undefined);
const tokenizer = await source.tokenizer();
const decoder = await Decoder.load(gpu, source, { state: "tova:128" });

const before = gpu.device.allocated;
let [most, least, strange, made] = [before, before, 0, 0];
let warming: Record<string, number> = {};
const looks: Record<"warm" | "quarter" | "end", number[]> = { warm: [], quarter: [], end: [] };
const options = { tokens, temperature: 0.8, seed: 1, stop: [] };
for await (const id of decoder.generate(tokenizer.encode("A tale from"), options)) {
  if (!(id < source.config.vocab)) strange++;
  made++;
  most = Math.max(most, gpu.device.allocated);
  least = Math.min(least, gpu.device.allocated);
  if (made === warm) warming = { ...counts };
  // What an engine lets lie between its own collections leaves gaps in the C library's memory, which then counts as held.
  if (made % COLLECT === 0) await resident();
  if (made % EVERY !== 0) continue;
  if (made >= warm && looks.warm.length < LOOKS) looks.warm.push(await resident());
  else if (made >= tokens / 4 && looks.quarter.length < LOOKS) looks.quarter.push(await resident());
  else if (tokens - made < EVERY * LOOKS) looks.end.push(await resident());
}
const after = Object.fromEntries(Object.entries(counts).map(([name, n]) => [name, n - (warming[name] ?? 0)]));
const kept = (await decoder.kept()).map((positions) => positions.length);
const report: Report = {
  tokens: made,
  strange,
  allocated: { before, most, least },
  warming,
  after,
  resident: { warm: Math.min(...looks.warm), quarter: Math.min(...looks.quarter), end: Math.min(...looks.end) },
  kept,
};
decoder.destroy();
await gpu.close();
console.log(JSON.stringify(report));
