/** Opens the adapter that is named and prints what it is like and what its matrix products come to. */
import { open } from "../../../runtime/index.ts";
import { runProducts } from "./products-run.ts";

const gpu = await open({ adapter: process.argv[2] });
const { name, subgroups, traits } = gpu.capabilities;
console.log(JSON.stringify({ name, subgroups, traits, outcomes: await runProducts(gpu) }));
await gpu.close();
