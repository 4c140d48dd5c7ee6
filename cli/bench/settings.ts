/** The settings of a report: what has to be the same for its figures to be compared with another's. */
import type { Facts } from "../../bench/facts.ts";
import { roomFor } from "../../bench/run.ts";
import { sizesOf } from "../../bench/sizes.ts";
import { stateFor } from "../../bench/subject.ts";
import type { ModelSource } from "../../models/index.ts";
import type { FlatOptions } from "./options.ts";

/** Options that change what is measured; rounds only change how well. */
export interface Settings
  extends Partial<Pick<FlatOptions, "weights" | "state" | "batch" | "context" | "tokens" | "ids" | "early" | "late">> {
  readonly over?: readonly number[];
}

/** With the model's shape beside its name, since a folder's name says little. */
export function modelSettings(source: ModelSource, options: Settings): Facts {
  const { layers, dim, heads, groups, headDim, ff, vocab } = sizesOf(source.config);
  const { weights = "stored", ids, over, ...rest } = options;
  const facts: Record<string, string | number | undefined> = {
    model: source.config.name,
    "shape of the model": [layers, dim, heads, groups, headDim, ff, vocab].join(" "),
    weights,
    ...rest,
    ids: ids?.join(","),
    over: over?.join(","),
  };
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)) as Facts;
}

/** Of one decoder, whose state gets its slots by what it reads and writes. */
export function decodeSettings(
  source: ModelSource,
  options: Required<Pick<Settings, "state" | "batch" | "context" | "tokens">> & Pick<Settings, "weights" | "ids">,
): Facts {
  const { state, batch, context, tokens, weights, ids } = options;
  const slots = stateFor(state, roomFor(context, tokens, batch));
  return modelSettings(source, {
    ...{ state: slots, batch, context, tokens },
    ...(weights === undefined ? {} : { weights }),
    ...(ids === undefined ? {} : { ids }),
  });
}
