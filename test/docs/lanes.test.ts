/**
 * The layouts that docs/lanes.md shows are the ones that the compiler makes: each block is printed again from its
 * command line and compared.
 */
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { sizesOf, storageOf, TARGETS } from "../../cli/kernels/targets.ts";
import { type BoundStage, stageText } from "../../compiler/debug/dump.ts";
import { compileFile } from "../../compiler/frontend/index.ts";
import { generate } from "../../compiler/index.ts";
import { blocksOf } from "./blocks.ts";

const shown = blocksOf("lanes.md").filter((b) => b.language === "text");

/** What the command prints, put together from the functions behind it. */
function printed(command: string): string {
  const words = command.split(" ");
  const name = words[words.indexOf("show") + 1] ?? "";
  const all = (option: string): string[] => words.filter((_, i) => words[i - 1] === option);
  const pairs = (option: string): [string, string][] => all(option).map((p) => p.split("=") as [string, string]);
  const file = fileURLToPath(new URL(`../../${all("--file")[0]}`, import.meta.url));
  const program = compileFile(file, [name]).programs[0];
  const target = TARGETS[all("--target")[0] ?? ""];
  if (program === undefined || target === undefined) throw new Error(`cannot show: ${command}`);
  const sizes = sizesOf(program, Object.fromEntries(pairs("--size").map(([dim, n]) => [dim, Number(n)])));
  const storage = storageOf(program, Object.fromEntries(pairs("--storage")));
  const made = generate(program, { sizes, storage, cells: [] }, target);
  return all("--part")
    .map((part) => stageText(part as BoundStage, made).trimEnd())
    .join("\n\n");
}

describe.each(shown)("lanes.md:$line", ({ text }) => {
  test("shows what the compiler makes", () => {
    const [command = "", ...rest] = text.split("\n");
    expect(command).toMatch(/^\$ tilestate kernels show /);
    expect(rest.join("\n")).toBe(printed(command));
  });
});

test("the page shows three kernels, both profiles, and the lowest and the highest feature level", () => {
  const commands = shown.map((b) => b.text.split("\n")[0] ?? "");
  for (const part of ["matvec", "flash", "matmul", "lavapipe", "--target gpu", "--target L0", "--target L4"]) {
    expect(
      commands.some((c) => c.includes(part)),
      part,
    ).toBe(true);
  }
});
