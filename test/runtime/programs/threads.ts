/** Says how many threads of lavapipe's opening an adapter starts: its rasterizer's, of which it has as many as it computes with, have names. */
import { readdirSync, readFileSync } from "node:fs";
import { openDevice } from "../../../runtime/device.ts";

const device = await openDevice({ adapter: process.argv[2] });
const names = readdirSync("/proc/self/task").map((task) => readFileSync(`/proc/self/task/${task}/comm`, "utf8").trim());
const started = names.filter((name) => name.startsWith("llvmpipe-")).length;
console.log(JSON.stringify({ started, asked: process.env.LP_NUM_THREADS ?? "" }));
await device.close();
