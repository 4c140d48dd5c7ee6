/**
 * Cache policies as they are written: `full`, `window:C`, `tova:C,recent=R,first=I`, and those that are given beside
 * the built-in ones.
 *
 * In: the text, and policies of somebody's own. Out: the policy with the tokens it keeps and its options, which
 * eviction.ts and state.ts make kernels and memory of.
 */
import { describe } from "../../runtime/common/describe.ts";
import { UserError } from "../../runtime/common/errors.ts";
import { checkPolicy } from "./check.ts";
import { EXAMPLE, readOptions, usageOf, wholeNumber } from "./options.ts";
import * as builtIn from "./policies/index.ts";
import type { AnyPolicy, OptionValues, Protection, StateShape } from "./policies/interface.ts";

export type { AnyPolicy } from "./policies/interface.ts";

/** The policies that come with the package, by name. */
export const POLICIES: Readonly<Record<string, AnyPolicy>> = {
  full: builtIn.full,
  window: builtIn.window,
  tova: builtIn.tova,
};

/**
 * A policy with what it was asked to keep. `slots` is C, the tokens kept between steps; undefined for `full` without a
 * number.
 */
export interface PolicySpec {
  /** As it was written. */
  readonly text: string;
  /** Name of the policy. */
  readonly name: string;
  /** The policy itself. */
  readonly policy: AnyPolicy;
  /** Tokens kept between steps; undefined for `full` without a number. */
  readonly slots: number | undefined;
  /** Its options, protection included; a word by its place among the words. */
  readonly options: OptionValues;
}

/** Does it drop tokens? If not, the number of slots is the longest text. */
export function dropsTokens({ policy }: Pick<PolicySpec, "policy">): boolean {
  return policy.score !== undefined;
}

/** Does attention have to leave its scores for this policy? */
export function observesScores({ observes }: Pick<AnyPolicy, "observes">): boolean {
  return observes?.scores !== undefined;
}

/** What was asked to stay, whatever the scores. */
export function protection({ options: { recent = 0, first = 0 } }: Pick<PolicySpec, "options">): Protection {
  return { recent, first };
}

/**
 * What stays when a whole prompt is reduced at once: what was asked for, and what the policy never drops by what it is.
 */
export function protectedBy(spec: PolicySpec): Protection {
  const asked = protection(spec);
  return spec.policy.protects?.(spec.slots ?? 0, asked) ?? asked;
}

/**
 * @throws UserError for a policy that cannot reduce a prompt at once: what it remembers is made of what every token of
 * the prompt attends to.
 */
export function checkAtOnce({ policy, text }: PolicySpec): void {
  if (policy.memory === undefined) return;
  throw new UserError(
    `state "${text}" remembers what every token of a prompt attends to, so it cannot read one at once`,
    {
      hint: "read prompts recurrently, as without this option",
    },
  );
}

/**
 * Tokens that each layer keeps; `context` is what a full cache keeps that was given no number.
 * @throws UserError when the policy's budgets are not one whole number of at least 1 a layer, or are more than `slots`
 *   for each layer in all.
 */
export function budgetsOf(
  { policy, slots, options }: PolicySpec,
  shape: StateShape,
  context: number,
): readonly number[] {
  const kept = slots ?? context;
  const budgets = policy.budgets?.(shape, kept, options) ?? new Array<number>(shape.layers).fill(kept);
  const protects = (options.recent ?? 0) + (options.first ?? 0);
  const total = budgets.reduce((a, b) => a + b, 0);
  if (
    budgets.length !== shape.layers ||
    !budgets.every((n) => Number.isInteger(n) && n >= 1 && (n > protects || protects === 0)) ||
    total > kept * shape.layers
  )
    throw new UserError(
      `cache policy "${policy.name}": budgets must be ${shape.layers} whole numbers of more than ${protects} tokens, ` +
        `at most ${kept * shape.layers} in all, got ${describe(budgets)}`,
    );
  return budgets;
}

/** How the built-in policies are written, for help texts. */
export function policyUsage(): string {
  return Object.values(POLICIES).map(usageOf).join(", ");
}

/**
 * The built-in policies and `own`, by name. @throws UserError for one that is no policy, and for a name that is taken.
 */
export function policiesWith(own: readonly unknown[]): Readonly<Record<string, AnyPolicy>> {
  const all: Record<string, AnyPolicy> = { ...POLICIES };
  for (const policy of own) {
    checkPolicy(policy);
    if (Object.hasOwn(all, policy.name) && all[policy.name] !== policy)
      throw new UserError(`two cache policies are called "${policy.name}"`, {
        hint: `rename one of them; built in are ${Object.keys(POLICIES).join(", ")}`,
      });
    all[policy.name] = policy;
  }
  return all;
}

/**
 * Reads `name`, `name:C` or `name:C,option=N,…`, where the name is that of a built-in policy or of one of `own`.
 * @param text what was written
 * @param own policies beside the built-in ones
 * @throws UserError saying what is allowed
 */
export function parsePolicy(text: string, own: readonly AnyPolicy[] = []): PolicySpec {
  if (typeof text !== "string") throw new UserError(`expected a state, got ${describe(text)}`, { hint: EXAMPLE });
  const policies = policiesWith(own);
  const [name = "", rest] = text.split(/:(.*)/s) as [string, string | undefined];
  const policy = Object.hasOwn(policies, name) ? policies[name] : undefined;
  if (policy === undefined)
    throw new UserError(`unknown state policy "${name}" in "${text}"; there are ${Object.keys(policies).join(", ")}`, {
      hint: EXAMPLE,
    });
  const [count, ...given] = rest === undefined ? [] : rest.split(",");
  const options = readOptions(policy, given, text);
  if (count === undefined && dropsTokens({ policy }))
    throw new UserError(`state "${text}": "${name}" needs a number of slots, as in ${name}:128`);
  const slots = count === undefined ? undefined : wholeNumber(count.trim(), `state "${text}": the number of slots`, 1);
  const kept = (options.recent ?? 0) + (options.first ?? 0);
  if (slots !== undefined && kept >= slots && kept > 0) {
    throw new UserError(
      `state "${text}": ${kept} protected tokens leave nothing to drop in ${slots} slots; recent and first together must be fewer than the slots`,
    );
  }
  return { text, name, policy, slots, options };
}
