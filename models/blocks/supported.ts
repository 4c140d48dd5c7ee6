/**
 * Which specs there are kernels for. A parser refuses what it reads of in a file, by the file's own words; here a spec
 * is looked at whoever made it, so that no field is ever passed over in silence.
 */
import { UserError } from "../../runtime/common/errors.ts";
import type { LayerSpec, ModelSpec, NormSpec } from "../config/spec.ts";

/** A field of a spec, what the kernels have it as, and what it is. */
type Field = readonly [field: string, computed: unknown, got: unknown];

function fieldsOf({ attention, mlp, norms }: LayerSpec, first: LayerSpec): Field[] {
  const { keyDim, valueDim } = attention;
  return [
    [
      "attention.kvHeads",
      "a divisor of heads",
      attention.heads % attention.kvHeads === 0 ? "a divisor of heads" : attention.kvHeads,
    ],
    ["attention.valueDim", keyDim, valueDim],
    ["attention.scale", undefined, attention.scale],
    ["attention.qkNorm", undefined, attention.qkNorm],
    ["attention.window", undefined, attention.window],
    ["attention.softCap", undefined, attention.softCap],
    ["attention.sinks", false, attention.sinks],
    ["attention.rope.dims", keyDim, attention.rope?.dims],
    ["attention.rope", "the same in every layer", sameJson(attention.rope, first.attention.rope)],
    ["attention.heads", first.attention.heads, attention.heads],
    ["attention.kvHeads", first.attention.kvHeads, attention.kvHeads],
    ["attention.keyDim", first.attention.keyDim, keyDim],
    ["mlp.kind", "gated", mlp.kind],
    ["mlp.activation", "silu", mlp.activation],
    ["mlp.bias", false, mlp.bias],
    ["mlp.width", first.mlp.width, mlp.width],
    ...normOf("norms.attention.before", norms.attention.before),
    ["norms.attention.after", undefined, norms.attention.after],
    ...normOf("norms.mlp.before", norms.mlp.before),
    ["norms.mlp.after", undefined, norms.mlp.after],
  ];
}

function normOf(field: string, norm: NormSpec | undefined): Field[] {
  return [
    [`${field}.kind`, "rms", norm?.kind],
    [`${field}.offset`, 0, norm?.offset],
  ];
}

function sameJson(a: unknown, b: unknown): unknown {
  return JSON.stringify(a) === JSON.stringify(b) ? "the same in every layer" : a;
}

/** Throws a `UserError` that names the first field for which there is no kernel. */
export function checkSpec(spec: ModelSpec): void {
  const { name, layers, scales, norm } = spec;
  const [first] = layers;
  if (first === undefined) throw new UserError(`${name}: expected a model of at least one layer, got none`);
  const fields: Field[] = [
    ["scales.embedding", 1, scales.embedding],
    ["scales.residual", 1, scales.residual],
    ["scales.logits", 1, scales.logits],
    ...normOf("norm", norm),
    ...layers.flatMap((layer, i) =>
      fieldsOf(layer, first).map(([field, computed, got]): Field => [`layers[${i}].${field}`, computed, got]),
    ),
  ];
  for (const [field, computed, got] of fields) {
    if (computed === got) continue;
    throw new UserError(`${name}: no kernel computes ${field} = ${show(got)}: expected ${show(computed)}`);
  }
}

function show(value: unknown): string {
  return value === undefined ? "none" : JSON.stringify(value);
}
