/**
 * A small interpreter of the ONNX operators that bench/peers uses, for one batch and empty caches: a check of the graph
 * that needs no ONNX Runtime.
 *
 * Written from the operators' documents, in float64. A value is a list of rows, the last dim of the tensor; leading
 * dims of 1 are dropped.
 */
import type { Graph, GraphNode, Initialiser } from "../../bench/peers/graph.ts";

export type Rows = readonly Float64Array[];

/** An element that is there; a wrong index becomes NaN and fails the comparison. */
function at(values: ArrayLike<number> | undefined, i: number): number {
  return values?.[i] ?? Number.NaN;
}

async function rowsOf({ type, dims, data }: Initialiser): Promise<Rows> {
  const bytes = (await data()).slice().buffer;
  const numbers =
    type === "float"
      ? Float64Array.from(new Float32Array(bytes))
      : type === "uint8"
        ? Float64Array.from(new Uint8Array(bytes))
        : Float64Array.from(new BigInt64Array(bytes), Number);
  const width = dims.at(-1) ?? 1;
  return Array.from({ length: numbers.length / width }, (_, r) => numbers.slice(r * width, (r + 1) * width));
}

/** Runs the graph on a prompt and gives its logits. Throws on an operator or input that it does not know. */
export async function runGraph(graph: Graph, ids: readonly number[]): Promise<Rows> {
  const values = new Map<string, Rows>([["input_ids", [Float64Array.from(ids)]]]);
  for (const i of graph.initialisers) values.set(i.name, await rowsOf(i));
  for (const port of graph.inputs) if (port.name.startsWith("past.")) values.set(port.name, []);
  values.set("last_position", [Float64Array.of(ids.length - 1)]).set("total", [Float64Array.of(ids.length)]);
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => {
      const value = values.get(name);
      if (value === undefined) throw new Error(`${node.op} reads "${name}" before it is there`);
      return value;
    });
    const operator = OPERATORS[`${node.domain}:${node.op}`];
    if (operator === undefined) throw new Error(`unknown operator ${node.domain}:${node.op}`);
    for (const [i, value] of operator(inputs, node).entries()) {
      const name = node.outputs[i] ?? "";
      if (name !== "") values.set(name, value);
    }
  }
  const logits = values.get("logits");
  if (logits === undefined) throw new Error("the graph makes no logits");
  return logits;
}

type Operator = (inputs: readonly Rows[], node: GraphNode) => readonly Rows[];

function attribute(node: GraphNode, name: string): number {
  const value = node.attributes[name];
  if (value === undefined) throw new Error(`${node.op} has no attribute "${name}"`);
  return "int" in value ? value.int : value.float;
}

function zip(a: Rows, b: Rows, f: (x: number, y: number) => number): Rows {
  return a.map((row, r) => row.map((x, i) => f(x, at(b[r], i))));
}

function normed(x: Rows, [gain]: Rows, node: GraphNode): Rows {
  const epsilon = attribute(node, "epsilon");
  return x.map((row) => {
    const scale = 1 / Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / row.length + epsilon);
    return row.map((v, i) => v * scale * at(gain, i));
  });
}

const OPERATORS: Readonly<Record<string, Operator>> = {
  ":Gather": ([table = [], index = []], node) => {
    const along = "axis" in node.attributes ? attribute(node, "axis") : 0;
    if (along !== 0 && along !== 1) throw new Error(`Gather along ${along}`);
    // Along axis 1 of [1, n, width] and along axis 0 of [rows, width], rows are what is picked.
    return [[...(index[0] ?? [])].map((i) => table[i < 0 ? table.length + i : i] ?? new Float64Array(0))];
  },
  ":SimplifiedLayerNormalization": ([x = [], gain = []], node) => [normed(x, gain, node)],
  "com.microsoft:SkipSimplifiedLayerNormalization": ([x = [], skip = [], gain = []], node) => {
    const sum = zip(x, skip, (a, b) => a + b);
    return [normed(sum, gain, node), [], [], sum];
  },
  ":MatMul": ([x = [], w = []]) => [
    x.map((row) => {
      const out = new Float64Array(w[0]?.length ?? 0);
      for (const [k, v] of row.entries()) for (let n = 0; n < out.length; n++) out[n] = at(out, n) + v * at(w[k], n);
      return out;
    }),
  ],
  "com.microsoft:MatMulNBits": ([x = [], packed = [], scales = []], node) => {
    const [k, n, size] = [attribute(node, "K"), attribute(node, "N"), attribute(node, "block_size")];
    if (attribute(node, "bits") !== 4) throw new Error("only 4 bits");
    const weight = (row: number, column: number): number => {
      const block = row * (k / size) + Math.floor(column / size);
      const within = column % size;
      const byte = at(packed[block], within >> 1);
      return ((within % 2 === 0 ? byte & 15 : byte >> 4) - 8) * at(scales[0], block);
    };
    return [
      x.map((row) =>
        Float64Array.from({ length: n }, (_, r) => row.reduce((sum, v, column) => sum + v * weight(r, column), 0)),
      ),
    ];
  },
  "com.microsoft:GroupQueryAttention": ([q = [], k = [], v = [], , , , , cos = [], sin = []], node) => {
    const [heads, groups] = [attribute(node, "num_heads"), attribute(node, "kv_num_heads")];
    if (attribute(node, "do_rotary") !== 1 || attribute(node, "rotary_interleaved") !== 0) throw new Error("no halves");
    const size = (q[0]?.length ?? 0) / heads;
    const half = size / 2;
    const turned = (x: Rows): Rows =>
      x.map((row, position) =>
        row.map((value, i) => {
          const [head, within] = [i - (i % size), i % size];
          const [c, s] = [at(cos[position], within % half), at(sin[position], within % half)];
          const partner = at(row, head + ((within + half) % size));
          return within < half ? value * c - partner * s : value * c + partner * s;
        }),
      );
    const [query, keys] = [turned(q), turned(k)];
    const attended = query.map((row, position) => {
      const out = new Float64Array(row.length);
      for (let head = 0; head < heads; head++) {
        const group = Math.floor((head * groups) / heads);
        const weights = Array.from({ length: position + 1 }, (_, past) => {
          let score = 0;
          for (let i = 0; i < size; i++) score += at(row, head * size + i) * at(keys[past], group * size + i);
          return Math.exp(score / Math.sqrt(size));
        });
        const total = weights.reduce((a, b) => a + b, 0);
        for (let i = 0; i < size; i++) {
          out[head * size + i] = weights.reduce((sum, w, past) => sum + (w / total) * at(v[past], group * size + i), 0);
        }
      }
      return out;
    });
    return [attended, keys, v];
  },
  ":Sigmoid": ([x = []]) => [x.map((row) => row.map((v) => 1 / (1 + Math.exp(-v))))],
  ":Mul": ([a = [], b = []]) => [zip(a, b, (x, y) => x * y)],
};
