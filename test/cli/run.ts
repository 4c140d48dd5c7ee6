/** Runs a command in this process and gathers what it said, and reads what commands write. */
import { main } from "../../cli/main.ts";
import { readSafetensors } from "../../models/formats/safetensors.ts";

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function cli(...args: string[]): Promise<Said> {
  return cliWith("", ...args);
}

/** The same with something on standard input. */
export async function cliWith(input: string | Uint8Array, ...args: string[]): Promise<Said> {
  let out = "";
  let err = "";
  const code = await main(args, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    read: async () => (typeof input === "string" ? new TextEncoder().encode(input) : input),
  });
  return { code, out, err };
}

/** The JSON a command printed; fails with what it said where it failed. */
export async function cliJson<T>(...args: string[]): Promise<T> {
  const { code, out, err } = await cli(...args, "--json");
  if (code !== 0) throw new Error(`tilestate ${args.join(" ")} gave ${code}: ${err}`);
  return JSON.parse(out) as T;
}

/** An f32 tensor of a safetensors file. */
export async function tensorOf(path: string, name: string): Promise<{ shape: readonly number[]; data: Float32Array }> {
  const tensor = (await readSafetensors(path)).tensors.get(name);
  if (tensor === undefined) throw new Error(`${path}: no tensor ${name}`);
  const bytes = await tensor.bytes();
  return { shape: tensor.shape, data: new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4) };
}

/** Largest absolute difference of two lists of the same length. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`lengths differ: ${a.length} and ${b.length}`);
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs((a[i] as number) - (b[i] as number));
    // A NaN must not pass as small.
    worst = d <= worst ? worst : d;
  }
  return worst;
}
