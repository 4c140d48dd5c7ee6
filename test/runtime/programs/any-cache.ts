/**
 * Runs a kernel of the file given on the adapter named, and prints how it was come by and what it computed: for caches
 * that are not as they should be.
 */
import process from "node:process";
import { loadPrograms } from "../../../compiler/index.ts";
import { open } from "../../../runtime/index.ts";

const [url = "", adapter = ""] = process.argv.slice(2);
const { way } = await loadPrograms(url, ["scale"]);
const gpu = await open({ adapter });
const { scale } = await gpu.kernels({ url }, { scale: (..._: unknown[]): void => {} });
const x = gpu.tensor([4], "f32", { data: [1, 2, 3, 4] });
const y = gpu.tensor([4]);
(scale as (...args: unknown[]) => void)(x, y);
console.log(JSON.stringify({ way, y: [...(await y.read())] }));
await gpu.close();
