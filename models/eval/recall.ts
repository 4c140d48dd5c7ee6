/**
 * Recall: how many questions about earlier text a model answers right when its state is bounded.
 *
 * A tale is read token by token, answers included, and a question is right when every token of its answer was the most
 * likely one given all before it. That needs no sampling and one pass a tale, so different states are compared on
 * exactly the same text.
 */
import { UserError } from "../../runtime/common/errors.ts";
import { readText } from "../io/node.ts";
import type { Tokenizer } from "../tokenizers/tokenizer.ts";

export interface Question {
  /** Character at which the answer begins. */
  readonly at: number;
  readonly answer: string;
  /** Words since the answer was last read, if the file says so. */
  readonly distance?: number;
}

export interface Tale {
  readonly text: string;
  readonly questions: readonly Question[];
}

/** A tale as the model reads it: its ids, and for each question the places of the answer's tokens. */
export interface Reading {
  readonly ids: readonly number[];
  readonly answers: readonly (readonly number[])[];
}

/** What reads tokens: a decoder. */
export interface Reader {
  /** The most likely next token after each of `ids`, from an empty state. */
  predict(ids: readonly number[]): Promise<Uint32Array>;
}

/**
 * Reads tales from a file of one JSON object a line: `{"text", "questions": [{"at", "answer"}]}`. Throws `UserError`
 * naming file and line.
 */
export async function readTales(file: string, most: number = Number.POSITIVE_INFINITY): Promise<Tale[]> {
  const text = await readText(file, "the tales");
  const tales: Tale[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    if (tales.length >= most) break;
    tales.push(parseTale(line, `${file}:${i + 1}`));
  }
  if (tales.length === 0) throw new UserError(`${file}: no tales in it: expected one JSON object a line`);
  return tales;
}

function parseTale(line: string, where: string): Tale {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new UserError(`${where}: not valid JSON (${(cause as Error).message})`);
  }
  const { text, questions } = (typeof value === "object" && value !== null ? value : {}) as Partial<Tale>;
  if (typeof text !== "string" || !Array.isArray(questions)) {
    throw new UserError(`${where}: expected {"text": "…", "questions": [{"at": 0, "answer": "…"}, …]}`);
  }
  for (const q of questions as Partial<Question>[]) {
    if (!Number.isInteger(q?.at) || typeof q.answer !== "string" || q.answer === "") {
      throw new UserError(
        `${where}: a question needs "at" (a character) and "answer" (a text), got ${JSON.stringify(q)}`,
      );
    }
  }
  return { text, questions: questions as Question[] };
}

/**
 * First and last+1 character of each token. Tokens that only together make up a character all cover it; a BOS covers
 * nothing. Characters are Unicode code points.
 */
export function tokenSpans(tokenizer: Tokenizer, ids: readonly number[]): { from: number; to: number }[] {
  const stream = tokenizer.stream();
  const spans: { from: number; to: number }[] = [];
  let at = 0;
  let held = 0;
  const settle = (text: string): void => {
    const to = at + [...text].length;
    for (let i = spans.length - held; i < spans.length; i++) spans[i] = { from: at, to };
    at = to;
    held = 0;
  };
  for (const id of ids) {
    const text = stream.push(id);
    spans.push({ from: at, to: at });
    if (id === tokenizer.bos) continue;
    held++;
    if (text !== "") settle(text);
  }
  settle(stream.end());
  return spans;
}

/** Tokens of a tale, at most `context` of them; questions whose answer lies beyond are left out. */
export function prepare(tale: Tale, tokenizer: Tokenizer, context: number): Reading {
  const all = tokenizer.encode(tale.text);
  const spans = tokenSpans(tokenizer, all);
  const answers: number[][] = [];
  for (const { at, answer } of tale.questions) {
    const end = at + [...answer].length;
    const touched = [...spans.keys()].filter((i) => (spans[i]?.to ?? 0) > at && (spans[i]?.from ?? 0) < end);
    if (touched.length > 0 && touched.every((i) => i > 0 && i < context)) answers.push(touched);
  }
  return { ids: all.slice(0, context), answers };
}

/** A question of a tale, to be answered freely. */
export interface Asked {
  /** As it stands in the tale, without what marks it as a question. */
  readonly question: string;
  readonly answer: string;
  /** Words since the answer was last read. */
  readonly distance: number;
  /** The tale up to the answer. */
  readonly ids: readonly number[];
}

/** Question number `which` of a tale. Throws `UserError` if the tale has none. */
export function questionOf(tale: Tale, which: number, tokenizer: Tokenizer): Asked {
  const asked = tale.questions[which];
  if (asked === undefined)
    throw new UserError(`the tale has ${tale.questions.length} questions, so none numbered ${which}`);
  const { at, answer, distance = 0 } = asked;
  const before = tale.text.slice(0, at);
  const line = before.slice(before.lastIndexOf("\n") + 1);
  const question = line.replace(/^Question: /, "").replace(/ *Answer: *$/, "");
  const { answers } = prepare({ text: tale.text, questions: [asked] }, tokenizer, Number.POSITIVE_INFINITY);
  const ids = tokenizer.encode(tale.text).slice(0, answers[0]?.[0]);
  return { question, answer, distance, ids };
}

/** Tokens that an answer may have. */
const ANSWER_TOKENS = 12;

/** What a model says to a question: the most likely words up to the end of the sentence. */
export async function answerTo(
  { ids }: Pick<Asked, "ids">,
  teller: { generate(ids: readonly number[], options: { readonly tokens: number }): AsyncIterable<number> },
  tokenizer: Tokenizer,
): Promise<string> {
  const stream = tokenizer.stream();
  let text = "";
  for await (const id of teller.generate(ids, { tokens: ANSWER_TOKENS })) {
    text += stream.push(id);
    if (/[.\n]/.test(text)) break;
  }
  return (text + stream.end()).split(/[.\n]/, 1).join("").trim();
}

export interface Score {
  readonly right: number;
  readonly questions: number;
  /** One digit a question, tale by tale: 1 = right. */
  readonly each: string;
  readonly tokens: number;
  readonly milliseconds: number;
}

/** Reads the tales one after the other. `progress` hears of each that is done. */
export async function recall(
  reader: Reader,
  readings: readonly Reading[],
  progress: (done: number) => void = () => {},
): Promise<Score> {
  let each = "";
  let tokens = 0;
  const began = performance.now();
  for (const [i, { ids, answers }] of readings.entries()) {
    const top = await reader.predict(ids);
    for (const places of answers) each += places.every((j) => top[j - 1] === ids[j]) ? "1" : "0";
    tokens += ids.length;
    progress(i + 1);
  }
  const milliseconds = performance.now() - began;
  return { right: each.replaceAll("0", "").length, questions: each.length, each, tokens, milliseconds };
}
