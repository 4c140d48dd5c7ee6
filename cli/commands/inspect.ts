/** `tilestate inspect`: what a model is and what it will take, from headers alone. Needs no GPU and reads no weight. */
import type { Command } from "commander";
import type { ModelSpec, WeightFormat } from "../../models/index.ts";
import { type Context, printJson } from "../support/context.ts";
import { bytes, count } from "../support/format.ts";
import { examples, jsonOption, modelOption, stateOption, weightsOption } from "../support/options.ts";
import { givenState, type PolicyOptions, policyOption } from "../support/policies.ts";

interface Options extends PolicyOptions {
  readonly model?: string;
  readonly state: string;
  readonly weights?: WeightFormat;
  readonly json?: boolean;
}

export function configure(command: Command, context: Context): void {
  examples(command, [
    "tilestate inspect",
    "tilestate inspect --model ./TinyLlama --state tova:512",
    "tilestate inspect --model stories260K.bin --json",
  ])
    .addOption(modelOption())
    .addOption(stateOption())
    .addOption(policyOption())
    .addOption(weightsOption())
    .addOption(jsonOption())
    .action((options: Options) => inspect(options, context));
}

async function inspect(options: Options, { io }: Context): Promise<void> {
  const { contract, openModel, parsePolicy, widthsOf } = await import("../../models/index.ts");
  const given = await givenState(options.state, options.policy);
  const policy = parsePolicy(given.state, given.policies);
  const source = await openModel(options.model);
  const { config } = source;
  const c = contract(source, policy, true, 1, options.weights);
  const storage = source.tensor("layers.0.q").dtype;
  const total = c.weights + c.state + c.scratch;
  const each = c.state / c.slots;
  if (options.json) {
    const sizes = { weights: c.weights, state: c.state, scratch: c.scratch, total };
    const state = { policy: policy.text, kept: c.kept, slots: c.slots, bytes_per_slot: each };
    printJson(io, {
      model: config.name,
      where: source.where,
      ...(source.notes.length === 0 ? {} : { notes: source.notes }),
      config,
      storage,
      ...(options.weights === undefined ? {} : { weights: options.weights }),
      parameters: c.parameters,
      state,
      bytes: sizes,
    });
    return;
  }
  const { layers, dim, heads, groups, headDim, ff, vocab, context } = widthsOf(config);
  const { norm, tied, bos, eos } = config;
  const lines: [string, string][] = [
    ["model", `${config.name} (${source.where})`],
    [
      "parameters",
      `${c.parameters} (${count(c.parameters)}), stored as ${storage}${options.weights === undefined ? "" : `, kept as ${options.weights}`}`,
    ],
    ["layers", `${layers}, ${dim} wide, feed-forward ${ff}`],
    ["attention", `${heads} query heads, ${groups} KV heads of ${headDim}`],
    ["vocabulary", `${vocab}${tied ? ", output matrix tied to the embedding" : ""}`],
    ["positions", `trained on ${context}, ${ropeWords(config)}, RMSNorm epsilon ${norm.eps}`],
    ["text", `begins with ${bos.join(", ") || "no id of its own"}, ends with ${eos.join(", ") || "no id of its own"}`],
    ["state", `${policy.text}: ${c.kept} tokens kept, ${c.slots} slots a layer, ${bytes(each)} a slot`],
    ...source.notes.map((note): [string, string] => ["note", note]),
    ["", ""],
    ["weights", `${bytes(c.weights)} (${c.weights} bytes)`],
    ["state", `${bytes(c.state)} (${c.state} bytes)`],
    ["scratch", `${bytes(c.scratch)} (${c.scratch} bytes)`],
    ["together", `${bytes(total)} (${total} bytes)`],
  ];
  for (const [name, text] of lines) io.out(`${name.padEnd(11)} ${text}`.trimEnd().concat("\n"));
}

/** The rotation of a model, whose layers agree or have several. */
function ropeWords({ layers }: ModelSpec): string {
  const kinds = layers.map(({ attention: { rope } }) => {
    if (rope === undefined) return "no RoPE";
    const { theta, scaling } = rope;
    const how = scaling.kind === "none" ? "" : `, scaled (${scaling.kind}) by ${scaling.factor}`;
    return `RoPE base ${theta}${how}`;
  });
  return [...new Set(kinds)].join("; ");
}
