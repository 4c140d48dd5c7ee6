/**
 * Writes a graph as an ONNX file, with its weights in a second file beside it.
 *
 * The messages are the part of ONNX's schema that is needed here (the numbers of the fields are the format); protobufjs
 * encodes them. Weights stay outside because protobuf ends at 2 GiB, and so that ONNX Runtime can map them.
 */
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import protobuf from "protobufjs";
import { type Attribute, type Graph, type Initialiser, initialiserBytes, type OnnxType, type Port } from "../graph.ts";

const SCHEMA = `
syntax = "proto3";
message Entry { string key = 1; string value = 2; }
message Attribute { string name = 1; float f = 2; int64 i = 3; int32 type = 20; }
message Node {
  repeated string input = 1; repeated string output = 2; string name = 3; string op_type = 4;
  repeated Attribute attribute = 5; string domain = 7;
}
message Tensor {
  repeated int64 dims = 1; int32 data_type = 2; string name = 8; repeated Entry external_data = 13; int32 data_location = 14;
}
message Dim { oneof value { int64 dim_value = 1; string dim_param = 2; } }
message Shape { repeated Dim dim = 1; }
message TensorType { int32 elem_type = 1; Shape shape = 2; }
message Type { TensorType tensor_type = 1; }
message Port { string name = 1; Type type = 2; }
message Graph {
  repeated Node node = 1; string name = 2; repeated Tensor initializer = 5; repeated Port input = 11; repeated Port output = 12;
}
message OperatorSet { string domain = 1; int64 version = 2; }
message Model { int64 ir_version = 1; Graph graph = 7; repeated OperatorSet opset_import = 8; }
`;

const TYPES: Readonly<Record<OnnxType, number>> = { float: 1, uint8: 2, int32: 6, int64: 7 };
const FLOAT_ATTRIBUTE = 1;
const INT_ATTRIBUTE = 2;
const EXTERNAL = 1;
const IR_VERSION = 9;
const OPERATORS = [
  { domain: "", version: 18 },
  { domain: "com.microsoft", version: 1 },
];
/** Where weights begin in their file: on whole pages, which can be mapped. */
const ALIGNMENT = 4096;
const WEIGHTS = "weights.bin";

/** Writes `model.onnx` and its weights into `folder`, and gives the path of the former. */
export async function writeOnnx(graph: Graph, folder: string): Promise<string> {
  const places = await writeWeights(graph.initialisers, join(folder, WEIGHTS));
  const message = {
    irVersion: IR_VERSION,
    opsetImport: OPERATORS,
    graph: {
      name: "llama",
      node: graph.nodes.map((n) => ({
        input: n.inputs,
        output: n.outputs,
        name: n.outputs[0],
        opType: n.op,
        domain: n.domain,
        attribute: Object.entries(n.attributes).map(([name, value]) => attribute(name, value)),
      })),
      initializer: graph.initialisers.map((t, i) => ({
        dims: t.dims,
        dataType: TYPES[t.type],
        name: t.name,
        dataLocation: EXTERNAL,
        externalData: Object.entries({ location: WEIGHTS, offset: places[i], length: initialiserBytes(t) }).map(
          ([key, value]) => ({ key, value: String(value) }),
        ),
      })),
      input: graph.inputs.map(port),
      output: graph.outputs.map(port),
    },
  };
  const Model = protobuf.parse(SCHEMA).root.lookupType("Model");
  const path = join(folder, "model.onnx");
  await writeFile(path, Model.encode(Model.fromObject(message)).finish());
  return path;
}

function attribute(name: string, value: Attribute): object {
  return "int" in value ? { name, i: value.int, type: INT_ATTRIBUTE } : { name, f: value.float, type: FLOAT_ATTRIBUTE };
}

function port({ name, type, dims }: Port): object {
  const dim = dims.map((d) => (typeof d === "number" ? { dimValue: d } : { dimParam: d }));
  return { name, type: { tensorType: { elemType: TYPES[type], shape: { dim } } } };
}

/** Writes all weights one after the other and gives their offsets. */
async function writeWeights(initialisers: readonly Initialiser[], path: string): Promise<number[]> {
  const file = await open(path, "w");
  const offsets: number[] = [];
  try {
    let end = 0;
    for (const t of initialisers) {
      const at = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
      const data = await t.data();
      if (data.length !== initialiserBytes(t)) {
        throw new RangeError(`"${t.name}" [${t.dims}]: expected ${initialiserBytes(t)} bytes, got ${data.length}`);
      }
      await file.write(data, 0, data.length, at);
      offsets.push(at);
      end = at + data.length;
    }
  } finally {
    await file.close();
  }
  return offsets;
}
