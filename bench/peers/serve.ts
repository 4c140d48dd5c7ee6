/**
 * An engine's side of the protocol: loads it, times it, and looks at its logits.
 */
import { answerLines } from "../pairs/lines.ts";
import type { About, Exchanges, Request, Run, Setup, Span, Top } from "./protocol.ts";

/** What an engine has to offer. */
export interface Engine {
  readonly about: About;
  /** Greedy tokens after `prompt`, from an empty state. The first one is handed out as soon as it is known. */
  generate(prompt: readonly number[], tokens: number, piece?: number): AsyncIterable<number>;
  /**
   * For engines that work ahead of what they hand out: waits until nothing is under way, and gives the number of tokens
   * that went through the model since the prompt's start. Without it, a token is made when it is asked for.
   */
  progress?(): Promise<number>;
  /** Logits after the last of `ids`. */
  logits(ids: readonly number[], piece?: number): Promise<Float32Array>;
}

/**
 * Tokens that are asked for beyond those that are wanted, from an engine that works ahead: so that enough are left to
 * measure.
 */
export const AHEAD = 32;

/** Answers requests until stdin ends. */
export async function serve(load: (setup: Setup) => Promise<Engine>): Promise<never> {
  let engine: Engine | undefined;
  const answer = async (request: Request): Promise<Exchanges[keyof Exchanges]["reply"]> => {
    if (request.do === "load") {
      engine = await load(request);
      return engine.about;
    }
    if (engine === undefined) throw new Error(`"${request.do}" before "load"`);
    return request.do === "run" ? await timed(engine, request) : topOf(await engine.logits(request.ids, request.piece));
  };
  return answerLines((request) => answer(request as Request));
}

/** Exported for tests. */
export async function timed(engine: Engine, request: Exchanges["run"]["request"]): Promise<Run> {
  const { prompt, tokens, piece } = request;
  const ids: number[] = [];
  const wanted = tokens + (engine.progress === undefined ? 0 : AHEAD);
  let clock = stopwatch();
  let prefill: Span | undefined;
  let before = 1;
  for await (const id of engine.generate(prompt, wanted, piece)) {
    ids.push(id);
    if (prefill !== undefined) continue;
    prefill = clock();
    // What an engine has made ahead by now is not decoding to be measured.
    before = (await engine.progress?.()) ?? before;
    clock = stopwatch();
  }
  const after = (await engine.progress?.()) ?? ids.length;
  const decode = clock();
  if (prefill === undefined || ids.length !== wanted) throw new Error(`expected ${wanted} tokens, got ${ids.length}`);
  if (after <= before) throw new Error(`${tokens} tokens are too few: all were under way when the first one came`);
  return { ids: ids.slice(0, tokens), prefill, decode, decoded: after - before };
}

function stopwatch(): () => Span {
  const [wall, cpu] = [performance.now(), process.cpuUsage()];
  return () => {
    const seconds = (performance.now() - wall) / 1e3;
    const { user, system } = process.cpuUsage(cpu);
    return { seconds, cpu: (user + system) / 1e6 };
  };
}

/** Exported for tests. */
export function topOf(logits: Float32Array): Top {
  if (logits.length < 2) throw new RangeError(`expected at least two logits, got ${logits.length}`);
  let [best, second] = [-1, -1];
  let [sum, squares] = [0, 0];
  for (const [id, x] of logits.entries()) {
    sum += x;
    squares += x * x;
    if (best < 0 || x > (logits[best] as number)) [best, second] = [id, best];
    else if (second < 0 || x > (logits[second] as number)) second = id;
  }
  const mean = sum / logits.length;
  const candidate = (id: number) => ({ id, logit: logits[id] as number });
  const deviation = Math.sqrt(Math.max(0, squares / logits.length - mean * mean));
  return { best: candidate(best), second: candidate(second), deviation };
}
