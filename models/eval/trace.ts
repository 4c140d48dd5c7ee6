/**
 * A state policy run over recorded queries, keys and values, with no model around it.
 *
 * The kernels are the decoder's own, those of a prompt whose tokens go through a full state one by one; only the
 * projections are missing. So a policy can be compared with somebody else's implementation step by step, or watched on
 * tensors dumped from another program.
 */
import { arena, type DeviceTensor, type Gpu, type Plan, UserError } from "../../runtime/index.ts";
import { loadKernels } from "../blocks/kernels.ts";
import { loadEviction } from "../cache/eviction.ts";
import { budgetsOf, checkAtOnce, dropsTokens, type PolicySpec, protectedBy } from "../cache/policy.ts";
import { createState, keptPositions, type LayerState, type SequenceState } from "../cache/state.ts";
import { recordReduction } from "../decode/oneshot.ts";
import { FEED } from "../kernels/feed.ts";

/** One layer's recorded vectors, rotated already if the model rotates them. */
export interface Recording {
  readonly steps: number;
  readonly heads: number;
  readonly groups: number;
  readonly headDim: number;
  /** [steps, heads, headDim] */
  readonly q: Float32Array;
  /** [steps, groups, headDim] */
  readonly k: Float32Array;
  /** [steps, groups, headDim] */
  readonly v: Float32Array;
}

export interface TraceOptions {
  /** Steps that belong to the prompt; matters for `oneshot` only. */
  readonly prompt?: number;
  readonly prefill?: "recurrent" | "oneshot";
}

export interface Trace {
  /** Positions held after each step, ascending; with `oneshot` the first entry is the one after the prompt. */
  readonly kept: readonly (readonly number[])[];
  /** Attention output of every step, [steps, heads, headDim]. */
  readonly attention: Float32Array;
}

/** Runs all steps. Throws `UserError` when the shapes do not fit each other or the state cannot hold the steps. */
export async function trace(
  gpu: Gpu,
  recording: Recording,
  policy: PolicySpec,
  options: TraceOptions = {},
): Promise<Trace> {
  const { steps, heads, groups, headDim } = recording;
  const { prompt = 1, prefill = "recurrent" } = options;
  check(recording, prompt);
  if (prefill === "oneshot") checkAtOnce(policy);
  const drops = dropsTokens(policy);
  const shape = { layers: 1, heads, groups, headDim };
  const [kept = 0] = budgetsOf(policy, shape, steps);
  if (!drops && kept < steps) {
    throw new UserError(`state "${policy.text}" holds ${kept} positions, but ${steps} steps were recorded`, {
      hint: "use a state that drops tokens, such as tova:128",
    });
  }
  const slots = kept + 1;
  const memories = Object.keys(policy.policy.memory ?? {}).length;
  const memory = arena(gpu);
  const plans: Plan[] = [];
  const tensor = (label: string, sizes: number[], data?: Float32Array): DeviceTensor =>
    memory.tensor(sizes, "f32", data === undefined ? { label } : { label, data });
  try {
    const k = await loadKernels(gpu);
    const eviction = await loadEviction(gpu, policy);
    const cursor = memory.tensor([1, FEED], "u32", { label: "cursor" });
    const ks = tensor("recorded k", [steps, groups, headDim], recording.k);
    const vs = tensor("recorded v", [steps, groups, headDim], recording.v);
    const grouped = [steps, groups, heads / groups, headDim];
    const [qs, out] = [tensor("recorded q", grouped, recording.q), tensor("attention output", grouped)];
    const lse = tensor("attention log-sum", [1, 1, heads]);

    /** One step whose keys and values go into `into`. */
    const record = async (label: string, into: SequenceState, after: (scores: DeviceTensor) => void): Promise<Plan> => {
      const c = into.layers[0] as LayerState;
      const scores = tensor(`scores of the ${label}`, [1, 1, heads, c.slots]);
      const byGroup = scores.view([1, 1, groups, heads / groups, c.slots]);
      const sums = lse.view([1, 1, groups, heads / groups]);
      const plan = await gpu.record(label, () => {
        k.append(ks, vs, cursor, c.free, c.k, c.v);
        k.attend(qs, c.k, c.v, cursor, c.free, out, byGroup, sums, c.group.positions, 0);
        after(scores);
      });
      plans.push(plan);
      return plan;
    };
    // Position, sequence, row, token, number of rows.
    cursor.write([0, 0, 0, 0, steps, 0, 0, 0]);

    const state = createState(memory, shape, { slots: [slots], memories });
    const [{ positions, free, victim, memory: remembered }] = state.groups;
    const history: number[][] = [];
    const note = async (seen: number): Promise<void> => {
      history.push((await keptPositions(gpu, state, seen))[0] ?? []);
    };
    let from = 0;
    if (prefill === "oneshot" && drops && prompt >= slots) {
      const whole = createState(memory, shape, { slots: [prompt], memories: 0 });
      const [all] = whole.groups;
      const layer = whole.layers[0] as LayerState;
      const [weights, ranks] = [tensor("prompt weights", [prompt]), tensor("prompt ranks", [prompt])];
      const { recent, first } = protectedBy(policy);
      const feed = await record("prompt step", whole, () => k.advance(all.victim, all.slots, all.free, cursor));
      const last = await record("last prompt step", whole, (scores) => {
        const reduction = { scores, lse, weights, ranks, recent, first };
        recordReduction({ k, eviction }, reduction, layer, state.layers[0] as LayerState);
        k.advance(victim, slots, free, cursor);
      });
      for (; from < prompt; from++) (from + 1 < prompt ? feed : last).run();
      await note(prompt);
    }
    const step = await record("step", state, (scores) => {
      eviction.evict({ scores, lse, positions, clock: cursor, free, memory: remembered, layer: 0, victim });
      k.advance(victim, slots, free, cursor);
    });
    for (let t = from; t < steps; t++) {
      step.run();
      // A prompt that was short enough to be kept whole is one entry, too.
      if (prefill !== "oneshot" || t >= prompt - 1) await note(t + 1);
    }
    return { kept: history, attention: (await out.read()) as Float32Array };
  } finally {
    for (const plan of plans) plan.destroy();
    memory.destroy();
  }
}

function check(r: Recording, prompt: number): void {
  const { steps, heads, groups, headDim } = r;
  if (steps < 1) throw new UserError("the recording has no steps");
  if (heads % groups !== 0) {
    throw new UserError(`recorded tensors: ${heads} query heads cannot share ${groups} KV heads evenly`);
  }
  if (headDim % 2 !== 0) throw new UserError(`recorded tensors: expected an even head dim, got ${headDim}`);
  if (prompt < 1 || prompt > steps) throw new UserError(`a prompt of ${prompt} steps, but ${steps} were recorded`);
  for (const [name, rows] of [
    ["q", heads],
    ["k", groups],
    ["v", groups],
  ] as const) {
    const expected = steps * rows * headDim;
    if (r[name].length !== expected) {
      throw new UserError(`recorded tensor "${name}": expected ${expected} elements, got ${r[name].length}`);
    }
  }
}
