/**
 * Options of cache policies as they are written, `recent=16,decay=0.99`: what they are, read and refused by the
 * policy's own table.
 */
import { UserError } from "../../runtime/common/errors.ts";
import type { AnyPolicy, OptionTable, OptionValues, PolicyOption, Protection } from "./policies/interface.ts";

/** What may be asked of every policy that drops tokens. */
const PROTECTION: OptionTable<keyof Protection> = {
  recent: { is: "number", default: 0, help: "newest tokens that stay" },
  first: { is: "number", default: 0, help: "first tokens that stay" },
};

/** An example of each form, for who has written none of them. */
export const EXAMPLE = "for example full, window:128, window:128,first=4, tova:128, tova:128,recent=16";

/** More slots than any adapter can bind; positions are exact in f32 up to here. */
const MOST_SLOTS = 2 ** 24;

/** All options of a policy: protection first, then its own. */
export function optionsOf(policy: AnyPolicy): OptionTable {
  const { protection = ["recent", "first"] } = policy;
  const asked = protection.map((name): [string, PolicyOption] => [name, PROTECTION[name]]);
  return { ...Object.fromEntries(asked), ...policy.options };
}

/** How a policy is written, as in `tova:C[,recent=R,first=I]`. */
export function usageOf(policy: AnyPolicy): string {
  if (policy.score === undefined) return policy.name;
  const options = Object.entries(optionsOf(policy)).map(([name, o]) => {
    return `${name}=${o.is === "word" ? o.words.join("|") : o.is === "fraction" ? "X" : name === "first" ? "I" : name.charAt(0).toUpperCase()}`;
  });
  return `${policy.name}:C${options.length === 0 ? "" : `[,${options.join(",")}]`}`;
}

/**
 * Reads `given`, pieces of the form `name=value`, by the policy's table. `text` is all that was written, for messages.
 * @throws UserError saying what is allowed.
 */
export function readOptions(policy: AnyPolicy, given: readonly string[], text: string): OptionValues {
  const table = optionsOf(policy);
  const values: Record<string, number> = {};
  for (const [name, option] of Object.entries(table)) values[name] = defaultOf(option);
  const seen = new Set<string>();
  for (const part of given) {
    const [key = "", value = ""] = part.split("=").map((x) => x.trim());
    const option = Object.hasOwn(table, key) ? table[key] : undefined;
    if (option === undefined)
      throw new UserError(
        `state "${text}": "${policy.name}" has no option "${key}"; it takes ${Object.keys(table).join(", ") || "none"}`,
        { hint: EXAMPLE },
      );
    if (seen.has(key)) throw new UserError(`state "${text}": ${key} is given twice`);
    seen.add(key);
    values[key] = read(option, value, `state "${text}": ${key}`);
  }
  return values;
}

function defaultOf(option: PolicyOption): number {
  return option.is === "word" ? option.words.indexOf(option.default) : option.default;
}

function read(option: PolicyOption, text: string, what: string): number {
  if (option.is === "number") return wholeNumber(text, what, option.least ?? 0, option.most);
  if (option.is === "fraction") {
    const { least = 0, most = 1 } = option;
    const n = /^\d*\.?\d+(e-?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
    if (!(n >= least && n <= most))
      throw new UserError(`${what} must be a number from ${least} to ${most}, got "${text}"`);
    return n;
  }
  const place = option.words.indexOf(text);
  if (place < 0) throw new UserError(`${what} must be one of ${option.words.join(", ")}, got "${text}"`);
  return place;
}

/** A whole number of at least `least`. @throws UserError that begins with `what`. */
export function wholeNumber(text: string, what: string, least: number, most: number = MOST_SLOTS): number {
  const n = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(n >= least)) throw new UserError(`${what} must be a whole number of at least ${least}, got "${text}"`);
  if (n > most) throw new UserError(`${what} must be at most ${most}, got "${text}"`);
  return n;
}
