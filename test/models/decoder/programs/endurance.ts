/**
 * Generates many tokens with a bounded state and reports, as JSON, what was created on the device on the way.
 * Arguments: adapter, tokens, tokens that count as warming up.
 */
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
  /** Tokens kept in each layer at the end. */
  readonly kept: number[];
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
const options = { tokens, temperature: 0.8, seed: 1, stop: [] };
for await (const id of decoder.generate(tokenizer.encode("A tale from"), options)) {
  if (!(id < source.config.vocab)) strange++;
  made++;
  most = Math.max(most, gpu.device.allocated);
  least = Math.min(least, gpu.device.allocated);
  if (made === warm) warming = { ...counts };
}
const after = Object.fromEntries(Object.entries(counts).map(([name, n]) => [name, n - (warming[name] ?? 0)]));
const kept = (await decoder.kept()).map((positions) => positions.length);
const report: Report = {
  tokens: made,
  strange,
  allocated: { before, most, least },
  warming,
  after,
  kept,
};
decoder.destroy();
await gpu.close();
console.log(JSON.stringify(report));
