/** A decoder that counts on from the last token. */
import { setTimeout } from "node:timers/promises";
import { note, standIn } from "../said.ts";

const { layers, weight, token_ms, lacks, shift } = standIn;
const config = { name: "small", layers, dim: 4, heads: 1, groups: 1, headDim: 4, ff: 8, vocab: 100, tied: true };

export const SHAPES: Readonly<Record<string, object>> = { small: config };

export function randomSource(name: string): object {
  return { config: { ...config, name }, tensor: () => ({ data: async () => Float32Array.of(weight) }) };
}

class FakeDecoder {
  readonly batch: number;
  readonly policy: { readonly text: string };

  constructor(options: { readonly batch: number; readonly state: string }) {
    this.batch = options.batch;
    this.policy = { text: options.state };
  }

  async *generate(prompt: readonly number[], { tokens }: { readonly tokens: number }): AsyncGenerator<number> {
    note("begins");
    for (let i = 1; i <= tokens; i++) {
      if (token_ms > 0) await setTimeout(token_ms);
      yield (prompt.at(-1) ?? 0) + i + shift;
    }
    note("ends");
  }

  async *generateAll(): AsyncGenerator<{ readonly sequence: number; readonly id: number }> {
    note("warms up");
    yield { sequence: 0, id: 1 };
  }

  destroy(): void {
    note("frees");
  }
}

interface Loads {
  load(gpu: object, source: object, options: { readonly batch: number; readonly state: string }): Promise<FakeDecoder>;
}

export const Decoder: Loads = {
  async load(_gpu, _source, options) {
    const decoder = new FakeDecoder(options);
    for (const name of lacks) Object.defineProperty(decoder, name, { value: undefined });
    return decoder;
  },
};
