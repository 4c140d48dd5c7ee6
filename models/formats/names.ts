/**
 * The names of stored tensors: wrappers that training tools leave, tensors that a Llama does not have, and names of
 * other conventions.
 */
import { UserError } from "../../runtime/common/errors.ts";
import type { Note } from "../config/fields.ts";
import type { SafetensorsTensor } from "./safetensors.ts";
import type { StoredTensor } from "./shards.ts";

type Stored = ReadonlyMap<string, StoredTensor>;

/** What torch.compile, distributed training and checkpointing put into names, wherever they wrapped a module. */
const WRAPPERS = /(?<=^|\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\./g;
/** What DataParallel puts in front of all of them. */
const PARALLEL = /^(?:module\.)+/;

/**
 * The tensors under the names that the model itself gives them. Throws a `UserError` when two come to have the same.
 */
export function withoutWrappers(stored: Stored): Stored {
  const out = new Map<string, StoredTensor>();
  for (const [name, entry] of stored) {
    const plain = name.replaceAll(WRAPPERS, "").replace(PARALLEL, "");
    const other = out.get(plain);
    if (other !== undefined) {
      throw new UserError(`${entry.where}: tensors "${other.tensor.name}" and "${name}" are the same one, "${plain}"`);
    }
    out.set(plain, entry);
  }
  return out;
}

/** Old exports store the rotary frequencies, which follow from the config. */
const FREQUENCIES = /(^|\.)rotary_emb\.inv_freq$/;
/** Most names that one line lists. */
const LISTED = 4;

/**
 * A tensor inside the model or at its head that the `model` ("LlamaForCausalLM of 3 layers") does not have (a bias, a
 * further norm, a further layer) means that it computes something else, and is refused. Whatever lies beside the model
 * (a value head, a vision tower) does not touch its logits: it is noted once and not used.
 */
export function refuseStrangers(stored: Stored, known: ReadonlySet<string>, model: string, note: Note): void {
  const unused: string[] = [];
  for (const [name, { where, tensor }] of stored) {
    if (known.has(name) || FREQUENCIES.test(name)) continue;
    if (/^(model|lm_head)\./.test(name)) {
      const message = `${where}: tensor "${tensor.name}" does not belong to a ${model}`;
      throw new UserError(message, { hint: hintFor(name) });
    }
    unused.push(tensor.name);
  }
  if (unused.length === 0) return;
  const more = unused.length > LISTED ? ` and ${unused.length - LISTED} more` : "";
  const [names, are] = [unused.slice(0, LISTED).join(", "), unused.length === 1 ? "is" : "are"];
  note(`of the stored tensors ${names}${more} ${are} not used: a ${model.split(" ")[0]} has none of that name`);
}

function hintFor(name: string): string | undefined {
  if (/\.lora_|\.base_layer\./.test(name)) return "merge the LoRA adapter into its model first";
  if (/\.(qweight|qzeros|g_idx|weight_scale\w*|scales|absmax|quant_\w+)$/.test(name)) {
    return "quantised weights are not supported: take the model in f32, f16 or bf16";
  }
  return undefined;
}

/** What the names of a file look like that lacks the tensor `missing`; a hint, where it is known. */
export function kindOfNames(names: readonly string[], missing: string): string {
  if (names.some((name) => name.includes(".lora_"))) {
    return "these are the weights of a LoRA adapter: merge it into its model first";
  }
  const longer = names.find((name) => name.endsWith(`.${missing}`));
  if (longer !== undefined) {
    const prefix = longer.slice(0, -missing.length);
    const tool = prefix.startsWith("base_model.") ? ", as peft leaves them: merge the adapter and save the model" : "";
    return `names in the file begin with "${prefix}"${tool || ": save the model without what is wrapped around it"}`;
  }
  if (names.some((name) => /^(layers\.\d+\.attention\.w[qkvo]|tok_embeddings)\b/.test(name))) {
    return "the names are those of Meta's own checkpoints: convert it to the Hugging Face format first";
  }
  const some = names.slice(0, LISTED).join(", ");
  return `the file holds ${names.length === 0 ? "no tensors" : `${some}${names.length > LISTED ? ", …" : ""}`}`;
}

/** Bytes that are compared at a time. */
const PIECE = 4 << 20;

/** Do two tensors hold the same numbers in the same format? Reads both, up to the first difference. */
export async function sameBytes(a: SafetensorsTensor, b: SafetensorsTensor): Promise<boolean> {
  if (a.dtype !== b.dtype || a.byteLength !== b.byteLength) return false;
  for (let at = 0; at < a.byteLength; at += PIECE) {
    const length = Math.min(PIECE, a.byteLength - at);
    const [one, other] = [await a.part(at, length), await b.part(at, length)];
    if (one.some((byte, i) => byte !== other[i])) return false;
  }
  return true;
}
