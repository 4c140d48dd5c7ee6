/**
 * Powers: products where the exponent is a whole number known while compiling, and otherwise for positive bases only.
 *
 * WGSL defines `pow` through logarithms, and what adapters make of a negative base differs.
 */

import type { Span } from "../../host/source-text.ts";
import type { Builder, TileItem } from "../../ir/tile/builder.ts";

/** `base ** exponent`, as f32. */
export function power(b: Builder, base: TileItem, exponent: TileItem, span: Span): TileItem {
  if (base.is === "weak" && exponent.is === "weak") return b.binary("pow", base, exponent, span);
  if (exponent.is === "weak" && Number.isInteger(exponent.value)) return whole(b, base, exponent.value, span);
  if (base.is === "weak" && base.value < 0)
    return b.fail(
      "TS-205",
      `${base.value} to the power of a number that is not known yet`,
      span,
      "powers are defined for positive bases, and for others where the exponent is a whole number known when compiling",
    );
  return b.binary("pow", base, exponent, span);
}

/** Repeated squaring, and 1 over that for a negative exponent: right for any base, on any adapter. */
function whole(b: Builder, base: TileItem, exponent: number, span: Span): TileItem {
  const x = b.as(base, "f32", span);
  if (exponent === 0) return { is: "tile", value: b.splat(b.constant(1, "f32", span), x.axes, span) };
  let product: TileItem | undefined;
  let square: TileItem = { is: "tile", value: x };
  for (let rest = Math.abs(exponent); ; square = b.binary("mul", square, square, span)) {
    if (rest % 2 === 1) product = product === undefined ? square : b.binary("mul", product, square, span);
    rest = Math.floor(rest / 2);
    if (rest === 0) break;
  }
  const made = product as TileItem;
  return exponent < 0 ? b.binary("div", { is: "weak", value: 1 }, made, span) : made;
}
