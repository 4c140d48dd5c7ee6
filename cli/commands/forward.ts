/**
 * `tilestate forward`: logits after each of the given tokens, as a safetensors file. What a reference implementation is
 * compared with.
 */
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { WeightFormat } from "../../models/index.ts";
import { UserError } from "../../runtime/common/errors.ts";
import { type Context, printJson, UsageError } from "../support/context.ts";
import { rate } from "../support/format.ts";
import {
  adapterOption,
  examples,
  idList,
  jsonOption,
  type ModelOptions,
  modelOption,
  stateOption,
  weightsOption,
} from "../support/options.ts";
import { givenState, type PolicyOptions, policyOption } from "../support/policies.ts";

interface Options extends ModelOptions, PolicyOptions {
  readonly ids?: number[];
  readonly idsFile?: string;
  readonly state: string;
  readonly weights?: WeightFormat;
  readonly out: string;
  readonly json?: boolean;
}

export function configure(command: Command, context: Context): void {
  examples(command, [
    "tilestate forward --ids 35,505,343 --out logits.safetensors",
    "tilestate forward --model ./TinyLlama --ids-file case.json --state tova:64 --out logits.safetensors",
  ])
    .addOption(modelOption())
    .option("--ids <list>", "token ids, as in 1,2,3", idList)
    .option("--ids-file <file>", "token ids as JSON: a list, or an object with the list as ids or input_ids")
    .addOption(stateOption())
    .addOption(policyOption())
    .addOption(weightsOption())
    .requiredOption("--out <file>", "the safetensors file to write: tensor logits, f32, [tokens, vocab]")
    .addOption(adapterOption())
    .addOption(jsonOption())
    .action((options: Options) => forward(options, context));
}

async function forward(options: Options, context: Context): Promise<void> {
  const { io } = context;
  if ((options.ids === undefined) === (options.idsFile === undefined)) {
    throw new UsageError("give the tokens either with --ids or with --ids-file");
  }
  const ids = options.ids ?? (await readIds(options.idsFile ?? ""));
  const [{ Decoder, openModel }, { writeSafetensors }, { adapterJson, announce, withGpu }] = await Promise.all([
    import("../../models/index.ts"),
    import("../../models/formats/safetensors.ts"),
    import("../support/session.ts"),
  ]);
  const given = await givenState(options.state, options.policy);
  const source = await openModel(options.model);
  await withGpu(context, options.adapter, async (gpu) => {
    const { weights } = options;
    const decoder = await Decoder.load(gpu, source, { ...given, weights });
    announce(context, gpu, source, decoder);
    const began = performance.now();
    const logits = await decoder.forward(ids);
    const milliseconds = performance.now() - began;
    const shape = [ids.length, source.config.vocab];
    await writeSafetensors(options.out, { logits: { dtype: "F32", shape, data: logits } });
    const speed = rate(ids.length, milliseconds);
    if (options.json) {
      const { name } = source.config;
      printJson(io, {
        model: name,
        adapter: adapterJson(gpu),
        state: given.state,
        out: options.out,
        shape,
        tokens_per_second: speed,
      });
    } else io.err(`logits   [${shape.join(", ")}] in ${options.out}, ${speed} tokens/s\n`);
  });
}

/** Ids from a JSON file. Throws `UserError` naming it. */
export async function readIds(file: string): Promise<number[]> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, "utf8"));
  } catch (cause) {
    throw new UserError(`${file}: cannot read token ids (${cause instanceof Error ? cause.message : String(cause)})`);
  }
  const { ids, input_ids } = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const list = Array.isArray(value) ? value : (ids ?? input_ids);
  if (!Array.isArray(list) || !list.every((x) => typeof x === "number")) {
    throw new UserError(`${file}: expected a list of token ids, or an object with such a list as "ids" or "input_ids"`);
  }
  return list;
}
