/** Cold starts of two checkouts, in turn: new processes of their own commands. */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startOnce } from "../cold.ts";
import type { Checkout } from "./checkout.ts";
import type { Turn } from "./protocol.ts";
import { inTurn, type Pair } from "./turns.ts";

const EMBEDDED = "models/embedded/hearth";
/** What a text depends on. */
const FILES: readonly string[] = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];

/** The same when two checkouts embed the same model. */
function modelHash(checkout: Checkout): string {
  const hash = createHash("sha256");
  for (const name of FILES) {
    const file = join(checkout.root, EMBEDDED, name);
    hash.update(existsSync(file) ? readFileSync(file) : `no ${name}`);
  }
  return hash.digest("hex");
}

export class ColdStarts {
  readonly #checkouts: Pair<Checkout>;
  readonly #adapter: string | undefined;
  readonly #model: string | undefined;
  readonly #folder: string = mkdtempSync(join(tmpdir(), "tilestate-cold-"));
  /** What is worth a word about the starts. */
  readonly notes: readonly string[];
  /** CPU time of all processes. */
  cpu_ms = 0;
  #warm = false;

  /** Where the embedded models differ, both start with that of the first checkout. */
  constructor(checkouts: Pair<Checkout>, adapter: string | undefined) {
    this.#checkouts = checkouts;
    this.#adapter = adapter;
    const same = modelHash(checkouts[0]) === modelHash(checkouts[1]);
    this.#model = same ? undefined : join(checkouts[0].root, EMBEDDED);
    this.notes = same ? [] : ["cold start: the embedded models differ, so both start with this checkout's"];
  }

  /** A start of each; the first ever is not counted, which fills the caches. */
  async pair(round: number): Promise<Pair<Turn>> {
    if (!this.#warm) await inTurn(this.#checkouts, round, (checkout) => this.#start(checkout));
    this.#warm = true;
    return inTurn(this.#checkouts, round, (checkout) => this.#start(checkout));
  }

  async #start(checkout: Checkout): Promise<Turn> {
    const meter = join(this.#folder, "cpu");
    const options = { adapter: this.#adapter, model: this.#model, meter };
    const { first_token_ms, exit_ms, cpu_ms } = await startOnce(checkout.command() ?? "", options);
    this.cpu_ms += cpu_ms ?? 0;
    return { parts: { "first token": { clock_ms: first_token_ms }, end: { clock_ms: exit_ms, cpu_ms } }, result: [] };
  }

  end(): void {
    rmSync(this.#folder, { recursive: true });
  }
}
