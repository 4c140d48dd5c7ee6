/**
 * Loads kernels of the file given, or built-in ones, and says how they were come by and whether the front end was
 * loaded for it.
 */
import { createRequire } from "node:module";
import process from "node:process";
import { loadPrograms } from "../../../compiler/index.ts";
import { KERNELS } from "../../../models/kernels/module.ts";

const [url = "", ...names] = process.argv.slice(2);
const start = performance.now();
const { way, programs } = await loadPrograms(url === "built-in" ? KERNELS : url, names);
const ms = performance.now() - start;
const loaded = Object.keys(createRequire(import.meta.url).cache ?? {}).filter((k) => /[\\/]ts-morph[\\/]/.test(k));
console.log(JSON.stringify({ way, names: [...programs.keys()], frontEnd: loaded.length > 0, ms }));
