/**
 * Holds every import of the repository to the table of rooms, types included: `npm run check` runs it.
 *
 * The graph is dependency-cruiser's, read from the source before types are erased.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cruise, type ICruiseResult, type IForbiddenRuleType } from "dependency-cruiser";
import { OUTSIDE, ROOMS, type Room } from "./table.ts";

/** One import that a rule forbids: `RULE: FILE -> FILE`. */
export type Violation = string;

/** The files of each room as a regular expression: one file, or those of a folder that are in no room of their own. */
function filesOf(rooms: readonly Room[]): (room: string) => string {
  const escaped = (name: string): string => name.replaceAll(".", "\\.");
  const single = rooms.flatMap(({ room }) => (room.endsWith(".ts") ? [room] : []));
  return (room) => {
    if (OUTSIDE.includes(room)) return `^${room}/`;
    if (room.endsWith(".ts")) return `^${escaped(room)}$`;
    const apart = single.filter((file) => file.slice(0, file.lastIndexOf("/")) === room);
    const names = apart.map((file) => `${escaped(file.slice(room.length + 1))}$`);
    return `^${room}/${names.length === 0 ? "" : `(?!${names.join("|")})`}[^/]+$`;
  };
}

/**
 * The rules that the table says. Throws where a room names one that does not stand above it, for then the table itself
 * may hold a circle.
 */
export function rulesOf(rooms: readonly Room[]): IForbiddenRuleType[] {
  const files = filesOf(rooms);
  const tops = [...new Set([...rooms.map(({ room }) => room.split("/")[0] as string), ...OUTSIDE])];
  const ours = `^(${tops.join("|")})/`;
  const seen = new Set<string>(OUTSIDE);
  const rules = rooms.flatMap(({ room, imports, types = [] }): IForbiddenRuleType[] => {
    for (const other of [...imports, ...types])
      if (!seen.has(other))
        throw new Error(`rooms: ${room} imports ${other}, which does not stand above it in the table`);
    seen.add(room);
    const from = { path: files(room) };
    const allowed = [room, ...imports, ...types].map(files);
    return [
      {
        name: `${room} imports only what the table says`,
        severity: "error",
        from,
        to: { path: ours, pathNot: allowed },
      },
      ...(types.length === 0
        ? []
        : [
            {
              name: `${room} takes only types from there`,
              severity: "error" as const,
              from,
              to: { path: types.map(files), dependencyTypesNot: ["type-only" as const] },
            },
          ]),
    ];
  });
  return [
    ...rules,
    { name: "no circle", severity: "error", from: {}, to: { circular: true } },
    {
      name: "only models/io knows Node",
      severity: "error",
      from: { path: "^models/", pathNot: "^models/io/" },
      to: { dependencyTypes: ["core"], dependencyTypesNot: ["type-only"] },
    },
    {
      name: "ts-morph stays behind compiler/frontend/read",
      severity: "error",
      from: { path: "^(dsl|compiler|runtime|models|cli)/", pathNot: "^compiler/frontend/read/" },
      to: { path: "node_modules/(ts-morph|@ts-morph|typescript)/" },
    },
  ];
}

/** What the files of a checkout do against the rules, sorted. */
export async function violationsIn(root: string, rooms: readonly Room[] = ROOMS): Promise<Violation[]> {
  const tops = [...new Set(rooms.map(({ room }) => room.split("/")[0] as string))];
  const { output } = await cruise(
    [...tops, ...OUTSIDE].filter((top) => existsSync(join(root, top))),
    {
      baseDir: root,
      ruleSet: { forbidden: rulesOf(rooms) },
      validate: true,
      tsPreCompilationDeps: true,
      doNotFollow: { path: "node_modules" },
      // What comparisons with other programs bring along is not ours.
      exclude: { path: "^bench/peers/(theirs|node_modules)/" },
    },
    { extensions: [".ts", ".mts", ".mjs", ".js", ".json"] },
  );
  const { modules, summary } = output as ICruiseResult;
  const forbidden = summary.violations.map(({ rule, from, to, cycle }) => {
    const way = cycle === undefined ? to : cycle.map((step) => step.name).join(" -> ");
    return `${rule.name}: ${from} -> ${way}`;
  });
  const files = filesOf(rooms);
  const known = rooms.map(({ room }) => new RegExp(files(room)));
  const roomless = modules
    .map(({ source }) => source)
    .filter((file) => tops.some((top) => file.startsWith(`${top}/`)) && !known.some((room) => room.test(file)))
    .map((file) => `every file is in a room of the table: ${file}`);
  return [...new Set([...forbidden, ...roomless])].sort();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const found = await violationsIn(fileURLToPath(new URL("../../", import.meta.url)));
  for (const violation of found) console.error(violation);
  if (found.length > 0) {
    console.error(`${found.length} imports go where scripts/rooms/table.ts lets none go`);
    process.exitCode = 1;
  }
}
