/**
 * A worker that reads without end, and how it is ended: the main thread asks it to close its GPU, waits for the word
 * that it did, and only then terminates it. Dawn ends the process when a thread goes away that it still owes an answer.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { open } from "../../../runtime/index.ts";

if (isMainThread) {
  // Older Nodes run TypeScript in workers only after tsx was told to.
  const boot = `import("tsx/esm/api").then(({ register }) => (register(), import(${JSON.stringify(import.meta.url)})))`;
  const plain = "Bun" in globalThis || "Deno" in globalThis;
  const worker = plain
    ? new Worker(new URL(import.meta.url), { workerData: process.argv[2] })
    : new Worker(boot, { eval: true, workerData: process.argv[2] });
  await new Promise((resolve) => worker.once("message", resolve));
  worker.postMessage("close");
  const last = await new Promise((resolve) => worker.once("message", resolve));
  await worker.terminate();
  console.log(last);
  // The process goes on to work with a GPU of its own.
  const gpu = await open({ adapter: process.argv[2] });
  console.log(...(await gpu.tensor([2], "f32", { data: [1, 2] }).read()));
  await gpu.close();
} else {
  const gpu = await open({ adapter: workerData as string });
  const x = gpu.tensor([1 << 20], "f32");
  let reads = 0;
  parentPort?.once("message", async () => {
    // Reads that are pending throw; when this comes back, nothing is under way any more.
    await gpu.close();
    parentPort?.postMessage("closed with reads pending");
  });
  const read = async (): Promise<void> => {
    for (;;) {
      await x.read();
      if (++reads === 3) parentPort?.postMessage("reading");
    }
  };
  await Promise.allSettled([read(), read(), read()]);
}
