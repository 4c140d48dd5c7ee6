/**
 * The kernels of a cache policy: the templates of kernels/evict.ts with its score and its memory.
 *
 * In: a policy as it was asked for. Out: calls that record the choice of a victim after a step, one dispatch for all
 * layers of a group, and the scores of a whole prompt that is reduced at once. A policy that observes no scores has
 * kernels that read none, one without memory has none of it in its kernels.
 */
import type { KernelModule } from "../../compiler/index.ts";
import { specialise } from "../../dsl/index.ts";
import type { DeviceTensor, Gpu } from "../../runtime/index.ts";
import * as templates from "../kernels/evict.ts";
import { shipped } from "./policies/compiled.ts";
import type { AnyPolicy } from "./policies/interface.ts";
import { dropsTokens, observesScores, POLICIES, type PolicySpec, protection } from "./policy.ts";

/** What a choice is made of, for the layers of one group or for one layer of it alone. */
export interface EvictionInputs {
  /**
   * [layers, sequences, heads, slots]: the newest token's scores, scaled, before the softmax; nothing where the policy
   * does not observe them.
   */
  readonly scores: DeviceTensor | undefined;
  /** [layers, sequences, heads]: log of the sum of their exponentials. */
  readonly lse: DeviceTensor | undefined;
  /** [layers of the group, sequences, slots], u32: the position of the token in each slot. */
  readonly positions: DeviceTensor;
  /** [sequences, FEED], u32: the position of the newest token, and whether its row counts. */
  readonly clock: DeviceTensor;
  /** [layers, lanes], u32: the slot of the newest token. */
  readonly free: DeviceTensor;
  /** [layers of the group, sequences, memories, slots]; nothing where the policy has no memory. */
  readonly memory: DeviceTensor | undefined;
  /** The number of the first of the layers in its group. */
  readonly layer: number;
  /** [layers, lanes], u32, to be written: the slot of the token that goes. */
  readonly victim: DeviceTensor;
}

/** A policy's kernels on a device. */
export interface Eviction {
  /** Has to see every token, since it remembers something of each. */
  readonly remembers: boolean;
  /** Records the choice of a victim. */
  readonly evict: (inputs: EvictionInputs) => void;
  /**
   * Records the scores of a whole prompt, weights [tokens]; scores are [heads, tokens], lse [heads], of its last token.
   */
  readonly rate: (scores: DeviceTensor, lse: DeviceTensor, weights: DeviceTensor) => void;
}

/** The eviction of a state that drops nothing. */
export const KEEPS_ALL: Eviction = { remembers: false, evict: () => {}, rate: () => {} };

const TEMPLATES: string = new URL("../kernels/evict.ts", import.meta.url).href;

/** What the kernels of a policy are called. */
function namesOf({ name, memory }: AnyPolicy): { readonly evict: string; readonly rate: string | undefined } {
  return { evict: name, rate: memory === undefined ? `${name}AtOnce` : undefined };
}

/** The templates that a policy completes, by the names of its kernels. */
function templatesOf(policy: AnyPolicy): NonNullable<KernelModule["templates"]> {
  const { evict, rate } = namesOf(policy);
  const scored = observesScores(policy);
  const of = (kernel: keyof typeof templates) => ({ url: TEMPLATES, kernel, object: policy.name });
  if (rate === undefined) return { [evict]: of("evictRemembering") };
  return {
    [evict]: of(scored ? "evict" : "evictByPosition"),
    [rate]: of(scored ? "rate" : "rateByPosition"),
  };
}

/** The module that the kernels of the built-in policies are loaded from, and what came compiled with it. */
export const POLICY_KERNELS: KernelModule = {
  url: new URL("./policies/index.ts", import.meta.url).href,
  shipped,
  templates: Object.assign(
    {},
    ...Object.values(POLICIES)
      .filter((p) => p.score !== undefined)
      .map(templatesOf),
  ),
};

/**
 * Compile-time parameters that the policy's tables say: the names of its options, and of its memory with what it begins
 * with.
 */
function valuesOf({ options, memory = {} }: AnyPolicy): Readonly<Record<string, string | number>> {
  const values: Record<string, string | number> = {};
  // The last of four needs no name: it is what is none of the others.
  for (const [i, name] of Object.keys(options).entries()) if (i < 3) values[`option${i}`] = name;
  for (const [i, [name, { initial }]] of Object.entries(memory).entries()) {
    values[`memory${i}`] = name;
    values[`initial${i}`] = initial;
  }
  return values;
}

/**
 * Loads the kernels of a policy.
 * @throws KernelError located in the policy's file for a score that is no kernel language, and UserError where there is
 *   no source to read it from.
 */
export async function loadEviction(gpu: Gpu, spec: PolicySpec): Promise<Eviction> {
  if (!dropsTokens(spec)) return KEEPS_ALL;
  const { policy } = spec;
  const names = namesOf(policy);
  const from =
    POLICIES[policy.name] === policy ? POLICY_KERNELS : { url: policy.module.url, templates: templatesOf(policy) };
  const values = valuesOf(policy);
  const wanted = [names.evict, names.rate].flatMap((name) =>
    name === undefined ? [] : [[name, specialise(templates.evict, values as never)] as const],
  );
  type Call = (...args: readonly (DeviceTensor | number)[]) => void;
  const kernels = (await gpu.kernels(from, Object.fromEntries(wanted))) as unknown as Readonly<Record<string, Call>>;
  const call = (name: string, ...args: readonly (DeviceTensor | number | undefined)[]): void => {
    kernels[name]?.(...args.filter((x) => x !== undefined));
  };
  const { recent, first } = protection(spec);
  const given = Object.keys(policy.options).map((name) => spec.options[name] ?? 0);
  const options = Array.from({ length: 4 }, (_, i) => given[i] ?? 0);
  const scored = observesScores(policy);
  return {
    remembers: policy.memory !== undefined,
    evict({ scores, lse, positions, clock, free, memory, layer, victim }) {
      const left = scored ? [scores, lse] : [];
      const own = policy.memory === undefined ? [] : [free, memory];
      call(names.evict, ...left, positions, clock, ...own, recent, first, layer, ...options, victim);
    },
    rate(scores, lse, weights) {
      if (names.rate === undefined) throw new Error(`"${policy.name}" cannot rate a prompt at once`);
      call(names.rate, ...(scored ? [scores, lse] : []), ...options, weights);
    },
  };
}
