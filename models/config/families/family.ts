/** What a family of models is: a parser from config.json to a spec, and the names of its tensors. */
import type { Fields, Note } from "../fields.ts";
import type { ModelSpec } from "../spec.ts";
import type { WeightMap } from "../weight-map.ts";

/** What a parser is told beside the file. */
export interface Parsing {
  readonly note: Note;
  /** Tensors that the model's files hold, where they are known: it has no more layers. */
  readonly tensors: number | undefined;
}

export interface Family {
  /** As in "llama", which is what `model_type` says. */
  readonly name: string;
  /** What `architectures` says. */
  readonly architecture: string;
  /**
   * The spec of a config.json. What would change the arithmetic and is not computed here is refused: a checkpoint that
   * loads but is run with the wrong formula only gives fluent nonsense.
   * @throws UserError naming file and key, what was expected and what was got.
   */
  parse(root: Fields, parsing: Parsing): ModelSpec;
  readonly weights: WeightMap;
}
