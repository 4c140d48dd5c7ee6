/**
 * What somebody gives as a cache policy, looked at before anything is made of it: it may come from a file, without
 * types.
 */
import { describe } from "../../runtime/common/describe.ts";
import { UserError } from "../../runtime/common/errors.ts";
import type { AnyPolicy, OptionTable, PolicyMemory, PolicyOption } from "./policies/interface.ts";

/**
 * Numbers that a policy may remember of each slot, and options that it may have: as many as the eviction kernel has
 * names for.
 */
const MOST = 4;
const WORD = /^[A-Za-z][A-Za-z0-9_]*$/;

/**
 * Is this meant to be a policy?
 * @param x anything
 */
export function isPolicy(x: unknown): x is AnyPolicy {
  if (typeof x !== "object" || x === null) return false;
  const { name, score, module } = x as Readonly<Record<string, unknown>>;
  return typeof name === "string" && typeof score === "function" && typeof module === "object";
}

/** @throws UserError naming the policy, what is expected of it and what it has instead. */
export function checkPolicy(given: unknown): asserts given is AnyPolicy {
  if (typeof given !== "object" || given === null)
    throw new UserError(`expected a cache policy, as { name: "mine", score: … }, got ${describe(given)}`);
  const p = given as Readonly<Record<string, unknown>>;
  if (typeof p.name !== "string" || !WORD.test(p.name))
    throw new UserError(`a cache policy needs a name of letters, digits and _, got ${describe(p.name)}`);
  const wrong = (what: string): UserError => new UserError(`cache policy "${p.name}": ${what}`);
  const { url } = (typeof p.module === "object" && p.module !== null ? p.module : {}) as { readonly url?: unknown };
  if (typeof url !== "string")
    throw wrong(`module must be import.meta of the file it is written in, got ${describe(p.module)}`);
  if (typeof p.score !== "function")
    throw wrong(`score must be a function of the kernel language, got ${describe(p.score)}`);
  if (p.scope !== "layer") throw wrong(`scope ${inWords(p.scope)} is not supported yet; "layer" is`);
  if (p.positions !== "absolute")
    throw wrong(`positions ${inWords(p.positions)} are not supported yet; "absolute" are`);
  const observed = (p.observes ?? {}) as Readonly<Record<string, unknown>>;
  for (const [what, how] of Object.entries(observed)) {
    if (what === "scores" && (how === "newest" || how === undefined)) continue;
    throw wrong(`observes ${what} ${inWords(how)}, which is not supported yet; scores: "newest" is`);
  }
  checkOptions(p.options, wrong);
  checkMemory(p, observed.scores === "newest", wrong);
}

function checkOptions(options: unknown, wrong: (what: string) => UserError): void {
  if (typeof options !== "object" || options === null) throw wrong(`options must be a table, got ${describe(options)}`);
  const table = options as OptionTable;
  const names = Object.keys(table);
  if (names.length > MOST) throw wrong(`at most ${MOST} options, got ${names.join(", ")}`);
  for (const [name, option] of Object.entries(table)) {
    if (name === "recent" || name === "first") throw wrong(`"${name}" is an option of every policy`);
    if (!WORD.test(name)) throw wrong(`an option's name is of letters, digits and _, got "${name}"`);
    if (!isOption(option)) throw wrong(`option "${name}" is no number, fraction or word with its default`);
  }
}

function isOption(option: PolicyOption): boolean {
  if (typeof option !== "object" || option === null) return false;
  if (option.is === "word") return Array.isArray(option.words) && option.words.includes(option.default);
  return (option.is === "number" || option.is === "fraction") && Number.isFinite(option.default);
}

function checkMemory(p: Readonly<Record<string, unknown>>, scored: boolean, wrong: (what: string) => UserError): void {
  if (p.memory === undefined) {
    if (p.update !== undefined) throw wrong("update says what is remembered, but no memory is declared");
    return;
  }
  const memory = p.memory as Readonly<Record<string, PolicyMemory>>;
  const names = typeof memory === "object" && memory !== null ? Object.keys(memory) : [];
  if (names.length === 0 || names.length > MOST)
    throw wrong(`memory must be a table of 1 to ${MOST} numbers, got ${describe(p.memory)}`);
  if (typeof p.update !== "function") throw wrong(`memory needs an update, got ${describe(p.update)}`);
  if (!scored) throw wrong('memory is made of scores: observes must be { scores: "newest" }');
  for (const [name, m] of Object.entries(memory)) {
    if (!WORD.test(name)) throw wrong(`a memory's name is of letters, digits and _, got "${name}"`);
    if (m?.per !== "slot") throw wrong(`memory "${name}" per ${inWords(m?.per)} is not supported yet; per "slot" is`);
    if (!Number.isFinite(m.initial))
      throw wrong(`memory "${name}" needs a number to begin with, got ${describe(m.initial)}`);
  }
}

function inWords(x: unknown): string {
  return typeof x === "string" ? `"${x}"` : describe(x);
}
