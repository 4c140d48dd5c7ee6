/** Decoders and recorded steps of a checkout, ready to be measured. */
import { createHash } from "node:crypto";
import type { Decoder, ModelSource } from "../../models/index.ts";
import type { Gpu } from "../../runtime/index.ts";
import { pass, warmUp } from "../decode.ts";
import type { Facts } from "../facts.ts";
import { finished } from "../finished.ts";
import { promptOf } from "../prompt.ts";
import { sizesOf } from "../sizes.ts";
import { processCpu } from "../surroundings.ts";
import { type Checkout, Missing, need } from "./checkout.ts";
import type { DecoderJob, HostJob } from "./protocol.ts";
import type { Subject } from "./subject.ts";

type Models = typeof import("../../models/index.ts");

/** Tokens of the pass that compiles, before one that is like those that count. */
const WARM_TOKENS = 16;
/** Steps in one submission and submissions of one turn of the host. */
const [STEPS, SUBMISSIONS] = [32, 20];

/** The model that a job names, and a decoder of it. */
async function load(
  checkout: Checkout,
  gpu: Gpu,
  job: Pick<DecoderJob, "model" | "shape" | "weights" | "state" | "batch">,
): Promise<{ source: ModelSource; decoder: Decoder; settings: Facts }> {
  const models = await checkout.door<Models>("models");
  need(models.Decoder, "Decoder", "load");
  need(models, "models", job.shape === undefined ? "openModel" : "randomSource");
  if (job.shape !== undefined && models.SHAPES !== undefined && models.SHAPES[job.shape] === undefined)
    throw new Missing(`it has no shape "${job.shape}"`);
  const source = job.shape === undefined ? await models.openModel(job.model) : models.randomSource(job.shape);
  const { state, batch, weights } = job;
  const decoder = await models.Decoder.load(gpu, source, {
    state,
    batch,
    ...(weights === undefined ? {} : { weights }),
  });
  return { source, decoder, settings: { ...(await modelFacts(source)), ...decoderFacts(decoder, job) } };
}

/** The shape of a model, and of its numbers a part: what differs is another model, whatever its name. */
async function modelFacts(source: ModelSource): Promise<Facts> {
  const values = await source.tensor("layers.0.k").data();
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return {
    "shape of the model": JSON.stringify(sizesOf(source.config)),
    "weights' checksum": createHash("sha256").update(bytes).digest("hex").slice(0, 12),
  };
}

function decoderFacts(decoder: Decoder, job: Pick<DecoderJob, "weights">): Facts {
  return {
    weights: job.weights ?? "as stored",
    state: decoder.policy?.text ?? "unknown",
    batch: decoder.batch ?? 1,
  };
}

/** Reads the prompt and writes the tokens, as `tilestate bench decode` does. */
export async function prepareDecoder(checkout: Checkout, gpu: Gpu, job: DecoderJob): Promise<Subject> {
  const { source, decoder, settings } = await load(checkout, gpu, job);
  need(decoder, "Decoder", "generate", "generateAll");
  const prompt = promptOf(source.config.vocab, job.context, job.ids);
  await warmUp(decoder, prompt, Math.min(job.tokens, WARM_TOKENS));
  return {
    settings: { ...settings, "tokens read": prompt.length, "tokens written": job.tokens },
    environment: {},
    async turn() {
      const p = await pass(decoder, prompt, job.tokens);
      // What was encoded ahead must not run while the other side measures.
      await gpu.wait?.();
      return {
        parts: {
          decode: { clock_ms: p.decode_ms / p.decoded, cpu_ms: p.process_cpu_ms / p.decoded },
          prompt: { clock_ms: p.prefill_ms / prompt.length, cpu_ms: p.prefill_cpu_ms / prompt.length },
        },
        result: p.ids,
      };
    },
    free: () => decoder.destroy(),
  };
}

/** Replays a step on the null backend, as `tilestate bench host` does. */
export async function prepareHost(checkout: Checkout, job: HostJob): Promise<Subject> {
  const door = await checkout.door<typeof import("../../runtime/index.ts")>("runtime");
  const gpu = await door.open({ adapter: "null" });
  const { decoder, settings } = await load(checkout, gpu, { ...job, batch: 1 });
  const { plan } = decoder;
  need(plan, "step", "run");
  const batch = async (): Promise<{ clock_ms: number; cpu_ms: number }> => {
    const [clock, cpu] = [performance.now(), processCpu()];
    for (let i = 0; i < SUBMISSIONS; i++) plan.run(STEPS);
    await finished(gpu);
    const steps = SUBMISSIONS * STEPS;
    return { clock_ms: (performance.now() - clock) / steps, cpu_ms: (processCpu() - cpu) / steps };
  };
  for (let i = 0; i < 3; i++) await batch();
  return {
    settings,
    environment: { dispatches: plan.length },
    turn: async () => ({ parts: { step: await batch() }, result: [] }),
    free: () => gpu.close(),
  };
}
