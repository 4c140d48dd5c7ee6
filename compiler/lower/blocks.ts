/**
 * Stores into formats whose elements share scales: which blocks of the tensor a lane holds all of, and in which
 * registers.
 */
import { blockOf } from "../ir/formats.ts";
import { type Atom, constant, U32 } from "../ir/lane/program.ts";
import type { Op } from "../ir/tile/program.ts";
import { type Access, type Context, siteOf } from "./addressing.ts";
import { stridesOf } from "./memory/sites.ts";

/**
 * A block that is stored: the address of its first element, its elements in vectors of four, and whether it is there.
 */
export interface StoredBlock {
  readonly first: () => Atom;
  readonly values: () => Atom[];
  readonly cond: Atom | undefined;
}

/** The blocks of a store; undefined where lanes hold parts of blocks. */
export function blocksOf(c: Context, access: Access, op: Op & { op: "store" }): StoredBlock[] | undefined {
  const { program, e, r, definitions } = c;
  const axes = [...new Set(op.index.flatMap((i) => r.tile(i).axes))];
  const block = blockOf(program.binding.storage[op.param] ?? "f32");
  const walk = definitions.walk(op.index.at(-1) ?? -1);
  const along = walk === undefined ? -1 : axes.indexOf(walk.axis);
  if (walk === undefined || along < 0 || !holdsBlocks(c, walk, block)) return undefined;
  if (axes.some((a) => a !== walk.axis && r.layout(a).width > 1)) return undefined;
  const strides = stridesOf(program, op.param);
  const single = r.owner(axes);
  const { width } = r.layout(walk.axis);
  return r.coordinates(axes).flatMap((at): StoredBlock[] => {
    if (axes.some((a, i) => r.dead(a, at[i] ?? 0)) || (at[along] ?? 0) % (block / width) > 0) return [];
    const alive = axes.flatMap((a, i) => r.alive(a, at[i] ?? 0) ?? []);
    const conds = [...(single === undefined ? [] : [single]), ...alive].map((x) => e.component(x, 0));
    const cond = conds.reduce<Atom | undefined>((a, b) => (a === undefined ? b : e.binary("and", a, b)), undefined);
    const first = (): Atom => {
      const { address, offset } = access.address(siteOf(op), axes, at, strides, true);
      return e.binary("add", address, constant(offset, U32));
    };
    const values = (): Atom[] => {
      const registers = neighbours(at, along, block / width);
      const parts = registers.map((n) => e.widen(r.reg(r.tile(op.value), axes, n), width));
      const each = 4 / width;
      return Array.from({ length: block / 4 }, (_, i) => e.compose(parts.slice(i * each, (i + 1) * each)));
    };
    return [{ first, values, cond }];
  });
}

/** Does one lane hold each block along an axis, and does no edge fall into one? */
function holdsBlocks(
  { r }: Context,
  { axis, offset }: { readonly axis: number; readonly offset: number },
  block: number,
): boolean {
  const { spread, size, count, width, chunk } = r.layout(axis);
  const own = spread ? width * chunk : count * width;
  const { limit, full } = r.extent(axis);
  const even = full || (limit.kind === "const" && limit.value % block === 0);
  return even && own % block === 0 && size % block === 0 && offset % block === 0;
}

/** The coordinates of `run` registers side by side, from `at` on along one axis. */
export function neighbours(at: readonly number[], axis: number, run: number): readonly number[][] {
  return Array.from({ length: run }, (_, n) => at.map((c, i) => (i === axis ? c + n : c)));
}
