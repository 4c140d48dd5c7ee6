/**
 * All families, and the parser that finds the one of a config.json. A new family is a file beside this one and a line
 * here.
 */
import { type Fields, fieldsOf, ids, type Note, wrong } from "../fields.ts";
import type { ModelSpec } from "../spec.ts";
import type { Family, Parsing } from "./family.ts";
import { llama } from "./llama.ts";

const FAMILIES: readonly Family[] = [llama];

/**
 * Reads a Hugging Face `config.json`; `file` names it in errors.
 * @throws UserError naming the key, what was expected and what was got.
 */
export function parseConfig(json: unknown, file: string, options: Partial<Parsing> = {}): ModelSpec {
  const root = fieldsOf(json, file);
  const { note = () => {}, tensors } = options;
  return familyIn(root).parse(root, { note, tensors });
}

/** The family that made a spec. */
export function familyOf({ family }: ModelSpec): Family {
  const found = FAMILIES.find(({ name }) => name === family);
  if (found === undefined) throw new RangeError(`no family is called "${family}"`);
  return found;
}

/**
 * The spec with the end ids that another file adds, `generation_config.json` or `tokenizer_config.json`.
 * @throws UserError as `parseConfig` does.
 */
export function withEnds(spec: ModelSpec, json: unknown, file: string, note: Note = () => {}): ModelSpec {
  const extra = ids(fieldsOf(json, file), "eos_token_id", spec.vocab, note);
  return { ...spec, eos: [...new Set([...spec.eos, ...extra])] };
}

/** "LlamaForCausalLM (the only architecture supported)", or all there are. */
function supported(): string {
  const [first, ...more] = FAMILIES.map((family) => family.architecture);
  return more.length === 0 ? `${first} (the only architecture supported)` : `one of ${[first, ...more].join(", ")}`;
}

function familyIn(root: Fields): Family {
  const { architectures: named, model_type: type } = root.json;
  const ofType = FAMILIES.find(({ name }) => name === type);
  if (named == null && type == null) wrong(root, "architectures", supported(), named);
  const only = Array.isArray(named) && named.length === 1 ? named[0] : undefined;
  const ofName = FAMILIES.find(({ architecture }) => architecture === only);
  if (named != null && ofName === undefined) wrong(root, "architectures", supported(), named);
  const family = ofName ?? ofType;
  if (family === undefined || (type != null && type !== family.name)) {
    const expected = ofName === undefined ? FAMILIES : [ofName];
    const names = expected.map(({ name }) => `"${name}"`).join(", ");
    wrong(root, "model_type", `${names}, for ${supported()}`, type);
  }
  return family;
}
