/**
 * Where the elements of a tile lie, and how a register of them is read: addresses from index tiles and strides, wide
 * loads where the layout allows.
 */

import type { Emitter } from "../ir/lane/emitter.ts";
import type { Atom } from "../ir/lane/program.ts";
import { constant, U32 } from "../ir/lane/program.ts";
import type { Op, Specialised } from "../ir/tile/program.ts";
import type { Definitions } from "../passes/analysis/induction.ts";
import type { Schedule } from "../schedule/types.ts";
import type { Codes } from "./memory/decode-quantised.ts";
import type { Loads } from "./memory/load.ts";
import { inPanel } from "./memory/panels.ts";
import { panelOf, type Site, stridesOf, wideness } from "./memory/sites.ts";
import type { Registers } from "./registers.ts";

/** What the parts of lane lowering share. */
export interface Context {
  readonly program: Specialised;
  readonly schedule: Schedule;
  readonly e: Emitter;
  readonly r: Registers;
  readonly loads: Loads;
  readonly definitions: Definitions;
}

export function siteOf(op: Op & { op: "load" | "store" }): Site {
  return { param: op.param, index: op.index, store: op.op === "store" };
}

export class Access {
  readonly #c: Context;

  constructor(context: Context) {
    this.#c = context;
  }

  /**
   * The address of a register's first element, or of the start of its run and the offset in it; a vector of addresses
   * where the site is not wide.
   */
  address(
    site: Site,
    axes: readonly number[],
    at: readonly number[],
    strides: readonly number[],
    wide: boolean,
  ): { address: Atom; offset: number } {
    const { program, e, r, definitions } = this.#c;
    const panel = panelOf(program, site.param);
    let offset = 0;
    let address: Atom = constant(0, U32);
    for (const [i, id] of site.index.entries()) {
      const walk = wide && i === site.index.length - 1 ? definitions.walk(id) : undefined;
      const run = walk === undefined ? undefined : r.run(walk.axis, at[axes.indexOf(walk.axis)] ?? 0);
      if (run !== undefined) offset = run.offset;
      const index =
        run === undefined ? r.reg(r.tile(id), axes, at) : e.binary("add", run.start, constant(walk?.offset ?? 0, U32));
      if (panel !== undefined && i === site.index.length - 1) address = inPanel(e, panel, address, index);
      else {
        const stride = (strides[i] ?? 1) / (panel?.width ?? 1);
        address = e.binary("add", address, e.binary("mul", index, constant(stride, U32)));
      }
    }
    return { address, offset };
  }

  /** How each register of a load is read. */
  load(op: Op & { op: "load" }): (at: readonly number[]) => Atom {
    const { program, schedule, e, r, loads, definitions } = this.#c;
    const site = siteOf(op);
    const strides = stridesOf(program, op.param);
    const wide = wideness(program, schedule, definitions, site);
    const width = r.width(op.axes);
    return (at) => {
      const { address, offset } = this.address(site, op.axes, at, strides, wide > 1);
      if (wide > 1) return loads.loadWide(op.param, address, offset, width);
      const parts = Array.from({ length: address.type.width }, (_, i) =>
        loads.loadOne(op.param, e.component(address, i)),
      );
      return e.widen(e.compose(parts), width);
    };
  }

  /**
   * How each register of a load is read in codes, where the tensor is stored in such and is read in whole registers.
   */
  codes(op: Op & { op: "load" }): ((at: readonly number[]) => Codes) | undefined {
    const { program, schedule, r, loads, definitions } = this.#c;
    const site = siteOf(op);
    if (!loads.coded(op.param) || r.width(op.axes) !== 4) return undefined;
    if (wideness(program, schedule, definitions, site) === 1) return undefined;
    const strides = stridesOf(program, op.param);
    return (at) => {
      const { address, offset } = this.address(site, op.axes, at, strides, true);
      return loads.loadCodes(op.param, address, offset);
    };
  }
}
