/**
 * The rooms of the repository and which of them each may import, types included. `npm run check` holds every import to
 * this table (check.ts).
 *
 * A room is a folder with its own files (not those of folders in it), or one file by its name. Rooms stand below those
 * that import them: each names only rooms of lines above its own, so that no circle of rooms can be written down here.
 */

export interface Room {
  readonly room: string;
  /** Rooms whose files it may import. */
  readonly imports: readonly string[];
  /** Rooms of which it may import types alone: nothing that computes. */
  readonly types?: readonly string[];
}

/** The table of storage formats, which all read who have to do with tensors. */
const FORMATS = "compiler/ir/formats.ts";
const IR = [FORMATS, "compiler/ir", "compiler/ir/tile", "compiler/ir/lane"] as const;
const FRONT = ["compiler/frontend/syntax.ts", "compiler/frontend/print-syntax.ts"] as const;
const BACK = [
  "compiler/passes",
  "compiler/schedule",
  "compiler/lower",
  "compiler/lane-passes",
  "compiler/bindings",
  "compiler/wgsl",
  "compiler/pipeline-types.ts",
] as const;
const RUNTIME = [
  "runtime/common",
  "runtime/adapters",
  "runtime/device",
  "runtime/memory",
  "runtime/kernels",
  "runtime/plans",
] as const;

/** Every room, from the bottom up. */
export const ROOMS: readonly Room[] = [
  { room: "dsl", imports: [] },

  // The compiler, from what everything stands on to its doors.
  { room: "compiler/host", imports: [] },
  { room: FORMATS, imports: ["dsl"] },
  { room: "compiler/ir", imports: [FORMATS] },
  { room: "compiler/ir/tile", imports: ["compiler/host", FORMATS, "compiler/ir"] },
  { room: "compiler/ir/lane", imports: [FORMATS, "compiler/ir"] },
  // An oracle that computed with what it judges would agree with its mistakes.
  { room: "compiler/oracle", imports: [], types: [...IR] },
  { room: "compiler/oracle/simulate", imports: ["compiler/oracle"], types: [...IR] },
  { room: "compiler/passes/analysis", imports: ["compiler/ir/tile"] },
  {
    room: "compiler/passes",
    imports: ["compiler/host", "compiler/ir", "compiler/ir/tile", "compiler/passes/analysis"],
  },
  { room: "compiler/frontend/syntax.ts", imports: ["compiler/host"] },
  { room: "compiler/frontend/print-syntax.ts", imports: ["compiler/frontend/syntax.ts"] },
  { room: "compiler/frontend/read", imports: ["compiler/host", "compiler/frontend/syntax.ts"] },
  {
    room: "compiler/frontend/lower",
    imports: [
      "compiler/host",
      FORMATS,
      "compiler/ir",
      "compiler/ir/tile",
      "compiler/frontend/syntax.ts",
      "compiler/frontend/read",
    ],
  },
  { room: "compiler/frontend/races", imports: ["compiler/host", "compiler/ir/tile", "compiler/passes/analysis"] },
  {
    room: "compiler/frontend",
    imports: [
      "compiler/host",
      "compiler/ir/tile",
      ...FRONT,
      "compiler/frontend/read",
      "compiler/frontend/lower",
      "compiler/frontend/races",
    ],
  },
  { room: "compiler/schedule", imports: ["compiler/host", ...IR, "compiler/passes/analysis"] },
  {
    room: "compiler/lower/memory",
    imports: ["compiler/host", ...IR, "compiler/passes/analysis", "compiler/schedule"],
  },
  {
    room: "compiler/lower",
    imports: ["compiler/host", ...IR, "compiler/passes/analysis", "compiler/schedule", "compiler/lower/memory"],
  },
  { room: "compiler/lane-passes", imports: ["compiler/ir/lane"] },
  { room: "compiler/bindings", imports: [FORMATS, "compiler/ir", "compiler/ir/lane"] },
  { room: "compiler/wgsl", imports: [FORMATS, "compiler/ir", "compiler/ir/lane"] },
  { room: "compiler/pipeline-types.ts", imports: [...IR, "compiler/schedule"] },
  {
    room: "compiler/debug",
    imports: [
      "compiler/host",
      ...IR,
      "compiler/passes/analysis",
      "compiler/schedule",
      "compiler/wgsl",
      "compiler/pipeline-types.ts",
      "compiler/frontend/print-syntax.ts",
    ],
  },
  {
    room: "compiler/artefacts",
    imports: [
      "compiler/host",
      "compiler/ir/tile",
      "compiler/frontend/syntax.ts",
      "compiler/frontend/read",
      "compiler/frontend",
      "compiler/debug",
    ],
  },
  {
    room: "compiler",
    imports: [
      "compiler/host",
      ...IR,
      "compiler/oracle",
      ...BACK,
      "compiler/debug",
      "compiler/frontend/syntax.ts",
      "compiler/artefacts",
    ],
  },

  { room: "runtime/common", imports: ["compiler/host"] },
  { room: "runtime/adapters", imports: ["compiler", "runtime/common"] },
  { room: "runtime/device", imports: ["runtime/common", "runtime/adapters"] },
  { room: "runtime/memory", imports: ["compiler", FORMATS, "runtime/common", "runtime/device"] },
  {
    room: "runtime/kernels",
    imports: ["dsl", "compiler", FORMATS, "runtime/common", "runtime/device", "runtime/memory"],
  },
  {
    room: "runtime/plans",
    imports: ["compiler", "runtime/common", "runtime/device", "runtime/memory", "runtime/kernels"],
  },
  { room: "runtime/tuning", imports: ["compiler", ...RUNTIME] },
  { room: "runtime", imports: ["compiler", ...RUNTIME, "runtime/tuning"] },

  { room: "models/io", imports: ["runtime/common"] },
  { room: "models/config", imports: ["runtime/common"] },
  { room: "models/config/families", imports: ["models/config"] },
  { room: "models/tokenizers", imports: ["runtime/common", "models/io"] },
  {
    room: "models/weights",
    imports: [
      FORMATS,
      "runtime",
      "runtime/common",
      "runtime/device",
      "runtime/memory",
      "models/config",
      "models/tokenizers",
    ],
  },
  {
    room: "models/formats",
    imports: [
      "runtime/common",
      "runtime/memory",
      "models/io",
      "models/config",
      "models/config/families",
      "models/tokenizers",
      "models/weights",
    ],
  },
  { room: "models/embedded/hearth", imports: ["models/io", "models/weights", "models/formats"] },
  { room: "models/kernels", imports: ["dsl", "compiler"] },
  { room: "models/cache/policies", imports: ["dsl", "compiler", "models/kernels"] },
  {
    room: "models/cache",
    imports: [
      "dsl",
      "compiler",
      "runtime",
      "runtime/common",
      "models/config",
      "models/kernels",
      "models/cache/policies",
    ],
  },
  {
    room: "models/blocks",
    imports: ["runtime", "runtime/common", "models/config", "models/weights", "models/kernels"],
  },
  {
    room: "models/decode",
    imports: [
      "runtime",
      "runtime/common",
      "runtime/device",
      "runtime/memory",
      "models/config",
      "models/weights",
      "models/kernels",
      "models/cache",
      "models/blocks",
    ],
  },
  {
    room: "models/eval",
    imports: [
      "runtime",
      "runtime/common",
      "models/io",
      "models/tokenizers",
      "models/kernels",
      "models/cache",
      "models/blocks",
      "models/decode",
    ],
  },
  {
    room: "models",
    imports: [
      "compiler",
      "runtime/common",
      "models/io",
      "models/config",
      "models/config/families",
      "models/tokenizers",
      "models/weights",
      "models/formats",
      "models/embedded/hearth",
      "models/kernels",
      "models/cache/policies",
      "models/cache",
      "models/decode",
    ],
  },

  { room: "cli/support", imports: [FORMATS, "runtime", "runtime/common", "models", "models/eval"] },
  { room: "cli/bench", imports: ["bench", "cli/support", "runtime", "runtime/common", "models"] },
  {
    room: "cli/kernels",
    imports: [
      "compiler",
      "compiler/host",
      "compiler/frontend/read",
      "runtime",
      "runtime/common",
      "runtime/adapters",
      "runtime/tuning",
      "models/kernels",
      "models/cache",
      "cli/support",
    ],
  },
  { room: "cli/warm", imports: ["compiler", "runtime", "runtime/adapters"] },
  { room: "cli/demo", imports: ["runtime", "models", "models/eval", "cli/support"] },
  {
    room: "cli/commands",
    imports: [
      "compiler",
      FORMATS,
      "compiler/host",
      "compiler/debug",
      "compiler/frontend/print-syntax.ts",
      "compiler/frontend/read",
      "runtime",
      "runtime/common",
      "runtime/adapters",
      "runtime/memory",
      "models",
      "models/embedded/hearth",
      "models/eval",
      "models/formats",
      "cli/support",
      "cli/bench",
      "cli/kernels",
      "cli/warm",
      "cli/demo",
    ],
  },
  { room: "cli", imports: ["compiler/host", "runtime/common", "cli/support", "cli/commands"] },
];

/**
 * What has no rooms of its own, and may import all rooms that no line of the table forbids it. Circles are refused
 * here, too.
 */
export const OUTSIDE: readonly string[] = ["bench", "scripts", "examples"];
