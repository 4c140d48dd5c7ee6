/**
 * A reader may go at any time, and whatever else is asked of a decoder meanwhile is refused or waits: never silently
 * wrong.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { Decoder, type GenerateOptions, type ModelSource } from "../../../models/index.ts";
import { open, UserError } from "../../../runtime/index.ts";
import { continued, gpuOf, withDecoder } from "../../support/decoders.ts";
import { faults } from "../../support/faults.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { randomIds } from "../../support/random.ts";
import { randomModel } from "../../support/random-model.ts";
import { complaint, temporary } from "../formats/temporary.ts";

const SEED = 31_337;
const VOCAB = 64;
const at = temporary();
const [adapter = ""] = adaptersUnderTest();
let model: ModelSource;
beforeAll(async () => {
  model = await randomModel(at("model"), SEED, { layers: 1, heads: 2, groups: 1, vocab: VOCAB, context: 2048 });
});

const SHORT = randomIds(SEED, 20, VOCAB);
const LONG = randomIds(SEED + 1, 1500, VOCAB);
const OPTIONS: GenerateOptions = { tokens: 20, stop: [] };
const DEAD = 'the decoder of "model" was destroyed';

/** The next value of a text, or how it ended. */
const ending = (text: AsyncGenerator<number>): Promise<unknown> =>
  text.next().then(
    ({ done, value }) => (done === true ? "done" : value),
    (error: unknown) => error,
  );

/** Resolves in the turn of the event loop in which the n-th submission from now on has been made. */
function submissions(device: GPUDevice, n: number): Promise<void> {
  const { queue } = device;
  const submit = queue.submit.bind(queue);
  return new Promise((resolve) => {
    let count = 0;
    queue.submit = (buffers) => {
      submit(buffers);
      if (++count === n) setImmediate(resolve);
    };
    Object.defineProperty(device, "queue", { value: queue, configurable: true });
  });
}

/** A piece has at most this many submissions, with the reads and waits around it. */
const PIECE = 2;

describe.each([
  ["in pieces, evicting", { state: "tova:32" }, LONG, {}],
  ["one by one", { state: "tova:32" }, randomIds(SEED, 31, VOCAB), {}],
  ["into a full state", { state: "full:2000" }, LONG, {}],
  ["at once", { state: "tova:32" }, LONG, { prefill: "oneshot" }],
  ["beside a batch", { state: "tova:32", batch: 2 }, LONG, {}],
] as const)("a prompt that is read %s", (_, how, prompt, more) => {
  const wanted: GenerateOptions = { ...OPTIONS, ...more };

  test("is left within a piece, by return, by a signal and by destroy, and the decoder goes on", async () => {
    const gpu = await open({ adapter });
    try {
      const load = (): Promise<Decoder> => Decoder.load(gpu, model, how);
      const decoder = await load();
      const undisturbed = await continued(decoder, prompt, wanted);
      const fault = faults(gpu.device.raw);
      const begun = async (decoder: Decoder, options = wanted): Promise<[AsyncGenerator<number>, Promise<unknown>]> => {
        const third = submissions(gpu.device.raw, 3);
        const text = decoder.generate(prompt, options);
        const next = ending(text);
        await third;
        return [text, next];
      };
      // One submission a token, and so many in a row.
      const most = prompt.length < 32 ? 16 : PIECE;

      const [left, pending] = await begun(decoder);
      const before = fault.calls.submit;
      await left.return(undefined);
      expect(await pending).toBe("done");
      expect(fault.calls.submit - before).toBeLessThanOrEqual(most);
      expect(await left.next()).toEqual({ done: true, value: undefined });
      expect(await continued(decoder, prompt, wanted)).toEqual(undisturbed);

      const controller = new AbortController();
      const [, aborted] = await begun(decoder, { ...wanted, signal: controller.signal });
      const atAbort = fault.calls.submit;
      const reason = new Error("enough");
      controller.abort(reason);
      expect(await aborted).toBe(reason);
      expect(fault.calls.submit - atAbort).toBeLessThanOrEqual(most);
      // What was read in part is not gone on with.
      if (decoder.batch === 1) {
        const part = 'the decoder of "model" has read only a part of its last prompt';
        expect(await complaint(() => continued(decoder, SHORT, { ...OPTIONS, resume: true }))).toBe(part);
        expect(await complaint(() => decoder.kept())).toBe(part);
      }
      expect(await continued(decoder, prompt, wanted)).toEqual(undisturbed);

      const [, cut] = await begun(decoder);
      const atEnd = fault.calls.submit;
      decoder.destroy();
      const error = await cut;
      expect(error).toBeInstanceOf(UserError);
      expect((error as UserError).message).toBe(DEAD);
      expect(fault.calls.submit - atEnd).toBeLessThanOrEqual(most);
      await gpu.wait();
      const next = await load();
      expect(await continued(next, prompt, wanted)).toEqual(undisturbed);
    } finally {
      await gpu.close();
    }
  });
});

test("a signal is heard while tokens are written, before anything begins, and in a line", async () => {
  await withDecoder(adapter, model, { state: "tova:32" }, async (decoder) => {
    const undisturbed = await continued(decoder, SHORT, OPTIONS);
    const controller = new AbortController();
    const { signal } = controller;
    const made: number[] = [];
    const reading = (async () => {
      for await (const id of decoder.generate(SHORT, { ...OPTIONS, tokens: 100_000, signal })) {
        made.push(id);
        if (made.length === 20) controller.abort();
      }
    })();
    await expect(reading).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
    expect(made).toEqual(undisturbed);
    await expect(continued(decoder, SHORT, { ...OPTIONS, signal })).rejects.toBe(signal.reason);

    // The second waits for the only row, and goes while it does.
    const first = decoder.generate(SHORT, OPTIONS);
    await first.next();
    const waits = new AbortController();
    const second = ending(decoder.generate(SHORT, { ...OPTIONS, whenBusy: "wait", signal: waits.signal }));
    const third = continued(decoder, SHORT, { ...OPTIONS, whenBusy: "wait" });
    waits.abort("no patience");
    expect(await second).toBe("no patience");
    expect([...undisturbed.slice(0, 1), ...(await rest(first))]).toEqual(undisturbed);
    expect(await third).toEqual(undisturbed);
    expect(await complaint(() => continued(decoder, SHORT, { ...OPTIONS, whenBusy: "never" as "wait" }))).toBe(
      'whenBusy must be "refuse" or "wait", got "never"',
    );
  });
});

async function rest(text: AsyncGenerator<number>): Promise<number[]> {
  const ids: number[] = [];
  for await (const id of text) ids.push(id);
  return ids;
}

test("a text in the line for its prompt is left at once, while another prompt is read", async () => {
  await withDecoder(adapter, model, { state: "tova:32", batch: 2 }, async (decoder) => {
    const undisturbed = await continued(decoder, LONG, OPTIONS);
    const long = decoder.generate(LONG, OPTIONS);
    const first = long.next();
    const waits = decoder.generate(SHORT, OPTIONS);
    const pending = ending(waits);
    let read = false;
    first.then(() => {
      read = true;
    });
    await waits.return(undefined);
    expect(await pending).toBe("done");
    expect(read).toBe(false);
    expect([(await first).value, ...(await rest(long))]).toEqual(undisturbed);
  });
});

describe("generateAll", () => {
  const PROMPTS = [SHORT, SHORT.slice(3), SHORT.slice(5), SHORT.slice(7)];

  async function all(tokens: AsyncGenerator<{ sequence: number; id: number }>): Promise<[number[][], unknown]> {
    const texts: number[][] = PROMPTS.map(() => []);
    try {
      for await (const { sequence, id } of tokens) texts[sequence]?.push(id);
      return [texts, undefined];
    } catch (error) {
      return [texts, error];
    }
  }

  test("refuses a bad prompt, naming its sequence, before any text begins", async () => {
    await withDecoder(adapter, model, { state: "tova:32", batch: 2 }, async (decoder) => {
      const [texts, error] = await all(decoder.generateAll([SHORT, SHORT, [3, VOCAB]], OPTIONS));
      expect(texts.flat()).toEqual([]);
      expect(error).toBeInstanceOf(UserError);
      expect((error as UserError).message).toBe(
        `sequence 2: token id ${VOCAB} (number 2) is outside the vocabulary of ${VOCAB}`,
      );
      const options = (sequence: number): GenerateOptions => ({ ...OPTIONS, temperature: sequence === 1 ? -1 : 0 });
      const [, wrong] = await all(decoder.generateAll(PROMPTS, options));
      expect((wrong as UserError).message).toBe("sequence 1: temperature must be 0 or more, got -1");
    });
  });

  test("gives all other texts whole when one fails, and then throws, naming the sequence", async () => {
    await withDecoder(adapter, model, { state: "tova:32", batch: 2 }, async (decoder) => {
      const [undisturbed] = await all(decoder.generateAll(PROMPTS, OPTIONS));
      const controller = new AbortController();
      const options = (sequence: number): GenerateOptions =>
        sequence === 1 ? { ...OPTIONS, signal: controller.signal } : OPTIONS;
      controller.abort(new Error("this one is not wanted"));
      const [texts, error] = await all(decoder.generateAll(PROMPTS, options));
      expect(texts).toEqual(undisturbed.map((text, i) => (i === 1 ? [] : text)));
      expect((error as Error).message).toBe("sequence 1: this one is not wanted");
    });
  });

  test("ends at once, with the reason, by a signal that all share, and by return", async () => {
    await withDecoder(adapter, model, { state: "tova:32", batch: 2 }, async (decoder) => {
      const prompts = [LONG, LONG, LONG];
      const controller = new AbortController();
      const { signal } = controller;
      const [, error] = await all(
        (async function* () {
          for await (const token of decoder.generateAll(prompts, { ...OPTIONS, tokens: 1e6, signal })) {
            yield token;
            controller.abort("all of it");
          }
        })(),
      );
      expect(error).toBe("all of it");
      const tokens = decoder.generateAll(prompts, OPTIONS);
      const pending = tokens.next();
      await tokens.return(undefined);
      expect((await pending).done).toBe(true);
      expect(await continued(decoder, SHORT, OPTIONS)).toHaveLength(OPTIONS.tokens);
    });
  });
});

describe("while something is read", () => {
  test("what would change the state is refused, and what can wait waits", async () => {
    await withDecoder(adapter, model, { state: "tova:32" }, async (decoder) => {
      const best = [...(await decoder.predict(LONG))];
      const keptAfter = await decoder.kept();
      const reading = 'the decoder of "model" is reading already, and has a state for one prompt';
      for (const ask of [(): Promise<unknown> => decoder.forward(LONG), (): Promise<unknown> => decoder.warm()]) {
        const asked = ask();
        expect(await complaint(() => decoder.reset())).toBe(reading);
        expect(await complaint(() => decoder.start(SHORT))).toBe(reading);
        expect(await complaint(() => decoder.advanceOne())).toBe(reading);
        await asked;
      }
      // These come one after the other: each finds what the one before left.
      const [first, kept, second] = await Promise.all([decoder.predict(LONG), decoder.kept(), decoder.predict(LONG)]);
      expect([...first]).toEqual(best);
      expect([...second]).toEqual(best);
      expect(kept).toEqual(keptAfter);
      decoder.start(SHORT);
      await decoder.predict(SHORT);
      expect(await complaint(() => decoder.advanceOne())).toBe(
        "there is nothing to step over: since start, the state was emptied or has read something else",
      );
    });
  });

  test("a text goes on with what the reading before it left", async () => {
    await withDecoder(adapter, model, { state: "tova:32" }, async (decoder) => {
      await decoder.predict(SHORT);
      const expected = await continued(decoder, LONG.slice(0, 30), { ...OPTIONS, resume: true });
      await decoder.predict(LONG);
      const asked = decoder.predict(SHORT);
      expect(await continued(decoder, LONG.slice(0, 30), { ...OPTIONS, resume: true })).toEqual(expected);
      await asked;
    });
  });

  test("destroy is a UserError for all who wait", async () => {
    const gpu = await gpuOf(adapter);
    const before = gpu.device.allocated;
    const ask: ((decoder: Decoder) => Promise<unknown>)[] = [
      (decoder) => decoder.forward(LONG),
      (decoder) => decoder.predict(LONG),
      (decoder) => decoder.warm(),
      (decoder) => decoder.kept(),
      (decoder) => continued(decoder, SHORT, OPTIONS),
    ];
    for (const one of ask) {
      const decoder = await Decoder.load(gpu, model, { state: "tova:32" });
      const asked = one(decoder).then(
        () => "nothing",
        (error: unknown) => error,
      );
      await new Promise((wake) => setImmediate(wake));
      decoder.destroy();
      const error = await asked;
      expect(error).toBeInstanceOf(UserError);
      expect((error as UserError).message).toBe(DEAD);
    }
    await gpu.wait();
    expect(gpu.device.allocated).toBe(before);
  });

  test("kept tells what the state of a text under way keeps", async () => {
    await withDecoder(adapter, model, { state: "window:32" }, async (decoder) => {
      const text = decoder.generate(LONG.slice(0, 100), { ...OPTIONS, tokens: 500 });
      for (let i = 0; i < 60; i++) await text.next();
      const [kept, seen] = [await decoder.kept(), decoder.seen];
      // A window keeps the last tokens that were read, of which the reader has not taken all.
      expect(seen).toBeGreaterThanOrEqual(100 + 59);
      expect(kept).toEqual([Array.from({ length: 32 }, (_, i) => seen - 32 + i)]);
      await text.return(undefined);
    });
  });
});
