/** The list of adapters: every one that can be opened here, the embedded one included, with its description. */
import { onServer } from "../common/env.ts";
import { type Capabilities, describeAdapter } from "./capabilities.ts";
import { adapterNames, type Dawn, type Origin, openDawn } from "./dawn.ts";

/** An adapter that can be opened, or why one that is named cannot. */
export type Listed =
  | { readonly name: string; readonly origin: Origin; readonly capabilities: Capabilities }
  | { readonly name: string; readonly problem: string };

/**
 * Looks at every adapter without making a device.
 * @throws UserError where Dawn itself is missing.
 */
export async function listAdapters(): Promise<Listed[]> {
  const wanted = onServer() ? [...(await adapterNames(undefined)), "swiftshader"] : ["native"];
  const found: Listed[] = [];
  for (const name of wanted) found.push(await look(name));
  return found;
}

async function look(name: string): Promise<Listed> {
  let dawn: Dawn;
  try {
    dawn = await openDawn({ adapter: name });
  } catch (error) {
    return { name, problem: (error as Error).message };
  }
  const { adapter, origin } = dawn;
  const capabilities = describeAdapter(adapter);
  dawn.release();
  return { name: capabilities.name, origin, capabilities };
}
