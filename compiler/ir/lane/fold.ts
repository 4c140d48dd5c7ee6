/** Arithmetic of addresses with constants, as the emitter folds it. */
import type { Emitter } from "./emitter.ts";
import type { Atom } from "./program.ts";
import { constant, U32 } from "./program.ts";

/** x · n. */
export function times(e: Emitter, x: Atom, n: number): Atom {
  return e.binary("mul", x, constant(n, U32));
}

/** x / n, rounded down. */
export function over(e: Emitter, x: Atom, n: number): Atom {
  return n === 1 ? x : e.binary("div", x, constant(n, U32));
}

/** x % n. */
export function modulo(e: Emitter, x: Atom, n: number): Atom {
  return n === 1 ? constant(0, U32) : e.binary("rem", x, constant(n, U32));
}
