/** An engine without a model: it counts on from the last token. A prompt of [0] kills it. */
import { serve } from "../../bench/peers/serve.ts";

await serve(async ({ shape }) => ({
  about: { engine: `echo of ${shape}`, version: process.env.ECHO_VERSION ?? "" },
  async *generate(prompt, tokens) {
    const last = prompt.at(-1) ?? 0;
    if (last === 0) {
      console.error("last words");
      process.exit(3);
    }
    for (let i = 0; i < Math.max(1, tokens); i++) yield last + i;
  },
  logits: async (ids) => Float32Array.of(0, 0, ...ids.slice(-1)),
}));
