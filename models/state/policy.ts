/**
 * Cache policies by name: `full`, `window:C`, `tova:C,recent=R,first=I`.
 *
 * A policy is a kernel that, after a step's attention, names the slot that the next token overwrites. What the kernel needs beyond positions and clock is
 * listed here, so that only that is computed and stored. A new policy is a file in policies/ and an entry in POLICIES.
 */
import { type DeviceTensor, type Gpu, UserError } from "../../runtime/index.ts";
import { full } from "./policies/full.ts";
import { tova } from "./policies/tova.ts";
import { window } from "./policies/window.ts";

/** A parsed policy. `slots` is C, the tokens kept between steps; undefined for `full` without a number. */
export interface PolicySpec {
  readonly text: string;
  readonly name: string;
  readonly slots: number | undefined;
  readonly options: Readonly<Record<string, number>>;
}

/** What a policy's kernel may read, one layer's worth. */
export interface PolicyInputs {
  readonly scores: DeviceTensor;
  readonly lse: DeviceTensor;
  readonly positions: DeviceTensor;
  readonly clock: DeviceTensor;
  readonly free: DeviceTensor;
}

/** How many of the newest and of the first tokens are kept whatever their scores. */
export interface Protection {
  readonly recent: number;
  readonly first: number;
}

export interface Policy {
  /** Options it takes, with their defaults. */
  readonly options: Readonly<Record<string, number>>;
  /** Keeps every token: the number of slots is the longest text. */
  readonly unbounded: boolean;
  /** The newest and the first tokens that it never drops, of `slots` kept in all. */
  protects(options: Readonly<Record<string, number>>, slots: number): Protection;
  /** Loads its kernel; the result records one eviction. */
  load(gpu: Gpu, options: Readonly<Record<string, number>>): Promise<(inputs: PolicyInputs) => void>;
}

const HERE = { url: import.meta.url };

export const POLICIES: Readonly<Record<string, Policy>> = {
  full: {
    options: {},
    unbounded: true,
    protects: (_, slots) => ({ recent: slots, first: 0 }),
    async load(gpu) {
      const k = await gpu.kernels(HERE, { full });
      return (s) => k.full(s.clock, s.free);
    },
  },
  window: {
    options: { first: 0 },
    unbounded: false,
    protects: ({ first = 0 }, slots) => ({ recent: slots - first, first }),
    async load(gpu, { first = 0 }) {
      const k = await gpu.kernels(HERE, { window });
      return (s) => k.window(s.positions, s.clock, first, s.free);
    },
  },
  tova: {
    options: { recent: 0, first: 0 },
    unbounded: false,
    protects: ({ recent = 0, first = 0 }) => ({ recent, first }),
    async load(gpu, { recent = 0, first = 0 }) {
      const k = await gpu.kernels(HERE, { tova });
      return (s) => k.tova(s.scores, s.lse, s.positions, s.clock, recent, first, s.free);
    },
  },
};

/** What the policy protects when a whole prompt is reduced at once. */
export function protectedBy(policy: PolicySpec): Protection {
  const { slots = 0, options } = policy;
  return POLICIES[policy.name]?.protects(options, slots) ?? { recent: 0, first: 0 };
}

/** Reads `name`, `name:C` or `name:C,option=N,…`. Throws UserError saying what is allowed. */
export function parsePolicy(text: string): PolicySpec {
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
