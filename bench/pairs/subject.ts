/**
 * What is measured: a decoder, its host code or a kernel of one checkout, behind one interface.
 */
import type { Facts } from "../facts.ts";
import type { Turn } from "./protocol.ts";

/** A job that is ready to be measured. */
export interface Subject {
  readonly settings: Facts;
  readonly environment: Facts;
  readonly times?: number;
  turn(times: number): Promise<Turn>;
  free(): void | Promise<void>;
}
