/**
 * One-dimensional convolution with several channels and zero padding at both ends ("same": as many steps out as in).
 *
 * Written as the sum it is, over the channels that go in and the taps of the filter. Steps outside the signal are asked
 * for at its edge and counted as zero.
 */
import { block, cast, max, min, program, range, select, size, type Tensor } from "tilestate/dsl";

/** y [outputs, steps] = bias + w [outputs, inputs, taps] slid over x [inputs, steps]. */
export function conv1d(
  x: Tensor<"inputs steps">,
  w: Tensor<"outputs inputs taps">,
  bias: Tensor<"outputs">,
  y: Tensor<"outputs steps">,
): void {
  const o = program("outputs");
  const t = block("steps");
  const left = cast((size("taps") - 1) >> 1, "i32");
  const last = cast(size("steps"), "i32") - 1;
  let acc = bias.at(o);
  for (const tap of range(size("taps"))) {
    const from = cast(t, "i32") + cast(tap, "i32") - left;
    const inside = from >= 0 && from <= last;
    const at = min(max(from, 0), last);
    for (const c of range(size("inputs"))) acc += select(inside, x.at(c, at) * w.at(o, c, tap), 0);
  }
  y.set([o, t], acc);
}
