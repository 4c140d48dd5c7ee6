/**
 * Tiny models against recorded logits: every storage format, tied and untied heads, one KV head for one or several
 * query heads, every kind of scaled RoPE, biases of attention.
 *
 * The references are float64 on the stored values, with exact rotary frequencies, so one tolerance serves f32, f16 and
 * bf16 files.
 */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { readSafetensors } from "../../../models/formats/safetensors.ts";
import { openModel } from "../../../models/index.ts";
import { typed } from "../../../models/weights/source.ts";
import { continued, withDecoder } from "../../support/decoders.ts";
import { everyAdapter } from "../../support/gpu.ts";
import { largestDifference } from "../../support/logits.ts";
import { fixture } from "../formats/shared.ts";

interface Case {
  readonly input_ids: number[];
  readonly greedy_ids: number[];
  readonly greedy_margin: number[];
  readonly logit_std: number;
}

async function recorded(family: string): Promise<Case & { readonly logits: Float32Array }> {
  const folder = fixture(`families/${family}`);
  const logits = (await readSafetensors(`${folder}/expected.safetensors`)).tensors.get("logits");
  if (logits?.dtype !== "F32") throw new Error(`${family}: no f32 logits were recorded`);
  return {
    ...(JSON.parse(await readFile(`${folder}/case.json`, "utf8")) as Case),
    logits: typed(await logits.bytes(), "f32") as Float32Array,
  };
}

const FAMILIES = [
  ...["llama2-mha", "llama3.2-tied", "tinyllama-f16"],
  ...["llama3.1-rope", "llama-linear", "llama-yarn", "llama-yarn-attention-factor", "llama-yarn-mscale"],
  "llama-attn-bias",
];
/** Of the spread of the logits, for weights that are read as they are stored. */
const TOLERANCE = 2e-4;

describe.each(everyAdapter())("families on %s", (adapter) => {
  test.each(FAMILIES)("%s: logits within the tolerance, and the greedy ids", async (family) => {
    const golden = await recorded(family);
    const source = await openModel(fixture(`families/${family}`));
    await withDecoder(adapter, source, {}, async (decoder) => {
      const logits = await decoder.forward(golden.input_ids);
      expect(largestDifference(logits, golden.logits) / golden.logit_std).toBeLessThan(TOLERANCE);

      const unclear = golden.greedy_margin.findIndex((margin) => margin < 1e-3);
      const sure = unclear < 0 ? golden.greedy_ids.length : unclear;
      expect(sure).toBeGreaterThan(4);
      const tokens = golden.greedy_ids.length;
      const ids = await continued(decoder, golden.input_ids, { tokens, stop: [] });
      expect(ids).toHaveLength(tokens);
      expect(ids.slice(0, sure)).toEqual(golden.greedy_ids.slice(0, sure));
    });
  });
});
