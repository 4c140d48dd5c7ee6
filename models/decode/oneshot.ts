/**
 * A prompt longer than the state, read with full attention and then reduced at once to the C tokens that its last token attends to most: what the authors'
 * code does (policies.md 1.1), and another model than reading it with the state.
 *
 * The full cache lives only while the prompt is read. The last token goes alone, since the scores of its query are what the reduction needs.
 */

import { guarded, owned } from "../../runtime/device/scopes.ts";
import { settle } from "../../runtime/device/wait.ts";
import { arena, type DeviceTensor, type Plan } from "../../runtime/index.ts";
import { type PolicySpec, protectedBy } from "../cache/policy.ts";
import { createState, type LayerState, type State } from "../cache/state.ts";
import { Prefill } from "./prefill.ts";
import { type Model, type Rows, recordAttend, recordLayers, seenIn } from "./record.ts";

/**
 * Reads `prompt` into the state of `rows`, up to the choice of what follows; the last token ends in row 0 of the residual stream.
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
    const { whole, scores, weights, ranks } = await guarded(device, `a full cache of ${n} tokens`, () => {
      const score = (label: string, ...shape: number[]): DeviceTensor => memory.tensor(shape, "f32", { label });
      return {
        whole: createState(memory, config, n),
        scores: score("prompt scores", 1, 1, config.heads, n),
        weights: score("prompt weights", n),
        ranks: score("prompt ranks", n),
      };
    });
    halt();
    const reduction = { scores, weights, ranks, ...protectedBy(policy) };
    const lse = rows.own.lse.slice(0, 1);
    const full = { state: whole, own: { ...rows.own, scores, lse } };
    prefill = new Prefill({ ...model, evict: () => {} }, full);
    last = await gpu.record("last prompt token", () => {
      const layer = (i: number): LayerState => whole.layers[i] as LayerState;
      recordLayers(
        model,
        1,
        flow.cursor,
        (i) => ({ k: layer(i).kHalves, v: layer(i).vHalves, slot: layer(i).free }),
        (i) => {
          recordAttend(model, 1, flow.cursor, whole, layer(i), seenIn(full, i));
          recordReduction(model, reduction, layer(i), rows.state, i, lse);
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
  /** [1, 1, heads, tokens] of the last query. */
  readonly scores: DeviceTensor;
  readonly weights: DeviceTensor;
  readonly ranks: DeviceTensor;
  readonly recent: number;
  readonly first: number;
}

/** Records the reduction of one layer of a full cache to what is kept, in the same layer of `to`; lse is [1, 1, heads]. */
export function recordReduction(
  { k }: Pick<Model, "k">,
  r: Reduction,
  from: LayerState,
  to: State,
  layer: number,
  lse: DeviceTensor,
): void {
  const without = (n: number, t: DeviceTensor): DeviceTensor => t.view(t.shape.toSpliced(n, 1));
  const one = (t: DeviceTensor): DeviceTensor => without(0, t);
  const { k: toK, v: toV, victim } = to.layers[layer] as LayerState;
  k.weigh(one(one(r.scores)), one(one(lse)), r.weights);
  if (r.recent + r.first > 0) k.protect(r.weights, r.recent, r.first);
  k.rank(r.weights, r.ranks);
  k.place(r.ranks, one(from.k), one(from.v), one(toK), one(toV), without(1, to.positions), layer, victim);
}
