/**
 * A whole life on both Dawns: open, use, close. The test that starts it checks that the process then ends by itself.
 */
import { openDevice } from "../../../runtime/device/device.ts";
import { createTensor } from "../../../runtime/memory/create.ts";

for (const adapter of process.argv.slice(2)) {
  const device = await openDevice({ adapter });
  const tensor = createTensor(device, [3], "f32", { data: [1, 2, 3] });
  console.log(adapter, ...(await tensor.read()));
  await device.close();
}
console.log("closed");
