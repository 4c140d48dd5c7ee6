/** The fuzzer in several processes: each takes a part of the programs, and what they find is added up. */
import { spawn } from "node:child_process";

const LAST = /^(\d+) programs, (\d+) differences$/;

/**
 * Runs `jobs` copies of this program, told by `--from` and `--programs` which part is theirs; what they print is passed
 * on, but for their last lines.
 * @throws Error when one of them ends without saying what it found.
 */
export async function inJobs(jobs: number, programs: number, batch: number, args: readonly string[]): Promise<number> {
  // Whole batches, so that the parts are those of one process.
  const each = Math.ceil(programs / jobs / batch) * batch;
  const parts = Array.from({ length: jobs }, (_, i) => ({
    from: i * each,
    programs: Math.min(each, programs - i * each),
  })).filter((p) => p.programs > 0);
  const found = await Promise.all(
    parts.map((p) => run([...args, "--from", `${p.from}`, "--programs", `${p.programs}`])),
  );
  return found.reduce((a, b) => a + b, 0);
}

function run(args: readonly string[]): Promise<number> {
  return new Promise((done, fail) => {
    const [, script = ""] = process.argv;
    const how = "Deno" in globalThis ? ["run", "-A"] : process.execArgv;
    const child = spawn(process.execPath, [...how, script, ...args], { stdio: ["ignore", "pipe", "inherit"] });
    let rest = "";
    let differences: number | undefined;
    child.stdout.on("data", (part: Buffer) => {
      const lines = (rest + part.toString()).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const last = LAST.exec(line);
        // The seed was told once for all of them.
        if (last === null && !line.startsWith("seed ")) console.log(line);
        else if (last !== null) differences = Number(last[2]);
      }
    });
    child.on("error", fail);
    child.on("close", (code) => {
      if (differences === undefined) fail(new Error(`fuzz ${args.join(" ")} ended with code ${code} and no result`));
      else done(differences);
    });
  });
}
