/**
 * Cache policies by name: `full`, `window:C`, `tova:C,recent=R,first=I`.
 *
 * A policy is a kernel that, after a step, names for each layer and sequence the slot that the next token overwrites there: one dispatch for all layers. It is asked
 * at every step and heard only when all slots are taken and the sequence has not come to rest, so it need not know about either. A new policy is a file in policies/ and an entry in POLICIES.
 */
import { describe } from "../../runtime/common/describe.ts";
import { type DeviceTensor, type Gpu, UserError } from "../../runtime/index.ts";
import { tova, window } from "./policies/index.ts";
import { POLICY_KERNELS } from "./policies/module.ts";

/** A parsed policy. `slots` is C, the tokens kept between steps; undefined for `full` without a number. */
export interface PolicySpec {
  /** As it was written. */
  readonly text: string;
  /** Name of the policy. */
  readonly name: string;
  /** Tokens kept between steps; undefined for `full` without a number. */
  readonly slots: number | undefined;
  /** What was given for each option, or its default. */
  readonly options: Readonly<Record<string, number>>;
}

/** What a policy's kernel may read, and what it writes, for all layers and sequences. */
export interface PolicyInputs {
  /** [layers, sequences, heads, slots]: the newest token's scores, scaled, before the softmax. */
  readonly scores: DeviceTensor;
  /** [layers, sequences, heads]: log of the sum of their exponentials. */
  readonly lse: DeviceTensor;
  /** [layers, sequences, slots], u32: the position of the token in each slot. */
  readonly positions: DeviceTensor;
  /** [sequences, clock], u32: clock[b, 0] is the position of the newest token. */
  readonly clock: DeviceTensor;
  /** [layers, lanes], u32, to be written: the slot of the token that goes; the first lanes are those of the sequences. */
  readonly victim: DeviceTensor;
}

/** How many of the newest and of the first tokens are kept whatever their scores. */
export interface Protection {
  /** How many of the newest. */
  readonly recent: number;
  /** How many of the first. */
  readonly first: number;
}

/** What a cache policy says of itself. */
export interface Policy {
  /** Options it takes, with their defaults. */
  readonly options: Readonly<Record<string, number>>;
  /** Keeps every token: the number of slots is the longest text. */
  readonly unbounded: boolean;
  /**
   * The newest and the first tokens that it never drops.
   * @param options what was given for each option
   * @param slots tokens kept in all
   */
  protects(options: Readonly<Record<string, number>>, slots: number): Protection;
  /**
   * Loads its kernel; the result records one call of it.
   * @param gpu where it runs
   * @param options what was given for each option
   */
  load(gpu: Gpu, options: Readonly<Record<string, number>>): Promise<(inputs: PolicyInputs) => void>;
}

/** The policies, by name. */
export const POLICIES: Readonly<Record<string, Policy>> = {
  full: {
    options: {},
    unbounded: true,
    protects: (_, slots) => ({ recent: slots, first: 0 }),
    load: async () => () => {},
  },
  window: {
    options: { first: 0 },
    unbounded: false,
    protects: ({ first = 0 }, slots) => ({ recent: slots - first, first }),
    async load(gpu, { first = 0 }) {
      const k = await gpu.kernels(POLICY_KERNELS, { window });
      return (s) => k.window(s.positions, first, s.victim);
    },
  },
  tova: {
    options: { recent: 0, first: 0 },
    unbounded: false,
    protects: ({ recent = 0, first = 0 }) => ({ recent, first }),
    async load(gpu, { recent = 0, first = 0 }) {
      const k = await gpu.kernels(POLICY_KERNELS, { tova });
      return (s) => k.tova(s.scores, s.lse, s.positions, s.clock, recent, first, s.victim);
    },
  },
};

/** What the policy protects when a whole prompt is reduced at once. */
export function protectedBy(policy: PolicySpec): Protection {
  const { slots = 0, options } = policy;
  return POLICIES[policy.name]?.protects(options, slots) ?? { recent: 0, first: 0 };
}

/**
 * Reads `name`, `name:C` or `name:C,option=N,…`.
 * @param text what was written
 * @throws UserError saying what is allowed
 */
export function parsePolicy(text: string): PolicySpec {
  if (typeof text !== "string") throw new UserError(`expected a state, got ${describe(text)}`, { hint: EXAMPLE });
  const [name = "", rest] = text.split(/:(.*)/s) as [string, string | undefined];
  const policy = Object.hasOwn(POLICIES, name) ? POLICIES[name] : undefined;
  if (policy === undefined)
    throw new UserError(`unknown state policy "${name}" in "${text}"; there are ${Object.keys(POLICIES).join(", ")}`, {
      hint: EXAMPLE,
    });
  const [count, ...given] = rest === undefined ? [] : rest.split(",");
  const options: Record<string, number> = { ...policy.options };
  const seen = new Set<string>();
  for (const part of given) {
    const [key = "", value = ""] = part.split("=").map((x) => x.trim());
    if (!Object.hasOwn(policy.options, key))
      throw new UserError(
        `state "${text}": "${name}" has no option "${key}"; it takes ${Object.keys(policy.options).join(", ") || "none"}`,
        { hint: EXAMPLE },
      );
    if (seen.has(key)) throw new UserError(`state "${text}": ${key} is given twice`);
    seen.add(key);
    options[key] = whole(value, `state "${text}": ${key}`, 0);
  }
  if (count === undefined && !policy.unbounded)
    throw new UserError(`state "${text}": "${name}" needs a number of slots, as in ${name}:128`);
  const slots = count === undefined ? undefined : whole(count.trim(), `state "${text}": the number of slots`, 1);
  const kept = (options.recent ?? 0) + (options.first ?? 0);
  if (slots !== undefined && kept >= slots && kept > 0) {
    throw new UserError(
      `state "${text}": ${kept} protected tokens leave nothing to drop in ${slots} slots; recent and first together must be fewer than the slots`,
    );
  }
  return { text, name, slots, options };
}

const EXAMPLE = "for example full, window:128, window:128,first=4, tova:128, tova:128,recent=16";

/** More slots than any adapter can bind; positions are exact in f32 up to here. */
const MOST_SLOTS = 2 ** 24;

function whole(text: string, what: string, least: number): number {
  const n = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(n >= least)) throw new UserError(`${what} must be a whole number of at least ${least}, got "${text}"`);
  if (n > MOST_SLOTS) throw new UserError(`${what} must be at most ${MOST_SLOTS}, got "${text}"`);
  return n;
}
