/**
 * How a family's files name their tensors, as data: which stored tensor plays which role, or which roles its rows are
 * split into, or which stored tensors are joined for a role, and the order of rotary rows. `formats/` applies it.
 */

/** A tensor of a layer, by our name. */
export type LayerPart =
  | "attention_norm"
  | "q"
  | "k"
  | "v"
  | "q_bias"
  | "k_bias"
  | "v_bias"
  | "o"
  | "o_bias"
  | "ffn_norm"
  | "gate"
  | "up"
  | "down";

/** What a tensor is to a model: one of a layer's, or one of the model's own. */
export type Role = "embed" | "norm" | "head" | LayerPart;

/**
 * Order of the rows of a rotary projection: `halves` keeps the two numbers that are turned together half a head apart
 * (rotate-half, as transformers does), `pairs` side by side (as GGUF and Meta's own files do).
 */
export type RowOrder = "halves" | "pairs";

export interface WeightRule {
  /**
   * Names in the file, with `{layer}` for a layer's number: one, or several whose rows, one below the other, are the
   * role's.
   */
  readonly stored: string | readonly string[];
  /** What it is; or what its rows are, one below the other. */
  readonly role: Role | readonly Role[];
  /** `halves` unless given. */
  readonly rows?: RowOrder;
}

export type WeightMap = readonly WeightRule[];

/** A rule with the stored names of one layer, or of the model. */
export interface Placed {
  readonly stored: readonly string[];
  readonly roles: readonly Role[];
  readonly rows: RowOrder;
}

/**
 * The rule for a role, with names for `layer`. @throws RangeError for a role that the map does not name: a defect of
 * the family.
 */
export function ruleFor(map: WeightMap, role: Role, layer?: number): Placed {
  const rule = map.find((r) => listOf(r.role).includes(role));
  if (rule === undefined) throw new RangeError(`the weight map has no "${role}"`);
  const { stored, rows = "halves" } = rule;
  const names = listOf(stored).map((name) => name.replace("{layer}", String(layer ?? "")));
  return { stored: names, roles: listOf(rule.role), rows };
}

function listOf<T extends string>(value: T | readonly T[]): readonly T[] {
  return typeof value === "string" ? [value] : value;
}
