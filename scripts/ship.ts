/**
 * Writes the `compiled.ts` of the built-in kernels, and the page of their numbers: run it after changing a kernel or
 * the front half of the compiler.
 */
import { writeFileSync } from "node:fs";
import { shippedText } from "../compiler/artefacts/build-shipped.ts";
import { builtIns } from "../models/builtins.ts";
import { writeKernelsTable } from "./kernels-table.ts";

for (const { names, compiled, ...module } of builtIns()) {
  const text = shippedText(module, names);
  writeFileSync(compiled, text);
  console.log(`${compiled.pathname.split("/").slice(-3).join("/")}: ${names.length} kernels, ${text.length} bytes`);
}
await writeKernelsTable();
