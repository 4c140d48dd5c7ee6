/** The rooms as a reader finds them: each says what its files are, none is crowded, no file is long. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** Where every folder with source files is a room. */
const TOPS = ["dsl", "compiler", "runtime", "models", "cli"] as const;
/** The folders below one, itself included, with the source files of each. Generated modules are nobody's to read. */
function rooms(top: string): { room: string; files: string[] }[] {
  const entries = readdirSync(join(root, top), { withFileTypes: true });
  const files = entries.filter((e) => e.isFile() && /\.(ts|mjs)$/.test(e.name)).map((e) => e.name);
  const below = entries
    .filter(
      (e) => e.isDirectory() && !["node_modules", "theirs"].includes(e.name) && `${top}/${e.name}` !== "test/fixtures",
    )
    .flatMap((e) => rooms(`${top}/${e.name}`));
  return files.length === 0 ? below : [{ room: top, files }, ...below];
}

/** Rooms whose own README is something else: the room above speaks for them. */
const SPOKEN_FOR: Readonly<Record<string, string>> = { "models/embedded/hearth": "models/embedded" };

const all = TOPS.flatMap(rooms);

describe("a README", () => {
  test.each(all.filter(({ room }) => !(room in SPOKEN_FOR)))("$room", ({ room, files }) => {
    const lines = readFileSync(join(root, room, "README.md"), "utf8")
      .trimEnd()
      .split("\n");
    expect(lines.length).toBeLessThanOrEqual(30);
    expect(lines[0]).toBe(`# ${room}`);
    const text = lines.slice(1).join("\n");
    // A name with a slash lies elsewhere; it has to lie there all the same.
    const named = [...text.matchAll(/`([\w./-]+\.(?:ts|mjs))`/g)].map((m) => m[1] as string);
    for (const name of named.filter((n) => n.includes("/")))
      expect(existsSync(join(root, room, name)) || existsSync(join(root, name)), name).toBe(true);
    expect([...new Set(named.filter((n) => !n.includes("/")))].sort()).toEqual([...files].sort());
    for (const name of files) {
      const sentence = text.split(/\n(?=[-#|\n])|; /).find((s) => s.includes(`\`${name}\``)) ?? "";
      expect(
        sentence.replaceAll(/`[^`]*`/g, "").match(/\p{L}{2,}/gu)?.length ?? 0,
        `${name}: a sentence`,
      ).toBeGreaterThan(1);
    }
  });

  test.each(Object.entries(SPOKEN_FOR))("%s is spoken for by %s", (room, above) => {
    const text = readFileSync(join(root, above, "README.md"), "utf8");
    for (const name of all.find((r) => r.room === room)?.files ?? ["no such room"])
      expect(text).toContain(`\`${room.slice(above.length + 1)}/${name}\``);
  });

  test("is there for every room", () => {
    const without = all.map(({ room }) => room).filter((room) => !existsSync(join(root, room, "README.md")));
    expect(without).toEqual([]);
  });
});

describe("the README answers with a path and a function that is there:", () => {
  test.each([
    ["compiler", "Where a load becomes wide"],
    ["compiler", "Where a softmax's sum leaves a loop"],
    ["compiler", "Where q4 is unpacked"],
    ["models", "Where a victim is chosen"],
  ])("%s: %s", (room, question) => {
    const line = readFileSync(join(root, room, "README.md"), "utf8")
      .split("\n")
      .find((l) => l.includes(`${question}: `));
    const [, path, name] = line?.match(/`([\w./-]+\.ts)`, `(\w+)`/) ?? [];
    expect(path, question).toBeDefined();
    const text = readFileSync(join(root, room, path ?? ""), "utf8");
    expect(text).toMatch(
      new RegExp(`^(export )?(async )?(function|class|const) ${name}\\b|^  (async )?#?${name}\\(`, "m"),
    );
  });
});

describe("size", () => {
  test("no room of the compiler has more than 12 files", () => {
    const crowded = rooms("compiler").filter(({ files }) => files.length > 12);
    expect(crowded.map(({ room, files }) => `${room}: ${files.length}`)).toEqual([]);
  });

  test("no file has more than 400 lines", () => {
    const long = [...TOPS, "test", "bench", "scripts", "examples"].flatMap(rooms).flatMap(({ room, files }) =>
      files
        .filter((name) => name !== "compiled.ts")
        .map((name) => ({
          name: `${room}/${name}`,
          lines: readFileSync(join(root, room, name), "utf8").split("\n").length - 1,
        }))
        .filter(({ lines }) => lines > 400),
    );
    expect(long).toEqual([]);
  });
});
