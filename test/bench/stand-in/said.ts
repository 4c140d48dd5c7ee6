/**
 * What this stand-in is to be, from stand-in.json in its folder, and the diary that it keeps in the file that
 * STAND_IN_DIARY names.
 */
import { appendFileSync, readFileSync } from "node:fs";

export interface StandIn {
  readonly name: string;
  readonly adapter: string;
  readonly layers: number;
  /** A number that all its weights are. */
  readonly weight: number;
  /** Milliseconds that a token takes at least. */
  readonly token_ms: number;
  /** Methods of its decoder that it does not have. */
  readonly lacks: readonly string[];
  /** Added to every id that it writes. */
  readonly shift: number;
}

export const standIn: StandIn = JSON.parse(readFileSync(new URL("./stand-in.json", import.meta.url), "utf8"));

export function note(event: string): void {
  const diary = process.env.STAND_IN_DIARY;
  if (diary !== undefined) appendFileSync(diary, `${standIn.name} ${event}\n`);
}
