/**
 * `node stats.mjs < FILE`, where FILE is what a run with STATS=1 said on stderr: a table of what the GPU's compiler
 * made of each kernel, in the order of compilation. Latency and inverse throughput are the compiler's own estimates in
 * cycles for one subgroup; it takes every loop for 8 turns, so only kernels of one shape compare.
 */
import { readFileSync } from "node:fs";

const WANTED = ["VGPRs", "Spilled VGPRs", "Code size", "LDS size", "Subgroups per SIMD", "Instructions", "Latency"];
const MORE = ["Inverse Throughput", "VALU", "SALU", "VMEM", "SMEM"];

const rows = [];
for (const line of readFileSync(0, "utf8").split("\n")) {
  if (line.includes("SHADER STATS")) rows.push({});
  const [, what, count] = /^([A-Z][A-Za-z ]+): (\d+)$/.exec(line) ?? [];
  const row = rows.at(-1);
  if (row !== undefined && [...WANTED, ...MORE].includes(what)) row[what] = Number(count);
}
console.table(rows);
