/**
 * Runs a program as if it had been started itself, and writes the CPU milliseconds of its process to a file when it
 * ends: `node meter.mjs FILE PROGRAM ARGUMENTS…`. Plain JavaScript, because it runs before anything of the program
 * does.
 */
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [self, , file, program, ...args] = process.argv;
process.argv = [self, program, ...args];
process.on("exit", () => {
  const { user, system } = process.cpuUsage();
  writeFileSync(file, String((user + system) / 1000));
});
await import(pathToFileURL(program).href);
