/**
 * jax-js on Dawn as an engine of the comparison: the decoder as array code, compiled by its `jit`.
 *
 * jax-js is made for browsers and asks for `navigator.gpu`, which is Dawn's here. A jitted function has fixed shapes,
 * so the caches have room for the whole text from the start, and a step replaces one row of them through a mask. Ids
 * stay on the device from step to step and are read at the end, which is the fastest way to use it; its weights are
 * kept as [columns, rows], in which its products are fastest. Its functions consume their arguments: `ref` keeps one.
 */
import { readFile } from "node:fs/promises";
import type { numpy } from "@jax-js/jax";
import { create, globals } from "webgpu";
import { frequencies, ropeOf } from "../../../models/blocks/rope.ts";
import { llamaDims, randomSource } from "../../../models/index.ts";
import type { CanonicalName, ModelSource } from "../../../models/weights/source.ts";
import { nameOf } from "../../../runtime/adapters/capabilities.ts";
import { transposed } from "../graph.ts";
import { patiently } from "../patience.ts";
import type { Setup } from "../protocol.ts";
import { type Engine, serve } from "../serve.ts";

Object.assign(globalThis, globals);
// Kept for the life of the process, which would crash if it were collected.
const dawn = create([]);
Object.defineProperty(globalThis, "navigator", { value: { gpu: dawn, userAgent: "headless" }, configurable: true });
const { defaultDevice, init, jit, nn, numpy: np } = await import("@jax-js/jax");

type Arr = numpy.Array;
type Arrays = { [name: string]: Arr };
/** The chosen id or the logits, the caches, and the position after the last token. */
type Result = [out: Arr, caches: Arr[], at: Arr];
type Step = (weights: Arrays, caches: Arr[], ids: Arr, at: Arr) => Result;

/** Added to the score of a key that may not be seen. */
const MASKED = -1e30;

async function load({ shape, weights, capacity }: Setup): Promise<Engine> {
  if (weights !== "f32") throw new Error(`jax-js has no ${weights} weights: expected f32`);
  const devices = await init();
  if (!devices.includes("webgpu")) throw new Error(`jax-js: expected a webgpu device, got ${devices.join(", ")}`);
  defaultDevice("webgpu");
  const source = randomSource(shape);
  const arrays = await upload(source, capacity);
  const steps = new Map<string, Step>();
  const stepOf = (tokens: number, pick: boolean): Step => {
    const key = `${tokens} ${pick}`;
    const made = steps.get(key) ?? (jit(forward(source, capacity, tokens, pick)) as unknown as Step);
    steps.set(key, made);
    return made;
  };
  const kept = (): Arrays => Object.fromEntries(Object.entries(arrays).map(([name, a]) => [name, a.ref]));
  const start = (prompt: readonly number[], pick: boolean): Result =>
    stepOf(prompt.length, pick)(kept(), [], ints(prompt), ints([0]));
  const end = (caches: readonly Arr[], at: Arr): void => {
    for (const a of [...caches, at]) a.dispose();
  };
  const manifest = JSON.parse(
    await readFile(new URL("../node_modules/@jax-js/jax/package.json", import.meta.url), "utf8"),
  );
  const adapter = await dawn.requestAdapter({ powerPreference: "high-performance" });
  return {
    about: {
      engine: "jax-js",
      version: manifest.version,
      ...(adapter === null ? {} : { adapter: nameOf(adapter.info) }),
    },
    async *generate(prompt, tokens) {
      let [id, caches, at] = start(prompt, true);
      yield (await patiently(id.ref.data()))[0] as number;
      const step = stepOf(1, true);
      const ids: Arr[] = [];
      for (let made = 1; made < tokens; made++) {
        [id, caches, at] = step(kept(), caches, id, at);
        ids.push(id.ref);
      }
      id.dispose();
      for (const one of ids) yield (await patiently(one.data()))[0] as number;
      end(caches, at);
    },
    async logits(ids) {
      const [row, caches, at] = start(ids, false);
      end(caches, at);
      return Float32Array.from(await patiently(row.data()));
    },
  };
}

function ints(values: readonly number[]): Arr {
  return np.array(Int32Array.from(values), { dtype: np.int32 });
}

/** All weights, and the tables of the rotation for every position. */
async function upload(source: ModelSource, capacity: number): Promise<Arrays> {
  const { layers, headDim } = llamaDims(source.config);
  const parts = ["attention_norm", "q", "k", "v", "o", "ffn_norm", "gate", "up", "down"] as const;
  const inLayers = Array.from({ length: layers }, (_, i) => parts.map((p): CanonicalName => `layers.${i}.${p}`)).flat();
  const arrays: Arrays = {};
  for (const name of ["embed", ...inLayers, "norm", "head"] as const) {
    const { shape, data } = source.tensor(name);
    const values = (await data()) as Float32Array<ArrayBuffer>;
    const [rows = 0, columns = 0] = shape;
    const product = shape.length === 2 && name !== "embed";
    arrays[name] = product
      ? np.array(transposed(values, rows, columns)).reshape([columns, rows])
      : np.array(values).reshape([...shape]);
  }
  const freq = frequencies(ropeOf(source.config));
  const half = headDim / 2;
  for (const [name, f] of Object.entries({ cos: Math.cos, sin: Math.sin })) {
    const angle = (i: number): number => Math.floor(i / half) * (freq[i % half] ?? 0);
    const table = Float32Array.from({ length: capacity * half }, (_, i) => f(angle(i)));
    arrays[name] = np.array(table).reshape([capacity, half]);
  }
  // The first half of a turned pair takes the second one's share with the opposite sign.
  arrays.sign = np.array(Float32Array.of(-1, 1)).reshape([2, 1]);
  return arrays;
}

/**
 * The way of `n` tokens through the model; one token continues the caches that are given, several begin new ones.
 * `pick` asks for the id, else logits come.
 */
function forward(source: ModelSource, capacity: number, n: number, pick: boolean): Step {
  const { layers, heads, kvHeads: groups, headDim, eps } = llamaDims(source.config);
  const [half, group] = [headDim / 2, heads / groups];
  return (weights, past, ids, at) => {
    const w = (name: string): Arr => (weights[name] as Arr).ref;
    const norm = (x: Arr, name: string): Arr =>
      x.ref.mul(np.reciprocal(np.sqrt(np.mean(np.square(x), -1, { keepdims: true }).add(eps)))).mul(w(name));
    const positions = np.arange(n).astype(np.int32).add(at.ref);
    const [cos, sin] = ["cos", "sin"].map((t) => np.take(w(t), positions.ref, 0).reshape([n, 1, 1, half])) as [
      Arr,
      Arr,
    ];
    const rotate = (x: Arr, count: number): Arr => {
      const pairs = x.reshape([n, count, 2, half]);
      const turned = np.flip(pairs.ref, 2).mul(w("sign")).mul(sin.ref);
      return pairs.mul(cos.ref).add(turned).reshape([n, count, headDim]);
    };
    const slots = np.arange(capacity).astype(np.int32);
    const here = np.equal(slots.ref.reshape([1, capacity, 1]), at.ref.reshape([1, 1, 1]));
    const visible = np.lessEqual(slots.reshape([1, capacity]), positions.reshape([n, 1])).reshape([n, 1, 1, capacity]);
    /** [n, groups, headDim] into [groups, capacity, headDim]. */
    const store = (x: Arr, old: Arr | undefined): Arr => {
      const rows = x.transpose([1, 0, 2]);
      const room: [number, number][] = [
        [0, 0],
        [0, capacity - n],
        [0, 0],
      ];
      return old === undefined ? np.pad(rows, room) : np.where(here.ref, rows, old);
    };
    const caches: Arr[] = [];
    let x = np.take(w("embed"), ids, 0);
    for (let i = 0; i < layers; i++) {
      const layer = (part: string): Arr => w(`layers.${i}.${part}`);
      const h = norm(x.ref, `layers.${i}.attention_norm`);
      const q = rotate(np.matmul(h.ref, layer("q")), heads).reshape([n, groups, group, headDim]);
      const k = store(rotate(np.matmul(h.ref, layer("k")), groups), past[2 * i]);
      const v = store(np.matmul(h, layer("v")).reshape([n, groups, headDim]), past[2 * i + 1]);
      caches.push(k.ref, v.ref);
      // Axes: 0 tokens, 1 groups, 2 heads of a group, 3 head dim, 4 slots.
      const scores = np.einsum(q, [0, 1, 2, 3], k, [1, 4, 3], [0, 1, 2, 4]).mul(1 / Math.sqrt(headDim));
      const share = nn.softmax(np.where(visible.ref, scores, MASKED), -1);
      const attended = np.einsum(share, [0, 1, 2, 4], v, [1, 4, 3], [0, 1, 2, 3]).reshape([n, heads * headDim]);
      x = x.add(np.matmul(attended, layer("o")));
      const g = norm(x.ref, `layers.${i}.ffn_norm`);
      const wide = nn.silu(np.matmul(g.ref, layer("gate"))).mul(np.matmul(g, layer("up")));
      x = x.add(np.matmul(wide, layer("down")));
    }
    const last = n === 1 ? x : x.slice([n - 1, n]);
    const logits = np.matmul(norm(last, "norm"), w("head"));
    for (const a of [cos, sin, here, visible, ...Object.values(weights)]) a.dispose();
    return [pick ? np.argmax(logits, -1).astype(np.int32) : logits, caches, at.add(n)];
  };
}

await serve(load);
