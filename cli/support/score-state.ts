/**
 * What one state policy makes of the recall questions: tales and a policy in, answers counted and timed out.
 * `eval recall` and the demo share it.
 */
import type { Asked, Reading, Score } from "../../models/eval/recall.ts";
import type { DecoderOptions, ModelSource } from "../../models/index.ts";
import type { Gpu } from "../../runtime/index.ts";

/** One state's result with what it took. */
export interface StateScore extends Score {
  readonly state: string;
  readonly stateBytes: number;
  /** What it says to the question that it was asked. */
  readonly said: string | undefined;
}

/**
 * Reads the tales under one state, and then asks `asked`, if there is such a question. The first few tokens are read
 * twice: a kernel's first run is not what is measured, and neither is the question.
 */
export async function scoreState(
  gpu: Gpu,
  source: ModelSource,
  { state, policies }: Pick<DecoderOptions, "state" | "policies">,
  readings: readonly Reading[],
  asked?: Asked,
): Promise<StateScore> {
  const [{ Decoder }, { answerTo, recall }] = await Promise.all([
    import("../../models/index.ts"),
    import("../../models/eval/recall.ts"),
  ]);
  const decoder = await Decoder.load(gpu, source, { state, policies });
  try {
    // Adapters compile when a kernel first runs, those of a prompt in pieces too; that is not to be timed.
    await decoder.predict((readings[0]?.ids ?? [0]).slice(0, 48));
    const score = await recall(decoder, readings);
    const said = asked === undefined ? undefined : await answerTo(asked, decoder, await source.tokenizer());
    return { ...score, said, state: decoder.policy.text, stateBytes: decoder.contract.state };
  } finally {
    decoder.destroy();
  }
}

/** `8/14  57.1 %`. */
export function share({ right, questions }: Pick<Score, "right" | "questions">): string {
  const percent = questions === 0 ? "-" : ((100 * right) / questions).toFixed(1);
  return `${right}/${questions} ${percent.padStart(5)} %`;
}
