/**
 * Waiting for a promise of Dawn's without burning a core.
 *
 * Its Node binding asks for events in every turn of the event loop while one of its promises is pending. On a software
 * adapter that takes a core from the kernels, a handicap which the peer would have for reasons that are not its own; so
 * the loop turns only every half millisecond.
 */
const STEP_MS = 0.5;
const idle: Int32Array = new Int32Array(new SharedArrayBuffer(4));

export async function patiently<T>(promise: Promise<T>): Promise<T> {
  let settled = false;
  const mark = (): void => {
    settled = true;
  };
  promise.then(mark, mark);
  while (!settled) {
    Atomics.wait(idle, 0, 0, STEP_MS);
    await new Promise<void>((turn) => void setImmediate(turn));
  }
  return promise;
}
