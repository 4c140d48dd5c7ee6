/** Recorded behaviour of trained checkpoints, and which of the checkpoints are here. */
import { readFile } from "node:fs/promises";
import { fixture, shared } from "../models/formats/shared.ts";

export interface Trace {
  readonly budget: number;
  /** [layer][i]: the position that leaves after token budget + i. */
  readonly evicted_position_per_layer: number[][];
  /** How far its score was from the next one: of the score for hearth, absolute elsewhere. */
  readonly margin_to_runner_up: number[][];
  readonly kept_positions_per_layer: number[][];
  readonly nll: number[];
  readonly last_logits: number[];
}

interface Text {
  readonly ids: number[];
  readonly text: string;
}

export interface Golden {
  readonly greedy: Text & { readonly prompt: string; readonly prompt_ids: number[] };
  readonly greedy_from_bos?: Text;
  readonly teacher: Text & {
    readonly nll: number[];
    readonly mean_nll: number;
    readonly top5: [id: number, logit: number][][];
    readonly last_logits: number[];
  };
  readonly tova: Trace[];
}

export interface Checkpoint {
  readonly name: string;
  /** What `openModel` takes. */
  readonly path: string | undefined;
  /** Name of the golden. */
  readonly file: string;
  /** False for a checkpoint beside the repository that is not there; its tests are then skipped (see shared.ts). */
  readonly there: boolean;
}

export async function golden(file: string): Promise<Golden> {
  return JSON.parse(await readFile(fixture(`golden/${file}.json`), "utf8")) as Golden;
}

const BESIDE = [
  { name: "stories260K.bin", at: "models/stories260K/stories260K.bin", file: "stories260K" },
  { name: "stories260K_v1.bin", at: "models/stories260K/stories260K_v1.bin", file: "stories260K" },
  { name: "tinystories-656k", at: "models/tinystories-656k-hf", file: "tinystories-656k" },
];

/** All checkpoints with recorded behaviour. */
export const CHECKPOINTS: readonly Checkpoint[] = [
  { name: "hearth", path: undefined, file: "hearth", there: true },
  ...BESIDE.map(({ name, at, file }) => ({ name, path: shared(at), file, there: shared(at) !== undefined })),
];
