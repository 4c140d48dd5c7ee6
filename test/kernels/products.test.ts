/** Products of matrices: workgroup tiles run on both adapters, those of matrix units are compiled by Dawn's null backend. */
import { describe, test } from "vitest";
import { distances, gated, heads, rowsByColumns, rowsByRows, turned, twice } from "../support/products.ts";
import { kernelsOf } from "./harness.ts";

const { check } = kernelsOf(import.meta, { distances, gated, heads, rowsByColumns, rowsByRows, turned, twice });

describe("products of matrices", () => {
  test.each([
    [16, 16, 16],
    [33, 66, 37],
    [70, 130, 24],
  ])("a · bᵀ, a · b and aᵀ · b of %i x %i, %i deep", async (m, n, k) => {
    for (const name of ["rowsByRows", "rowsByColumns", "turned"] as const)
      await check(name, { sizes: { m, n, k }, tolerance: 1e-5 });
  });
});
