/**
 * A sequence whose prompt was read joins the batch: its state is copied into a row. One recorded plan serves all rows,
 * so joining makes nothing new.
 */

import { guarded } from "../../runtime/device/scopes.ts";
import type { DeviceTensor, Maker, Plan } from "../../runtime/index.ts";
import type { LayerGroup, LayerState } from "../cache/state.ts";
import { FEED, POSITION, RESTS, ROW, SEQUENCE, TICK } from "../kernels/feed.ts";
import type { Model, Rows } from "./record.ts";
import type { WarmPart } from "./warm.ts";

export class Join {
  readonly #plan: Plan;
  readonly #to: DeviceTensor;

  private constructor(plan: Plan, to: DeviceTensor) {
    this.#plan = plan;
    this.#to = to;
  }

  /** Records the copy from the one sequence of `guest` to a row of `rows`, and puts all rows at rest. */
  static async make({ gpu, k }: Model, maker: Maker, guest: Rows, rows: Rows): Promise<Join> {
    const { device } = gpu;
    const to = await guarded(device, "joining", () => maker.tensor([1, FEED], "u32", { label: "where to join" }));
    const feed = new Uint32Array(rows.state.sequences * FEED);
    for (let row = 0; row < rows.state.sequences; row++) {
      feed[row * FEED + SEQUENCE] = row;
      feed[row * FEED + ROW] = row;
      feed[row * FEED + RESTS] = 1;
    }
    await guarded(device, "rows at rest", () => rows.state.feed.write(feed));
    const plan = await gpu.record("join", () => {
      const [a, b] = [guest.state, rows.state];
      for (const [i, from] of a.layers.entries()) {
        const into = b.layers[i] as LayerState;
        k.moveCache(from.k, from.v, from.group.positions, from.index, to, into.k, into.v, into.group.positions);
      }
      for (const [i, from] of a.groups.entries()) {
        const into = b.groups[i] as LayerGroup;
        if (from.memory !== undefined && into.memory !== undefined) k.moveMemory(from.memory, to, into.memory);
        if (i > 0) k.moveFree(from.free, to, into.free);
      }
      k.moveRow(a.feed, a.settings, a.stops, a.groups[0].free, to, b.feed, b.settings, b.stops, b.groups[0].free);
    });
    return new Join(plan, to);
  }

  /** Copies into `row`, whose steps are counted from `tick`. */
  run(row: number, tick: number): void {
    this.#to.write([row], SEQUENCE);
    this.#to.write([tick], TICK);
    this.#plan.run();
  }

  /** What warming up does with it: the guest joins as a sequence at rest, and leaves. */
  part(guest: Rows, rows: Rows): WarmPart {
    return {
      name: "joining the batch",
      make: async () => this.#plan,
      run: () => {
        guest.state.feed.write([1], RESTS);
        this.run(0, 0);
        rows.state.feed.write([0], POSITION);
      },
    };
  }

  destroy(): void {
    this.#plan.destroy();
  }
}
