/**
 * A sequence whose prompt was read joins the batch: its state is copied into a row. One recorded plan serves all rows, so joining makes nothing new.
 */

import { guarded } from "../../runtime/device/scopes.ts";
import type { DeviceTensor, Maker, Plan } from "../../runtime/index.ts";
import type { LayerState } from "../cache/state.ts";
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
    await guarded(device, "rows at rest", () => rows.own.feed.write(feed));
    const plan = await gpu.record("join", () => {
      for (const [i, from] of guest.state.layers.entries()) {
        const into = rows.state.layers[i] as LayerState;
        k.moveCache(from.k, from.v, guest.state.positions, i, to, into.k, into.v, rows.state.positions);
      }
      const [a, b] = [guest.own, rows.own];
      k.moveRow(a.feed, a.settings, a.stops, guest.state.free, to, b.feed, b.settings, b.stops, rows.state.free);
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
        guest.own.feed.write([1], RESTS);
        this.run(0, 0);
        rows.own.feed.write([0], POSITION);
      },
    };
  }

  destroy(): void {
    this.#plan.destroy();
  }
}
