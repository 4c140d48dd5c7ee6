/**
 * A state policy run over recorded queries, keys and values, with no model around it.
 *
 * The kernels are the decoder's own (attend, the policy's eviction, the reduction of a prompt); only the projections are replaced, by a kernel that copies
 * what was recorded. So a policy can be compared with somebody else's implementation step by step, or watched on tensors dumped from another program.
 */
import { type DeviceTensor, type Gpu, type Plan, UserError } from "../runtime/index.ts";
import { attend, place, protect, rank, weigh, write } from "./kernels/index.ts";
import { arena } from "./llama/scratch.ts";
import { POLICIES, type PolicyInputs, type PolicySpec, protectedBy } from "./state/policy.ts";
import { createState, keptPositions, type LayerState, type State } from "./state/state.ts";

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

const HERE = { url: new URL("./kernels/index.ts", import.meta.url).href };

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
  const entry = POLICIES[policy.name];
  if (entry === undefined) throw new UserError(`unknown state policy "${policy.name}"`);
  const kept = policy.slots ?? steps;
  if (entry.unbounded && kept < steps) {
    throw new UserError(`state "${policy.text}" holds ${kept} positions, but ${steps} steps were recorded`, {
      hint: "use a state that drops tokens, such as tova:128",
    });
  }
  const slots = entry.unbounded ? kept : kept + 1;

  const shape = { layers: 1, heads, groups, headDim };
  const memory = arena(gpu);
  const plans: Plan[] = [];
  const tensor = (label: string, sizes: number[], data?: Float32Array): DeviceTensor =>
    memory.tensor(sizes, "f32", data === undefined ? { label } : { label, data });
  try {
    const k = await gpu.kernels(HERE, { write, attend, weigh, protect, rank, place });
    const evict = await entry.load(gpu, policy.options);
    const clock = memory.tensor([4], "u32", { label: "clock" });
    const qs = tensor("recorded q", [steps, heads, headDim], recording.q);
    const ks = tensor("recorded k", [steps, groups, headDim], recording.k);
    const vs = tensor("recorded v", [steps, groups, headDim], recording.v);
    const [q, out] = [tensor("q", [heads, headDim]), tensor("attention output", [heads, headDim])];
    const lse = tensor("attention log-sum", [heads]);

    /** One step whose keys and values go into `into`. */
    const record = async (label: string, into: State, after: (inputs: PolicyInputs) => void): Promise<Plan> => {
      const layer = into.layers[0] as LayerState;
      const scores = tensor(`scores of the ${label}`, [heads, into.slots]);
      const plan = await gpu.record(label, () => {
        k.write(qs, ks, vs, clock, layer.free, q, layer.k, layer.v, layer.positions);
        k.attend(q, layer.k, layer.v, clock, out, scores, lse);
        after({ scores, lse, positions: layer.positions, clock, free: layer.free });
      });
      plans.push(plan);
      return plan;
    };
    const attention = new Float32Array(steps * heads * headDim);
    const run = async (plan: Plan, t: number): Promise<void> => {
      clock.write([t, steps, 0, 0]);
      plan.run();
      attention.set((await out.read()) as Float32Array, t * heads * headDim);
    };

    const state = createState(memory, shape, slots);
    const history: number[][] = [];
    const note = async (seen: number): Promise<void> => {
      history.push((await keptPositions(gpu, state, seen))[0] ?? []);
    };
    let from = 0;
    if (prefill === "oneshot" && !entry.unbounded && prompt >= slots) {
      const whole = createState(memory, shape, prompt);
      const [layer, target] = [whole.layers[0] as LayerState, state.layers[0] as LayerState];
      const [weights, ranks] = [tensor("prompt weights", [prompt]), tensor("prompt ranks", [prompt])];
      const full = await (POLICIES.full as (typeof POLICIES)[string]).load(gpu, {});
      const { recent, first } = protectedBy(policy);
      const feed = await record("prompt step", whole, full);
      const last = await record("last prompt step", whole, ({ scores }) => {
        k.weigh(scores, lse, weights);
        if (recent + first > 0) k.protect(weights, recent, first);
        k.rank(weights, ranks);
        k.place(ranks, layer.k, layer.v, target.k, target.v, target.positions, target.free);
      });
      for (; from < prompt; from++) await run(from + 1 < prompt ? feed : last, from);
      await note(prompt);
    }
    const step = await record("step", state, evict);
    for (let t = from; t < steps; t++) {
      await run(step, t);
      // A prompt that was short enough to be kept whole is one entry, too.
      if (prefill !== "oneshot" || t >= prompt - 1) await note(t + 1);
    }
    return { kept: history, attention };
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
