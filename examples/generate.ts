// Text from a model whose state does not grow: the same bytes after ten tokens and after ten million.
// `generate.ts [MODEL] [STATE] [PROMPT]`
import { Decoder, openModel } from "tilestate/models";
import { open } from "tilestate/runtime";

const [model = "hearth", state = "tova:64,recent=8", prompt = "A tale from"] = process.argv.slice(2);

const source = await openModel(model);
const tokenizer = await source.tokenizer();
const gpu = await open();
const decoder = await Decoder.load(gpu, source, { state });
console.log(`${source.config.name} on ${gpu.capabilities.name}: ${decoder.contract.state} bytes of state (${state})\n`);

const ids = tokenizer.encode(prompt);
const text = tokenizer.stream();
// The stream sees the prompt too, so that the first new word keeps its space.
for (const id of ids) process.stdout.write(text.push(id));
for await (const id of decoder.generate(ids, { tokens: 200, temperature: 0.8, seed: 7 })) {
  process.stdout.write(text.push(id));
}
process.stdout.write(`${text.end()}\n`);

const kept = (await decoder.kept())[0] ?? [];
console.log(`\nOf ${decoder.seen} tokens, the first layer still holds these positions: ${kept.join(" ")}`);
await gpu.close();
