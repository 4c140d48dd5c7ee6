/**
 * Says how many threads of lavapipe's opening an adapter starts: its rasterizer's, of which it has as many as it
 * computes with, have names.
 */
import { readdirSync, readFileSync } from "node:fs";
import { openDevice } from "../../../runtime/device/device.ts";

const [, , adapter, wish] = process.argv;
const device = await openDevice({
  adapter,
  threads: wish === "auto" ? wish : wish === undefined ? wish : Number(wish),
});
const threads = (): number =>
  readdirSync("/proc/self/task").filter((task) =>
    readFileSync(`/proc/self/task/${task}/comm`, "utf8").startsWith("llvmpipe-"),
  ).length;
// Each names itself once it runs: look until nothing changes any more.
let [started, same] = [threads(), 0];
while (started === 0 || same < 10) {
  await new Promise((wake) => setTimeout(wake, 20));
  const now = threads();
  same = now === started ? same + 1 : 0;
  started = now;
}
console.log(JSON.stringify({ started, asked: process.env.LP_NUM_THREADS ?? "", notes: device.notes }));
await device.close();
