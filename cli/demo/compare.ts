/**
 * The table of the demo: how much of long tales is remembered with the full cache, and with an eighth, a quarter and a
 * half of it, under a window and under TOVA.
 *
 * Beside what is measured here stands what was recorded of the same model before it was trained for a bounded state, on
 * the same questions; and what each state answers to one question about something that was said far back.
 */
import type { Asked, Reading } from "../../models/eval/recall.ts";
import { type Recorded, recordedAnswers } from "../../models/eval/recorded.ts";
import type { ModelSource } from "../../models/index.ts";
import type { Gpu } from "../../runtime/index.ts";
import type { Context } from "../support/context.ts";
import { bytes, type Column, heading, rate, row } from "../support/format.ts";
import type { StateScore } from "../support/score-state.ts";
import { scoreState, share } from "../support/score-state.ts";

/** Parts of the context that states are made for: 1/8, 1/4, 1/2. */
const PARTS: readonly number[] = [8, 4, 2];

/**
 * Which of the 48 tales are read, in this order. A few tales are a small sample, so these are the ones whose first one,
 * two, three, … together come closest to the recorded figures of all 48, for both models (test/cli/demo.test.ts holds
 * them to that).
 */
export const TYPICAL: readonly number[] = [8, 22, 41, 13, 45, 30, 43, 34];

/** The question, of the first tale, that every state is asked. */
export const ASKED = 8;

/** What is read, and what is asked. */
export interface Matter {
  readonly readings: readonly Reading[];
  /** Undefined where too little is read to know the answer. */
  readonly asked: Asked | undefined;
  /** What the model before its bounded stage answers. */
  readonly plain: Recorded;
}

const COLUMNS: readonly Column[] = [
  { title: "state", width: 18 },
  { title: "of the context", width: 14, right: true },
  { title: "questions right", width: 15, right: true },
  { title: "plain", width: 5, right: true },
  { title: "state bytes", width: 11, right: true },
  { title: "tokens/s", width: 8, right: true },
];
/** Longest answer that is shown. */
const ANSWER_WIDTH = 24;

/** Prints the table. It is to be done at `deadline`, by the clock of `performance.now`. */
export async function compare(
  gpu: Gpu,
  source: ModelSource,
  { readings: all, asked, plain }: Matter,
  deadline: number,
  { io }: Context,
): Promise<void> {
  const { context } = source.config;
  const rows = PARTS.flatMap((part) => statesOf(context / part).map((state) => ({ part, state })));
  // Which state is slowest depends on the adapter: one that keeps all, or one that drops a token for each it reads. The
  // slower one's time for a tale (and a tenth for what else the machine does) tells how many tales there is time for.
  // The question is asked once a state, however many there are.
  const firsts = new Map<string, StateScore>();
  let each = 0;
  for (const state of ["full", `tova:${context / (PARTS[0] ?? 8)}`]) {
    const began = performance.now();
    firsts.set(state, await scoreState(gpu, source, { state }, all.slice(0, 1), asked));
    each = Math.max(each, performance.now() - began);
  }
  const read = firsts.get("full")?.tokens ?? 0;
  const asking = asked === undefined ? 0 : asked.ids.length / (asked.ids.length + read);
  const turn = each * (1 - asking);
  const left = deadline - performance.now() - rows.length * each * asking;
  const tales = Math.max(1, Math.min(all.length, Math.floor((left + 2 * turn) / (1.1 * turn * (rows.length + 1)))));
  const readings = all.slice(0, tales);
  const score = async (state: string): Promise<StateScore> => {
    const first = firsts.get(state);
    if (first === undefined) return scoreState(gpu, source, { state }, readings, asked);
    return tales === 1 ? first : together(first, await scoreState(gpu, source, { state }, readings.slice(1)));
  };
  const full = await score("full");
  const long = Math.round(full.tokens / tales / 10) * 10;
  const what = tales === 1 ? `A tale of some ${long} tokens` : `${tales} tales of some ${long} tokens each`;
  io.out(`\n${what}, with ${full.questions} questions about what was said earlier.\n`);
  if (asked !== undefined) {
    io.out(`One of them, ${asked.distance} words after its answer was last said: ${asked.question}\n`);
    io.out(`(${asked.answer})\n`);
  }
  io.out("\n");
  const columns = asked === undefined ? COLUMNS : [...COLUMNS, { title: "and it says", width: ANSWER_WIDTH }];
  io.out(`${heading(columns)}\n`);
  const print = (part: string, s: StateScore): void => {
    const before = plainShare(plain, s.state, readings);
    const cells = [s.state, part, share(s), before, bytes(s.stateBytes), String(rate(s.tokens, s.milliseconds))];
    io.out(`${row(columns, [...cells, (s.said ?? "").slice(0, ANSWER_WIDTH)])}\n`);
  };
  print("all", full);
  const omitted: string[] = [];
  let last = each * tales;
  for (const [i, { part, state }] of rows.entries()) {
    const started = performance.now();
    // The smallest states are what it is about; the others give way where time is short.
    if (i >= rows.length / PARTS.length && started + last > deadline) omitted.push(state);
    else {
      print(`1/${part}`, await score(state));
      last = performance.now() - started;
    }
  }
  if (omitted.length > 0) io.out(`(left out for lack of time, --seconds gives more: ${omitted.join("  ")})\n`);
  io.out(HONESTY);
}

/** Two scores of one state as one; what was said is the first's. */
function together(a: StateScore, b: StateScore): StateScore {
  const sum = { right: a.right + b.right, questions: a.questions + b.questions, each: a.each + b.each };
  return { ...a, ...sum, tokens: a.tokens + b.tokens, milliseconds: a.milliseconds + b.milliseconds };
}

/** Recorded share of the same questions, as in `26 %`. */
function plainShare(plain: Recorded, state: string, readings: readonly Reading[]): string {
  const digits = readings.map((r, i) => recordedAnswers(plain, state, TYPICAL[i] ?? -1, r.answers.length));
  if (digits.includes(undefined)) return "-";
  const each = digits.join("");
  return each === "" ? "-" : `${Math.round((100 * each.replaceAll("0", "").length) / each.length)} %`;
}

function statesOf(slots: number): string[] {
  return [`window:${slots}`, `tova:${slots}`, `tova:${slots},recent=16`];
}

const HONESTY = `
A window keeps the newest tokens. TOVA drops the token that the newest query attends to least, and so keeps what matters for longer.
Read it with care: hearth was trained to live in a bounded state (models/embedded/hearth/README.md). "plain" is the same model before that, an
ordinary checkpoint, on the same questions, as recorded: nothing taught it to keep attending to a fact until somebody asks, and there a
window does better than TOVA at each of these sizes. A few tales are a small sample; those read here were chosen because they come out
like all 48 of them together, which "tilestate eval recall" reads.
`;
