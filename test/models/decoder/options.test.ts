/** What `Decoder.load` refuses before it makes anything, and that what fails half-way leaves nothing behind. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Decoder, type ModelSource, parsePolicy } from "../../../models/index.ts";
import { type Gpu, open, UserError } from "../../../runtime/index.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { randomModel } from "../../support/random-model.ts";
import { temporary } from "../formats/temporary.ts";

const at = temporary();
let model: ModelSource;
let gpu: Gpu;
beforeAll(async () => {
  model = await randomModel(at("model"), 31, { layers: 2, dim: 64, heads: 4, groups: 2, headDim: 16 });
  gpu = await open({ adapter: adaptersUnderTest()[0] });
});
afterAll(() => gpu.close());

/** Loads from any arguments, as untyped callers do. */
async function refusal(...args: readonly unknown[]): Promise<UserError> {
  const load = Decoder.load as (...args: readonly unknown[]) => Promise<Decoder>;
  const error: unknown = await load(...args).then(
    () => undefined,
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

test("a forgotten await is named", async () => {
  const model2 = await refusal(gpu, Promise.resolve(model), { state: "tova:8" });
  expect([model2.message, model2.hint]).toEqual([
    "Decoder.load: expected a model, as openModel() gives, got a promise",
    "await it first",
  ]);
  const gpu2 = await refusal(Promise.resolve(gpu), model);
  expect([gpu2.message, gpu2.hint]).toEqual([
    "Decoder.load: expected a gpu, as open() gives, got a promise",
    "await it first",
  ]);
});

test.each([
  [undefined, "nothing"],
  ["./TinyLlama", '"./TinyLlama" (a string)'],
  [{}, "an object"],
  [{ config: null, tensor: () => {} }, "an object"],
])("no model: %j", async (source, got) => {
  expect((await refusal(gpu, source)).message).toBe(`Decoder.load: expected a model, as openModel() gives, got ${got}`);
});

test.each([
  ["tova:8", 'Decoder.load: expected options, such as { state: "tova:128" }, got "tova:8" (a string)'],
  [null, 'Decoder.load: expected options, such as { state: "tova:128" }, got null'],
  [{ state: 128 }, "expected a state, got 128"],
  [{ state: ["tova:8"] }, "expected a state, got an array of 1"],
  [{ batch: "2" }, 'batch must be a whole number from 1 to 256, got "2" (a string)'],
  [{ batch: 0 }, "batch must be a whole number from 1 to 256, got 0"],
  [{ batch: Symbol("b") }, "batch must be a whole number from 1 to 256, got a symbol"],
  [{ piece: 17 }, "a piece of a prompt has 16, 64, 256 tokens at most, got 17"],
  [{ weights: "q5" }, 'weights are kept as one of stored, f32, f16, bf16, fp8, q8, q4, q4_1, got "q5" (a string)'],
])("options that are none: %#", async (options, message) => {
  expect((await refusal(gpu, model, options)).message).toBe(message);
  expect(gpu.device.allocated).toBe(0);
});

test("a state that is no text is refused with examples", () => {
  expect(() => parsePolicy(128 as never)).toThrow(
    expect.objectContaining({ hint: expect.stringContaining("tova:128") }),
  );
});

test("a load that fails when its step was recorded frees the step and the copy that was half made", async () => {
  const made = new Set<GPUBuffer>();
  const create = gpu.device.raw.createBuffer;
  gpu.device.raw.createBuffer = (descriptor) => {
    const buffer = create.call(gpu.device.raw, descriptor);
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      made.delete(buffer);
      return destroy();
    };
    if (descriptor.label?.endsWith("scalars")) made.add(buffer);
    return buffer;
  };
  const bind = gpu.device.raw.createBindGroup;
  const whole = await Decoder.load(gpu, model, { batch: 2 });
  const kept = made.size;
  expect(kept).toBeGreaterThan(1);
  whole.destroy();
  expect(made.size).toBe(0);
  try {
    let recorded = 0;
    gpu.device.raw.createBindGroup = (descriptor) => {
      // The last kernel that loading records.
      if (descriptor.label?.includes("moveRow")) throw new Error(`no more after ${recorded}`);
      recorded++;
      return bind.call(gpu.device.raw, descriptor);
    };
    await expect(Decoder.load(gpu, model, { batch: 2 })).rejects.toThrow(/no more after [1-9]/);
    expect(made.size).toBe(0);
    expect(gpu.device.allocated).toBe(0);
  } finally {
    gpu.device.raw.createBuffer = create;
    gpu.device.raw.createBindGroup = bind;
  }
});

test.each([
  ["Once", { tokens: 2 }, 'a prompt is a list of token ids, got "Once" (a string)'],
  [undefined, { tokens: 2 }, "a prompt is a list of token ids, got nothing"],
  [[1], undefined, "expected options, such as { tokens: 100 }, got nothing"],
  [[1], 5, "expected options, such as { tokens: 100 }, got 5"],
  [[1], { tokens: 2, temperature: "1" }, 'temperature must be a number, got "1" (a string)'],
  [[1], { tokens: 2, topK: null }, "topK must be a number, got null"],
  [[1], { tokens: 2, stop: "." }, 'stop must be a list of token ids, got "." (a string)'],
  [[1], { tokens: 2, stop: [1.5] }, "stop must be a list of token ids, got an array of 1"],
  [[1], { tokens: 2, signal: {} }, "signal must be an AbortSignal, got an object"],
  [[1], { tokens: 2, prefill: "fast" }, 'prefill must be "recurrent" or "oneshot", got "fast" (a string)'],
])("generate(%j, %j) is refused in words", async (prompt, options, message) => {
  const decoder = await Decoder.load(gpu, model, { state: "tova:8" });
  const generate = decoder.generate.bind(decoder) as (...args: readonly unknown[]) => AsyncGenerator<number>;
  const error: unknown = await generate(prompt, options)
    .next()
    .catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(UserError);
  expect((error as UserError).message).toBe(message);
  decoder.destroy();
});
