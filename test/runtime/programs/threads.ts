/** Says how many threads opening an adapter starts. */
import { readdirSync } from "node:fs";
import { openDevice } from "../../../runtime/device.ts";

const threads = (): number => readdirSync("/proc/self/task").length;
const before = threads();
const device = await openDevice({ adapter: process.argv[2] });
console.log(JSON.stringify({ started: threads() - before, asked: process.env.LP_NUM_THREADS ?? "" }));
await device.close();
