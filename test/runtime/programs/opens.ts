/** Opens the adapter named and prints what it is, or what the error says. */
import process from "node:process";
import { open } from "../../../runtime/index.ts";

try {
  const gpu = await open({ adapter: process.argv[2] });
  console.log(JSON.stringify({ name: gpu.capabilities.name, origin: gpu.device.origin }));
  console.error("said by the program");
  await gpu.close();
} catch (error) {
  const { message, hint } = error as { readonly message: string; readonly hint?: string };
  console.log(JSON.stringify({ message, hint }));
}
