/** `tilestate adapters`: the adapters that are there, what they can do and what they are like. */
import type { Command } from "commander";
import type { Listed } from "../../runtime/adapters/list.ts";
import { type Context, printJson } from "../support/context.ts";
import { bytes } from "../support/format.ts";
import { examples, jsonOption } from "../support/options.ts";

export function configure(command: Command, context: Context): void {
  examples(command, ["tilestate adapters", "tilestate adapters --json"])
    .addOption(jsonOption())
    .action((options: { json?: boolean }) => adapters(options, context));
}

async function adapters(options: { json?: boolean }, { io }: Context): Promise<void> {
  const { listAdapters } = await import("../../runtime/adapters/list.ts");
  const found = await listAdapters();
  if (options.json) return printJson(io, { adapters: found });
  for (const [i, one] of found.entries()) io.out(`${i === 0 ? "" : "\n"}${linesOf(one).join("\n")}\n`);
}

function linesOf(one: Listed): string[] {
  if ("problem" in one) return [`${one.name}: ${one.problem}`];
  const { kind, description, featureLevel, profile, subgroups, f16, limits, traits } = one.capabilities;
  const lanes =
    subgroups === undefined
      ? "no subgroups"
      : `subgroups of ${subgroups.min === subgroups.max ? subgroups.min : `${subgroups.min} to ${subgroups.max}`}`;
  const lines: [string, string][] = [
    ["driver", `${description || "unnamed"} (${one.origin})`],
    ["kind", `${kind === "unknown" ? "GPU" : kind}, schedules for ${profile === "gpu" ? "GPUs" : "software adapters"}`],
    ["features", `feature level ${featureLevel}, ${lanes}, ${f16 ? "f16" : "no f16"}`],
    ["binding", `${bytes(limits.bindingBytes)}, ${limits.storageBuffers} a kernel`],
    ["workgroup", `${limits.workgroupInvocations} invocations, ${bytes(limits.workgroupBytes)}`],
    ["traits", ""],
    ...Object.entries(traits).map(([trait, value]): [string, string] => [`  ${trait}`, shown(value)]),
  ];
  return [one.name, ...lines.map(([name, text]) => `  ${name.padEnd(20)} ${text}`.trimEnd())];
}

function shown(value: unknown): string {
  return value === true ? "yes" : value === false ? "no" : value === undefined ? "no limit" : String(value);
}
