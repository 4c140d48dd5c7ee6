/** Writes the `compiled.json` of the built-in kernels: run it after changing a kernel or the front half of the compiler. */
import { writeFileSync } from "node:fs";
import { shippedText } from "../compiler/ship.ts";
import { builtIns } from "../models/builtins.ts";

for (const { url, names } of builtIns()) {
  const target = new URL("./compiled.json", url);
  const text = shippedText(url, names);
  writeFileSync(target, text);
  console.log(`${target.pathname.split("/").slice(-3).join("/")}: ${names.length} kernels, ${text.length} bytes`);
}
