/**
 * The settings of rotary positions in a config.json: the base, and how angles are scaled.
 *
 * They stand at the top level (older files), in `rope_scaling` or in `rope_parameters`. What disagrees is refused,
 * since other readers take one place or the other; so is a setting that its kind does not have.
 */

import { count, type Fields, fieldsIn, flag, positive, show, wrong } from "./fields.ts";
import type { RopeScaling } from "./spec.ts";

const NONE: RopeScaling = { kind: "none" };

/** A kind of scaling: the settings that it reads, and what they come to. */
interface Kind {
  readonly settings: readonly string[];
  /** `context` is the model's `max_position_embeddings`. */
  read(rope: Fields, context: number): RopeScaling;
}

/** Settings of RoPE that change nothing where it is not scaled. */
const HARMLESS: readonly string[] = ["original_max_position_embeddings"];

const KINDS: Readonly<Record<string, Kind>> = {
  default: { settings: HARMLESS, read: () => NONE },
  linear: {
    settings: ["factor", ...HARMLESS],
    read: (rope) => {
      const factor = positive(rope, "factor");
      return factor === 1 ? NONE : { kind: "linear", factor };
    },
  },
  llama3: {
    settings: ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
    read: (rope) => {
      const [lowTurns, highTurns] = [positive(rope, "low_freq_factor"), positive(rope, "high_freq_factor")];
      if (lowTurns >= highTurns) wrong(rope, "high_freq_factor", `more than low_freq_factor (${lowTurns})`, highTurns);
      const original = count(rope, "original_max_position_embeddings");
      return { kind: "llama3", factor: positive(rope, "factor"), lowTurns, highTurns, original };
    },
  },
  yarn: {
    settings: [
      ...["factor", "beta_fast", "beta_slow", "original_max_position_embeddings", "truncate"],
      ...["attention_factor", "mscale", "mscale_all_dim"],
    ],
    read: (rope, context) => {
      const or = (key: string, otherwise: number): number => (rope.json[key] == null ? otherwise : positive(rope, key));
      const original =
        rope.json.original_max_position_embeddings == null ? context : count(rope, HARMLESS[0] as string);
      const factor = or("factor", context / original);
      const [fastTurns, slowTurns] = [or("beta_fast", 32), or("beta_slow", 1)];
      if (slowTurns >= fastTurns) wrong(rope, "beta_fast", `more than beta_slow (${slowTurns})`, fastTurns);
      const truncate = rope.json.truncate == null || flag(rope, "truncate");
      const amplitude = amplitudeOf(rope, factor);
      return { kind: "yarn", factor, fastTurns, slowTurns, original, truncate, amplitude };
    },
  },
};

/** The paper's 0.1 · ln(s) + 1 for both of q and k, as DeepSeek weighs it (`mscale`), or a number of its own. */
function amplitudeOf(rope: Fields, factor: number): number {
  const { attention_factor: own, mscale, mscale_all_dim: all } = rope.json;
  const grown = (weight: number): number => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  if (own != null) return positive(rope, "attention_factor");
  if (!mscale || !all) return grown(1);
  return grown(positive(rope, "mscale")) / grown(positive(rope, "mscale_all_dim"));
}

/** Base and scaling of the rotary angles. */
export interface Rope {
  readonly theta: number;
  readonly scaling: RopeScaling;
}

/**
 * Reads them; `context` is the model's `max_position_embeddings`.
 * @throws UserError naming the key.
 */
export function parseRope(root: Fields, context: number): Rope {
  let theta: number | undefined;
  let place = "";
  const take = (key: string, value: number): void => {
    if (theta !== undefined && theta !== value) wrong(root, key, `${theta}, as "${place}" has it`, value);
    [theta, place] = [value, key];
  };
  if (root.json.rope_theta != null) take("rope_theta", positive(root, "rope_theta"));
  let scaling: RopeScaling | undefined;
  for (const key of ["rope_scaling", "rope_parameters"]) {
    if (root.json[key] == null) continue;
    const rope = fieldsIn(root, key);
    const kind = kindOf(rope);
    for (const [name, setting] of Object.entries(rope.json)) {
      if (name === "rope_type" || name === "type" || setting == null || kind.settings.includes(name)) continue;
      if (name === "rope_theta") take(`${key}.${name}`, positive(rope, name));
      else if ((name === "partial_rotary_factor" || name === "factor") && setting === 1) continue;
      else wrong(rope, name, `only rope_theta and ${settingsOf(rope)}`, setting);
    }
    const found = kind.read(rope, context);
    if (scaling !== undefined && JSON.stringify(scaling) !== JSON.stringify(found))
      wrong(root, key, `the same scaling as "rope_scaling" has`, rope.json);
    scaling = found;
  }
  // Files from before the key existed leave it out; 10000 was the only value then.
  return { theta: theta ?? 10000, scaling: scaling ?? NONE };
}

/** The kind stands under a new name, an old one or both; a file that names none does not scale. */
function kindOf(rope: Fields): Kind {
  const { rope_type: kind, type: old } = rope.json;
  if (kind != null && old != null && kind !== old) {
    wrong(rope, "type", `${show(kind)}, as "${rope.prefix}rope_type" has it`, old);
  }
  const type = kind ?? old ?? "default";
  if (typeof type === "string" && Object.hasOwn(KINDS, type)) return KINDS[type] as Kind;
  const names = Object.keys(KINDS).map((name) => `"${name}"`);
  return wrong(
    rope,
    kind == null ? "type" : "rope_type",
    `one of ${names.join(", ")} (the kinds of RoPE supported)`,
    type,
  );
}

/** The settings of the kind that was named. */
function settingsOf({ json }: Fields): string {
  const type = String(json.rope_type ?? json.type ?? "default");
  const settings = KINDS[type]?.settings ?? [];
  return type === "default" ? "rope_type (unscaled RoPE)" : `those of "${type}" (${settings.join(", ")})`;
}
