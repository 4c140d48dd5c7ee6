/**
 * Recorded recall: which questions of the embedded tales a float32 reference answers right under each state, for hearth
 * (recall-expected.json) and for the same model before it was trained for a bounded state (recall-plain.json).
 */
import { readText } from "../io/node.ts";

/** The files' form. `each` has one digit a question, tale by tale: 1 = right. */
export interface Recorded {
  readonly tokens_per_tale_at_most: number;
  readonly tale_of_each_question: readonly number[];
  readonly policies: Readonly<Record<string, { readonly each: string }>>;
}

export async function readRecorded(file: string): Promise<Recorded> {
  return JSON.parse(await readText(file, "recorded answers")) as Recorded;
}

/** The name that the files have for a state: "tova:128,recent=16" is "tova-r16:128" there. */
export function recordedName(state: string): string {
  const [, policy = state, slots = "0", option = "", value = ""] =
    /^(\w+)(?::(\d+))?(?:,(recent|first)=(\d+))?$/.exec(state) ?? [];
  const mark = option === "" ? "" : option === "recent" ? `-r${value}` : `+${value}`;
  return `${policy}${mark}:${slots}`;
}

/**
 * The digits of one tale's questions under a state, the first `count` of them.
 * @returns undefined for a state that was not recorded.
 */
export function recordedAnswers(recorded: Recorded, state: string, tale: number, count: number): string | undefined {
  const each = recorded.policies[recordedName(state)]?.each;
  if (each === undefined) return undefined;
  return [...each]
    .filter((_, i) => recorded.tale_of_each_question[i] === tale)
    .slice(0, count)
    .join("");
}
