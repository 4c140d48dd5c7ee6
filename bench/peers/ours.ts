/** Tilestate as an engine of the comparison, through its public door only. */
import { readFile } from "node:fs/promises";
import { Decoder, randomSource } from "../../models/index.ts";
import { open } from "../../runtime/index.ts";
import type { Setup } from "./protocol.ts";
import { AHEAD, type Engine, serve } from "./serve.ts";

async function load({ shape, weights, capacity }: Setup): Promise<Engine> {
  const gpu = await open({ threads: "auto" });
  const decoder = await Decoder.load(gpu, randomSource(shape), { state: `full:${capacity + AHEAD}`, weights });
  const manifest = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
  return {
    about: { engine: "tilestate", version: manifest.version, adapter: gpu.capabilities.name },
    async progress() {
      await gpu.wait();
      return decoder.seen;
    },
    generate: (prompt, tokens) => decoder.generate(prompt, { tokens }),
    async logits(ids) {
      const all = await decoder.forward(ids);
      return all.slice(-decoder.config.vocab);
    },
  };
}

await serve(load);
