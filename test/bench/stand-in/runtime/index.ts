/** A runtime without a GPU, for checkouts that are driven by the benchmark's tests. */
import { note, standIn } from "../said.ts";

export interface FakeGpu {
  readonly capabilities: Readonly<Record<"name" | "vendor" | "kind" | "description" | "featureLevel", string>>;
  wait(): Promise<void>;
  close(): Promise<void>;
}

export async function open(): Promise<FakeGpu> {
  note("opens");
  const capabilities = { name: standIn.adapter, vendor: "", kind: "software", description: "", featureLevel: "L0" };
  return { capabilities, wait: async () => note("idle"), close: async () => {} };
}
