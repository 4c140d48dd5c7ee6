/**
 * Kernels whose tensors have a type parameter: `<T extends DType>(x: Tensor<"n", T>, …)`.
 *
 * Arithmetic follows from whether a tensor holds real numbers, u32 or i32, so such a kernel is lowered once for every
 * kind of numbers that its type parameters allow, and the tensors of a call choose. Storage formats of one kind need no
 * program of their own: their loads widen.
 */
import { Located } from "../../host/diagnostics.ts";
import type { StorageType } from "../../ir/formats.ts";
import type { TileProgram } from "../../ir/tile/program.ts";
import type { FunctionSyntax } from "../syntax.ts";

export type Kind = "real numbers" | "u32" | "i32";

/** Type parameter -> the kind of numbers that it stands for. */
export type Kinds = ReadonlyMap<string, Kind>;

/** More variants of one kernel than this are a mistake. */
const MOST = 9;

export function kindOf(storage: string): Kind {
  return storage === "u32" || storage === "i32" ? storage : "real numbers";
}

/** Every choice that the type parameters of a kernel leave; one empty choice where it has none. */
export function choicesOf(fn: FunctionSyntax): readonly Kinds[] {
  const open = new Map<string, Set<Kind>>();
  for (const { type } of fn.params)
    if (type.is === "tensor" && type.generic !== undefined) open.set(type.generic, new Set(type.storage.map(kindOf)));
  let choices: Kinds[] = [new Map()];
  for (const [name, kinds] of open) choices = choices.flatMap((c) => [...kinds].map((k) => new Map([...c, [name, k]])));
  if (choices.length <= MOST) return choices;
  throw new Located({
    code: "TS-213",
    message: `"${fn.name}" would be ${choices.length} kernels, one for each choice of ${[...open.keys()].join(", ")}`,
    span: fn.span,
    help: `the most is ${MOST}: let tensors share a type parameter, or let it extend fewer types`,
  });
}

/** One program of those for each choice. */
export function joined(programs: readonly TileProgram[]): TileProgram {
  const [first] = programs;
  if (first === undefined) throw new Error("a kernel without a program");
  if (programs.length === 1) return first;
  const params = first.params.map((p, i) => {
    if (p.kind !== "tensor") return p;
    const all = programs.flatMap((k): readonly StorageType[] => {
      const q = k.params[i];
      return q?.kind === "tensor" ? q.storage : [];
    });
    return { ...p, storage: [...new Set(all)] };
  });
  return { ...first, params, kinds: programs };
}

/** A complaint with the choice in which it arises, where there are several. */
export function inChoice(error: Located, kinds: Kinds): Located {
  const said = [...kinds].map(([name, kind]) => `${name} is ${kind}`).join(" and ");
  return new Located({ ...error.diagnostic, message: `${error.diagnostic.message}, where ${said}` });
}
