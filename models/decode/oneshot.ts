/**
 * A prompt longer than the state, read with full attention and then reduced at once to the C tokens that the policy
 * scores highest: what the authors' code of TOVA does (policies.md 1.1), and another model than reading it with the
 * state.
 *
 * The full cache lives only while the prompt is read. The last token goes alone, since the scores of its query are what
 * the reduction needs.
 */

import { guarded, owned } from "../../runtime/device/scopes.ts";
import { settle } from "../../runtime/device/wait.ts";
import { arena, type DeviceTensor, type Plan } from "../../runtime/index.ts";
import { type Eviction, KEEPS_ALL } from "../cache/eviction.ts";
import { type PolicySpec, protectedBy } from "../cache/policy.ts";
import { createState, type LayerState } from "../cache/state.ts";
import { Prefill } from "./prefill.ts";
import { type Model, type Rows, recordAttend, recordLayers } from "./record.ts";

/**
 * Reads `prompt` into the state of `rows`, up to the choice of what follows; the last token ends in row 0 of the
 * residual stream.
 * @param halt called between two pieces; what it throws ends the reading.
 */
export async function readAtOnce(
  model: Model,
  rows: Rows,
  prompt: readonly number[],
  policy: PolicySpec,
  halt: () => void,
): Promise<void> {
  const { gpu, config, flow } = model;
  const { device } = gpu;
  const n = prompt.length;
  const memory = arena(gpu);
  let last: Plan | undefined;
  let prefill: Prefill | undefined;
  try {
    const { whole, scores, lse, weights, ranks } = await guarded(device, `a full cache of ${n} tokens`, () => {
      const score = (label: string, ...shape: number[]): DeviceTensor => memory.tensor(shape, "f32", { label });
      return {
        whole: createState(memory, config, { slots: new Array<number>(config.layers).fill(n), memories: 0 }),
        scores: score("prompt scores", 1, 1, config.heads, n),
        lse: score("prompt log-sums", 1, 1, config.heads),
        weights: score("prompt weights", n),
        ranks: score("prompt ranks", n),
      };
    });
    halt();
    const left = { scores, lse };
    const reduction = { ...left, weights, ranks, ...protectedBy(policy) };
    prefill = new Prefill({ ...model, eviction: KEEPS_ALL }, { state: whole, own: { ...rows.own, observed: [] } });
    last = await gpu.record("last prompt token", () => {
      const layer = (i: number): LayerState => whole.layers[i] as LayerState;
      recordLayers(
        model,
        1,
        flow.cursor,
        (i) => ({ k: layer(i).kHalves, v: layer(i).vHalves, slot: layer(i).free }),
        (i) => {
          recordAttend(model, 1, flow.cursor, 1, layer(i), left);
          recordReduction(model, reduction, layer(i), rows.state.layers[i] as LayerState);
        },
      );
    });
    await prefill.read(prompt.slice(0, -1), 0, { halt });
    halt();
    const reduce = last;
    const { verdict } = owned(device, "the last token of a prompt", () => {
      flow.cursor.write([n - 1, 0, 0, prompt.at(-1) ?? 0, 1, 0, 0, 0]);
      reduce.run();
    });
    await settle(device, "the last token of a prompt", verdict);
  } finally {
    last?.destroy();
    prefill?.destroy();
    memory.destroy();
  }
}

interface Reduction {
  /** [1, 1, heads, tokens] and [1, 1, heads] of the last query. */
  readonly scores: DeviceTensor;
  readonly lse: DeviceTensor;
  /** [tokens] */
  readonly weights: DeviceTensor;
  readonly ranks: DeviceTensor;
  readonly recent: number;
  readonly first: number;
}

/**
 * Records the reduction of one layer of a full cache to what is kept, in the same layer of another state. Both are of
 * one sequence.
 */
export function recordReduction(
  { k, eviction }: { readonly k: Model["k"]; readonly eviction: Eviction },
  r: Reduction,
  from: LayerState,
  to: LayerState,
): void {
  const without = (n: number, t: DeviceTensor): DeviceTensor => t.view(t.shape.toSpliced(n, 1));
  const one = (t: DeviceTensor): DeviceTensor => without(0, t);
  eviction.rate(one(one(r.scores)), one(one(r.lse)), r.weights);
  if (r.recent + r.first > 0) k.protect(r.weights, r.recent, r.first);
  k.rank(r.weights, r.ranks);
  k.place(r.ranks, one(from.k), one(from.v), one(to.k), one(to.v), without(1, to.group.positions), to.index, to.victim);
}
