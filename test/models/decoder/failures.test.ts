/**
 * A call of the device goes wrong in the middle of the work: whoever waits for that work hears of it, no text has a
 * hole, and nobody else notices. Every text is compared with the undisturbed one: it is that text, or the beginning of
 * it and then an error.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { Decoder, type GenerateOptions, type ModelSource } from "../../../models/index.ts";
import { type Gpu, open } from "../../../runtime/index.ts";
import { continued } from "../../support/decoders.ts";
import { type Faults, type Faulty, faults, type How } from "../../support/faults.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { randomIds } from "../../support/random.ts";
import { randomModel } from "../../support/random-model.ts";
import { temporary } from "../formats/temporary.ts";

const SEED = 22_621;
const VOCAB = 64;
const at = temporary();
const [adapter] = adaptersUnderTest();
/** What makes pipelines: SwiftShader compiles in the thread that asks. */
const PIPELINE: Faulty = adapter === "swiftshader" ? "createComputePipeline" : "createComputePipelineAsync";
let model: ModelSource;
beforeAll(async () => {
  model = await randomModel(at("model"), SEED, { layers: 1, heads: 2, groups: 1, vocab: VOCAB });
});

const PROMPTS = [5, 33, 20, 40].map((length, i) => randomIds(SEED + i, length, VOCAB));
const OPTIONS: GenerateOptions = { tokens: 60, stop: [], temperature: 0.8, seed: 7 };
const STATE = "tova:12";

/** What each prompt becomes when nothing goes wrong, as sequence 0. */
let whole: number[][];
beforeAll(async () => {
  await withFaults(async (gpu) => {
    const decoder = await Decoder.load(gpu, model, { state: STATE });
    whole = [];
    for (const prompt of PROMPTS) whole.push(await continued(decoder, prompt, OPTIONS));
  });
});

/** A device of its own, which may be lost. */
async function withFaults<T>(use: (gpu: Gpu, fault: Faults) => Promise<T>): Promise<T> {
  const gpu = await open({ adapter });
  try {
    return await use(gpu, faults(gpu.device.raw));
  } finally {
    await gpu.close();
  }
}

interface Outcome {
  readonly ids: number[];
  readonly error: Error | undefined;
}

/** Reads a text to its end, whatever that is. */
async function outcome(text: AsyncGenerator<number>): Promise<Outcome> {
  const ids: number[] = [];
  try {
    for await (const id of text) ids.push(id);
    return { ids, error: undefined };
  } catch (error) {
    return { ids, error: error as Error };
  }
}

/** Is this the text, or its beginning and then an error that says what was injected? */
function expectNoHole({ ids, error }: Outcome, text: readonly number[] = []): void {
  expect(ids).toEqual(error === undefined ? text : text.slice(0, ids.length));
  if (error !== undefined) expect(error.message).toMatch(/injected|Invalid|invalid|MapRead|usage/);
}

const FAULTS: readonly [Faulty, How][] = [
  ["mapAsync", "rejects"],
  ["mapAsync", "throws"],
  ["submit", "throws"],
  ["submit", "reports"],
  ["submit", "memory"],
  ["popErrorScope", "rejects"],
  ["popErrorScope", "throws"],
];
const PLACES = [1, 2, 3, 5, 8];

describe("a decoder on a device whose n-th call fails", () => {
  test.each(FAULTS)(
    "%s %s: its reader hears, and a reader of another decoder on the same device does not",
    async (method, how) => {
      await withFaults(async (gpu, fault) => {
        const [mine, theirs] = [
          await Decoder.load(gpu, model, { state: STATE }),
          await Decoder.load(gpu, model, { state: STATE }),
        ];
        // Everything is compiled.
        expect(await continued(mine, PROMPTS[1] ?? [], OPTIONS)).toEqual(whole[1]);
        expect(await continued(theirs, PROMPTS[0] ?? [], OPTIONS)).toEqual(whole[0]);
        for (const nth of PLACES) {
          // Nobody reads theirs while the fault is armed, but a burst is under way there, whose read may be the call
          // that fails.
          const other = theirs.generate(PROMPTS[0] ?? [], OPTIONS);
          const ids = [(await other.next()).value as number];
          fault.arm(method, nth, how);
          const first = await outcome(mine.generate(PROMPTS[1] ?? [], OPTIONS));
          expect(fault.struck).toBe(true);
          const { ids: more, error } = await outcome(other);
          const second: Outcome = { ids: [...ids, ...more], error };
          expectNoHole(first, whole[1]);
          expectNoHole(second, whole[0]);
          // One of them hears, and the other does not.
          expect([first, second].filter((o) => o.error !== undefined)).toHaveLength(1);
          if (method === "submit") expect(first.error).toBeDefined();
          expect(await continued(mine, PROMPTS[1] ?? [], OPTIONS)).toEqual(whole[1]);
          expect(await continued(theirs, PROMPTS[0] ?? [], OPTIONS)).toEqual(whole[0]);
        }
        // What was heard by its owner is nobody's any more.
        await gpu.wait();
      });
    },
  );

  test.each(FAULTS)("%s %s: all texts of the burst hear, whether they waited or not", async (method, how) => {
    await withFaults(async (gpu, fault) => {
      const decoder = await Decoder.load(gpu, model, { state: STATE, batch: 3 });
      const three = PROMPTS.slice(0, 3);
      const texts = (): AsyncGenerator<number>[] => three.map((prompt) => decoder.generate(prompt, OPTIONS));
      expect((await Promise.all(texts().map(outcome))).map((o) => o.ids)).toEqual(whole.slice(0, 3));
      for (const nth of [1, 2, 3]) {
        const going = texts();
        const begun: number[][] = [];
        for (const text of going) begun.push([(await text.next()).value as number]);
        fault.arm(method, nth, how);
        // Only the first is read to its end; the others sleep, and wake up after the failure.
        const outcomes: Outcome[] = [];
        for (const [i, text] of going.entries()) {
          const { ids, error } = await outcome(text);
          outcomes.push({ ids: [...(begun[i] ?? []), ...ids], error });
        }
        expect(fault.struck).toBe(true);
        for (const [i, one] of outcomes.entries()) expectNoHole(one, whole[i]);
        expect(outcomes.filter((o) => o.error !== undefined).length).toBeGreaterThan(0);
        // Rows are as good as new.
        expect((await Promise.all(texts().map(outcome))).map((o) => o.ids)).toEqual(whole.slice(0, 3));
      }
    });
  });

  test("a failure is not swallowed by a reader that leaves while the burst is under way", async () => {
    await withFaults(async (gpu, fault) => {
      const decoder = await Decoder.load(gpu, model, { state: STATE, batch: 2 });
      const [leaves, stays] = [0, 1].map((i) => decoder.generate(PROMPTS[i] ?? [], OPTIONS)) as [
        AsyncGenerator<number>,
        AsyncGenerator<number>,
      ];
      const ids = [(await stays.next()).value as number];
      await leaves.next();
      fault.arm("mapAsync", 1, "rejects");
      // Both wait for the same bursts; one goes, and waits for what is under way in its name.
      const next = stays.next().then(
        ({ value }) => ids.push(value as number),
        () => {},
      );
      await leaves.return(undefined);
      await next;
      const rest = await outcome(stays);
      expect(fault.struck).toBe(true);
      expect([...ids, ...rest.ids]).toEqual((whole[1] ?? []).slice(0, ids.length + rest.ids.length));
      expect(ids.length + rest.ids.length).toBeLessThan(OPTIONS.tokens);
      expect(await continued(decoder, PROMPTS[1] ?? [], OPTIONS)).toEqual(whole[1]);
    });
  });

  test("a sleeper that is at rest while a burst of others fails finds its whole text", async () => {
    await withFaults(async (gpu, fault) => {
      const decoder = await Decoder.load(gpu, model, { state: STATE, batch: 2 });
      const long: GenerateOptions = { ...OPTIONS, tokens: 400 };
      const alone = await continued(decoder, PROMPTS[2] ?? [], long);
      const sleeper = decoder.generate(PROMPTS[2] ?? [], long);
      const ids = [(await sleeper.next()).value as number];
      // Its row comes to rest when 64 tokens wait for it.
      expect(await continued(decoder, PROMPTS[1] ?? [], long)).toHaveLength(400);
      const other = decoder.generate(PROMPTS[1] ?? [], long);
      await other.next();
      // Far from being counted by the GPU: neither the steps nor their read.
      fault.arm("submit", 2, "reports");
      const { error } = await outcome(other);
      expect(error?.message).toMatch(/invalid|usage/i);
      for await (const id of sleeper) ids.push(id);
      expect(ids).toEqual(alone);
    });
  });

  test("fewer tokens than were asked for are an error, and no token 0", async () => {
    await withFaults(async (gpu) => {
      const decoder = await Decoder.load(gpu, model, { state: STATE });
      const text = decoder.generate(PROMPTS[0] ?? [], OPTIONS);
      const ids = [(await text.next()).value as number];
      const { raw } = gpu.device;
      const create = raw.createBuffer.bind(raw);
      const prototype = Object.getPrototypeOf(create({ size: 16, usage: 8 })) as GPUBuffer;
      const { getMappedRange } = prototype;
      prototype.getMappedRange = function (this: GPUBuffer, offset?: number, size = 0) {
        return getMappedRange.call(this, offset, size).slice(0, Math.max(4, size - 4));
      };
      try {
        const { ids: more, error } = await outcome(text);
        expect([...ids, ...more]).toEqual((whole[0] ?? []).slice(0, ids.length + more.length));
        expect(error).toBeInstanceOf(Error);
      } finally {
        prototype.getMappedRange = getMappedRange;
      }
      expect(await continued(decoder, PROMPTS[0] ?? [], OPTIONS)).toEqual(whole[0]);
    });
  });

  test("goes on with no text that failed, and after an anew one it does", async () => {
    await withFaults(async (gpu, fault) => {
      const decoder = await Decoder.load(gpu, model, { state: STATE });
      const text = decoder.generate(PROMPTS[0] ?? [], OPTIONS);
      await text.next();
      fault.arm("mapAsync", 1, "rejects");
      const { error } = await outcome(text);
      expect(error?.message).toContain("injected");
      const on = { ...OPTIONS, resume: true };
      await expect(continued(decoder, [1], on)).rejects.toThrow("injected");
      await expect(decoder.kept()).rejects.toThrow("injected");
      expect(await continued(decoder, PROMPTS[0] ?? [], OPTIONS)).toEqual(whole[0]);
      expect(await continued(decoder, [], on)).toHaveLength(OPTIONS.tokens);
    });
  });
});

describe("a short prompt, whose tokens are submitted in a row", () => {
  const [one, seven] = [1, 7].map((length) => randomIds(SEED, length, VOCAB)) as [number[], number[]];
  const first: GenerateOptions = { ...OPTIONS, tokens: 1 };

  test("is one piece of work: seven tokens are looked after as one is", async () => {
    await withFaults(async (gpu, fault) => {
      const decoder = await Decoder.load(gpu, model, { state: STATE });
      await continued(decoder, seven, first);
      const calls: [submit: number, popErrorScope: number][] = [];
      for (const prompt of [one, seven]) {
        const { submit, popErrorScope } = fault.calls;
        await continued(decoder, prompt, first);
        calls.push([fault.calls.submit - submit, fault.calls.popErrorScope - popErrorScope]);
      }
      const [[submitted, looked] = [], more] = calls;
      expect(submitted).toBeGreaterThan(1);
      expect(more).toEqual([(submitted ?? 0) + seven.length - one.length, looked]);
    });
  });

  test.each<How>(["throws", "reports", "memory"])("whichever of them %s, its reader hears", async (how) => {
    await withFaults(async (gpu, fault) => {
      const decoder = await Decoder.load(gpu, model, { state: STATE });
      const undisturbed = await continued(decoder, seven, OPTIONS);
      expect(undisturbed).toHaveLength(OPTIONS.tokens);
      for (const nth of [1, 4, seven.length]) {
        fault.arm("submit", nth, how);
        const { ids, error } = await outcome(decoder.generate(seven, OPTIONS));
        expect(fault.struck).toBe(true);
        expect(ids).toEqual([]);
        expect(error?.message).toMatch(/^a prompt, token: .*(injected|no memory left|invalid|usage)/i);
        expect(await continued(decoder, seven, OPTIONS)).toEqual(undisturbed);
      }
      await gpu.wait();
    });
  });
});

describe("loading on a device whose n-th call fails", () => {
  test.each<[Faulty, How]>([
    ["createBuffer", "throws"],
    ["createBuffer", "memory"],
    [PIPELINE, PIPELINE === "createComputePipeline" ? "throws" : "rejects"],
    [PIPELINE, "reports"],
    ["popErrorScope", "rejects"],
    ["submit", "lost"],
  ])("%s %s: load throws, frees everything, and can be tried again", async (method, how) => {
    for (const nth of [1, 4, 9]) {
      await withFaults(async (gpu, fault) => {
        const other = gpu.tensor([4], "f32", { data: [1, 2, 3, 4] });
        await gpu.wait();
        const before = gpu.device.allocated;
        fault.arm(method, nth, how);
        const loading = (async () => {
          const decoder = await Decoder.load(gpu, model, { state: STATE });
          await continued(decoder, PROMPTS[0] ?? [], OPTIONS);
        })();
        await expect(loading).rejects.toThrow(how === "lost" ? /the GPU device was lost/ : /injected|missing|invalid/i);
        expect(fault.struck).toBe(true);
        if (how !== "lost") {
          expect(gpu.device.allocated).toBe(before);
          expect([...(await other.read())]).toEqual([1, 2, 3, 4]);
          await gpu.wait();
          const decoder = await Decoder.load(gpu, model, { state: STATE });
          expect(await continued(decoder, PROMPTS[0] ?? [], OPTIONS)).toEqual(whole[0]);
        }
      });
    }
  });
});

test("a lost device ends all texts with its loss, and a new one in the same process writes them anew", async () => {
  for (const nth of [1, 4, 12]) {
    await withFaults(async (gpu, fault) => {
      const decoder = await Decoder.load(gpu, model, { state: STATE, batch: 2 });
      const texts = [0, 1].map((i) => decoder.generate(PROMPTS[i] ?? [], OPTIONS));
      fault.arm("submit", nth, "lost");
      const outcomes = await Promise.all(texts.map(outcome));
      expect(fault.struck).toBe(true);
      for (const [i, { ids, error }] of outcomes.entries()) {
        expect(ids).toEqual((whole[i] ?? []).slice(0, ids.length));
        expect(error?.message).toMatch(/^the GPU device was lost: it was destroyed/);
      }
      await expect(continued(decoder, PROMPTS[0] ?? [], OPTIONS)).rejects.toThrow(/the GPU device was lost/);
    });
    await withFaults(async (gpu) => {
      const decoder = await Decoder.load(gpu, model, { state: STATE, batch: 2 });
      const texts = await Promise.all([0, 1].map((i) => outcome(decoder.generate(PROMPTS[i] ?? [], OPTIONS))));
      expect(texts.map((t) => t.ids)).toEqual(whole.slice(0, 2));
    });
  }
});
