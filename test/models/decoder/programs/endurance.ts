/**
 * Generates many tokens with a bounded state and reports, as JSON, what was created on the device and how much memory was held on the way.
 *
 * A process of its own, since a test runner's memory grows with what it notes. Arguments: adapter, tokens, tokens that count as warming up.
 */
import { resident } from "../../../../bench/resident.ts";
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
  /** Resident bytes that the process kept when asked to give back: after warming up, and at the end. */
  readonly resident: { readonly warm: number; readonly end: number };
  /** Tokens kept in each layer at the end. */
  readonly kept: number[];
}

/** Seconds without a fall after which memory has settled. */
const SETTLE = 5;

const [adapter, tokens = 0, warm = 0] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const gpu = await open({ adapter });
const counts = counted(gpu.device.raw);
const source = await openModel(undefined);
const tokenizer = await source.tokenizer();
const decoder = await Decoder.load(gpu, source, { state: "tova:128" });

const before = gpu.device.allocated;
let [most, least, strange, made] = [before, before, 0, 0];
let warming: Record<string, number> = {};
const held: number[] = [];
const options = { tokens, temperature: 0.8, seed: 1, stop: [] };
for await (const id of decoder.generate(tokenizer.encode("A tale from"), options)) {
  if (!(id < source.config.vocab)) strange++;
  made++;
  most = Math.max(most, gpu.device.allocated);
  least = Math.min(least, gpu.device.allocated);
  if (made === warm) warming = { ...counts };
  if (made === warm || made === tokens) held.push((await resident(SETTLE)).kept);
}
const after = Object.fromEntries(Object.entries(counts).map(([name, n]) => [name, n - (warming[name] ?? 0)]));
const kept = (await decoder.kept()).map((positions) => positions.length);
const report: Report = {
  tokens: made,
  strange,
  allocated: { before, most, least },
  warming,
  after,
  resident: { warm: held[0] ?? 0, end: held[1] ?? 0 },
  kept,
};
decoder.destroy();
await gpu.close();
console.log(JSON.stringify(report));
