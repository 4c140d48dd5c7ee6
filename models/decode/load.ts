/**
 * Loading a decoder: memory first, then kernels and weights, then the recorded step. What fails half-way frees what was
 * made.
 */

import { guarded } from "../../runtime/device/scopes.ts";
import { type Arena, arena, type Gpu, type Plan, UserError } from "../../runtime/index.ts";
import { loadKernels } from "../blocks/kernels.ts";
import { ropeOf, ropeTables } from "../blocks/rope.ts";
import { checkSpec } from "../blocks/supported.ts";
import { loadEviction } from "../cache/eviction.ts";
import { type AnyPolicy, type PolicySpec, parsePolicy } from "../cache/policy.ts";
import { createState } from "../cache/state.ts";
import { widthsOf } from "../config/widths.ts";
import { checkBlocks, type WeightFormat } from "../weights/formats.ts";
import { loadWeights } from "../weights/load.ts";
import type { ModelSource } from "../weights/source.ts";
import { Join } from "./join.ts";
import { type Contract, contract, roomOf, tooLarge } from "./memory.ts";
import { checkLoad } from "./options.ts";
import { type Model, type Rows, recordChoice, recordStep } from "./record.ts";
import { reserve } from "./scheduler.ts";
import { createFlows, createRows, statesOf } from "./workspace.ts";

/** How a decoder is loaded. */
export interface DecoderOptions {
  /** The state policy, as in `tova:128`; `full` unless given. */
  readonly state?: string;
  /** Cache policies of one's own, which `state` may name beside the built-in ones. */
  readonly policies?: readonly AnyPolicy[];
  /** Sequences that are decoded together, each with a state of its own; 1 unless given. */
  readonly batch?: number;
  /**
   * Most tokens of a prompt that are read at once: 16, 64 or 256; chosen by adapter and size of the model unless given.
   */
  readonly piece?: number;
  /**
   * Ids that may be chosen, for a model with more rows of logits than its tokenizer has ids: those from this one on
   * never are. All unless given.
   */
  readonly vocab?: number | undefined;
  /**
   * The format that matrices are kept in, made while they are loaded; as `stored` unless given. Norms are f32 in any
   * format but that.
   */
  readonly weights?: WeightFormat | undefined;
}

/** What a decoder is made of. */
export interface Parts {
  readonly arena: Arena;
  readonly policy: PolicySpec;
  readonly contract: Contract;
  readonly model: Model;
  /** The sequence whose prompt is read, and the batch: the same when there is one sequence only. */
  readonly guest: Rows;
  readonly rows: Rows;
  readonly step: Plan;
  readonly join: Join | undefined;
}

/**
 * Loads weights, compiles the kernels and records the step. Throws a `UserError` for a state that is no policy or does
 * not fit the adapter.
 */
export async function loadParts(gpu: Gpu, source: ModelSource, options: DecoderOptions): Promise<Parts> {
  checkLoad(gpu, source, options);
  const spec = source.config;
  const config = widthsOf(spec);
  const { batch = 1, piece } = options;
  const policy = parsePolicy(options.state ?? "full", options.policies);
  const format = options.weights ?? "stored";
  checkSpec(spec);
  checkBlocks(spec, format);
  const memory = arena(gpu);
  let step: Plan | undefined;
  try {
    // States first: they are the part that may be too large, and weights take long to read.
    const room = roomOf(config, policy);
    const all = await guarded(gpu.device, `the state of "${config.name}"`, () =>
      statesOf(batch).map(
        (n): Rows => ({
          state: createState(memory, config, room, n),
          own: createRows(memory, config, room, n),
        }),
      ),
    ).catch((cause: unknown) => {
      gpu.device.assertOpen();
      throw cause instanceof UserError ? tooLarge(config, policy, batch, cause) : cause;
    });
    const [guest, rows] = [all[0], all.at(-1)] as [Rows, Rows];
    const tables = ropeTables(ropeOf(spec));
    const [flow, together] = await guarded(gpu.device, "memory for tokens on their way", () =>
      createFlows(memory, config, batch, tables),
    );
    const k = await loadKernels(gpu);
    const eviction = await loadEviction(gpu, policy);
    const w = await loadWeights(memory, source, format);
    const said = contract(source, policy, gpu.capabilities.f16, batch, format);
    const model: Model = {
      gpu,
      spec,
      config,
      k,
      w,
      flow,
      eviction,
      parameters: said.parameters,
      piece,
      known: options.vocab,
    };
    step = await gpu.record("decode step", () => {
      recordStep({ ...model, flow: together }, rows);
      recordChoice({ ...model, flow: together }, rows);
    });
    await guarded(gpu.device, "memory to read tokens through", () => reserve(gpu, batch));
    const join = guest === rows ? undefined : await Join.make(model, memory, guest, rows);
    return { arena: memory, policy, contract: said, model, guest, rows, step, join };
  } catch (error) {
    step?.destroy();
    memory.destroy();
    throw error;
  }
}
