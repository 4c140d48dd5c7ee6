/** Read-back: the bytes of a mapped buffer, once the work that writes it is done. */
import type { Verdict } from "./failures.ts";
import { owned, type Scoped } from "./scopes.ts";
import { blame, type Paced, patiently, type Waitable } from "./wait.ts";

const MAP_READ = 1;

/**
 * Copies `bytes` (a multiple of 4) out of a MAP_READ buffer into which submitted work writes, and leaves the buffer
 * unmapped.
 * @param failure looks for what went wrong with that work. Nobody else's failure is thrown.
 * @throws that failure, what belongs to everybody, and when the device was lost.
 */
export async function readBack(
  device: Waitable & Scoped,
  staging: GPUBuffer,
  bytes: number,
  work: string | Paced = "readBack",
  failure: () => Verdict = async () => undefined,
): Promise<ArrayBuffer> {
  device.assertOpen();
  return device.failures.listening(async (ear) => {
    let mapping: Verdict = Promise.resolve(undefined);
    const read = async (): Promise<ArrayBuffer> => {
      await patiently(device, work, () => {
        const { value, verdict } = owned(device, "mapping a buffer", () => staging.mapAsync(MAP_READ, 0, bytes));
        mapping = verdict;
        return value;
      });
      const copy = staging.getMappedRange(0, bytes).slice(0);
      staging.unmap();
      return copy;
    };
    const [outcome] = await Promise.allSettled([read()]);
    await blame(
      device,
      ear,
      outcome.status === "rejected" ? outcome.reason : undefined,
      async () => (await failure()) ?? mapping,
    );
    return (outcome as PromiseFulfilledResult<ArrayBuffer>).value;
  });
}
