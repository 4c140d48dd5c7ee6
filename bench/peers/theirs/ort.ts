/**
 * ONNX Runtime's WebGPU provider as an engine of the comparison.
 *
 * The caches stay on the GPU between runs; logits come back to the host, which picks the largest, since the provider
 * has no other way.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env, InferenceSession, Tensor } from "onnxruntime-node";
import { llamaDims, randomSource } from "../../../models/index.ts";
import { cacheNames, llamaGraph } from "../graph.ts";
import type { Setup } from "../protocol.ts";
import { type Engine, serve, topOf } from "../serve.ts";
import { writeOnnx } from "./onnx.ts";

type Values = Record<string, Tensor>;

async function load({ shape, weights, capacity, logits }: Setup): Promise<Engine> {
  const source = randomSource(shape);
  const { vocab, kvHeads: groups, headDim, layers } = llamaDims(source.config);
  const caches = Array.from({ length: layers }, (_, i) => cacheNames(i)).flat();
  const graph = llamaGraph(source, { weights, positions: capacity, logits });
  const session = await opened(
    graph,
    caches.map((c) => c.present),
  );

  const step = async (ids: readonly number[], before: number, past: Values): Promise<[Float32Array, Values]> => {
    const length = before + ids.length;
    const out = await session.run({
      ...past,
      input_ids: new Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]),
      last_position: new Tensor("int32", Int32Array.of(length - 1), [1]),
      total: new Tensor("int32", Int32Array.of(length), [1]),
    });
    for (const t of Object.values(past)) if (t.location === "gpu-buffer") t.dispose();
    const next = Object.fromEntries(caches.map((c) => [c.past, out[c.present] as Tensor]));
    return [((out.logits as Tensor).data as Float32Array).slice(-vocab), next];
  };
  const nothing = (): Values =>
    Object.fromEntries(
      caches.map((c) => [c.past, new Tensor("float32", new Float32Array(0), [1, groups, 0, headDim])]),
    );
  const read = async (ids: readonly number[], piece = ids.length): Promise<[Float32Array, Values]> => {
    let [row, past]: [Float32Array, Values] = [new Float32Array(0), nothing()];
    for (let at = 0; at < ids.length; at += piece) [row, past] = await step(ids.slice(at, at + piece), at, past);
    return [row, past];
  };
  const drop = (past: Values): void => {
    for (const t of Object.values(past)) t.dispose();
  };
  return {
    about: { engine: "onnxruntime", version: env.versions.node ?? "unknown" },
    async *generate(prompt, tokens, piece) {
      let [row, past] = await read(prompt, piece);
      for (let made = 1; ; made++) {
        const { id } = topOf(row).best;
        yield id;
        if (made >= tokens) break;
        [row, past] = await step([id], prompt.length + made - 1, past);
      }
      drop(past);
    },
    async logits(ids, piece) {
      const [row, past] = await read(ids, piece);
      drop(past);
      return row;
    },
  };
}

async function opened(graph: ReturnType<typeof llamaGraph>, onGpu: readonly string[]): Promise<InferenceSession> {
  const folder = await mkdtemp(join(tmpdir(), "tilestate-peers-"));
  try {
    return await InferenceSession.create(await writeOnnx(graph, folder), {
      executionProviders: [{ name: "webgpu" }],
      preferredOutputLocation: Object.fromEntries(onGpu.map((name) => [name, "gpu-buffer"])),
      // Its own threads have next to nothing to do and must not spin beside a software adapter's.
      extra: { session: { intra_op: { allow_spinning: "0" }, inter_op: { allow_spinning: "0" } } },
      logSeverityLevel: 3,
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

await serve(load);
