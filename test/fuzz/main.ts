/**
 * The differential fuzzer: `fuzz [kernels] [order] [products] [--programs N] [--seed S] [--batch B] [--jobs J]`; all
 * subjects when none is named.
 *
 * `kernels` makes N random kernels, runs each in the interpreter, on the lane simulator, on lavapipe and on
 * SwiftShader, and shrinks what differs. `--gpu` (or `--adapter`) names others; `--gpu simulator` alone needs no GPU,
 * and `--gpu native` is Deno's own. `order` does the same with kernels that load and store one tensor, at L0 each of
 * them, and counts those that the compiler refuses. `products` runs N matrix products of random sizes, formats and
 * adapters as workgroup tiles on the simulator. The seed is a new one each time unless it is given, and printed first.
 * Ends with `N programs, M differences`; the exit code is 0 only for M = 0. `--jobs` spreads the programs over so many
 * processes.
 */
import { parseArgs } from "node:util";
import { open } from "../../runtime/index.ts";
import { shrink } from "./choices.ts";
import { generate } from "./generate.ts";
import { inJobs } from "./jobs.ts";
import { order } from "./orders.ts";
import { compare, compilePlans, type Difference, orderly, planOf, type Runner } from "./run.ts";
import { checkTiled } from "./tiled.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    programs: { type: "string", default: "200" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    batch: { type: "string", default: "32" },
    jobs: { type: "string", default: "1" },
    from: { type: "string", default: "0" },
    adapter: { type: "string", multiple: true },
    gpu: { type: "string", multiple: true },
  },
});
const SUBJECTS: readonly string[] = ["kernels", "order", "products"];
const subjects = positionals.length > 0 ? [...new Set(positionals)] : SUBJECTS;
const seed = Number(values.seed);
const total = Number(values.programs);
if (!subjects.every((s) => SUBJECTS.includes(s)) || !(total > 0) || !Number.isSafeInteger(seed)) {
  console.error(
    "usage: fuzz [kernels] [order] [products] [--programs N] [--seed S] [--batch B] [--jobs J] [--gpu NAME …]",
  );
  process.exit(2);
}
console.log(`seed ${seed}`);
const [jobs, from] = [Number(values.jobs), Number(values.from)];
const named = [...(values.gpu ?? []), ...(values.adapter ?? [])];
if (jobs > 1) {
  let found = 0;
  for (const subject of subjects) {
    const own = [subject, "--seed", String(seed), "--batch", values.batch, ...named.flatMap((name) => ["--gpu", name])];
    found += await inJobs(jobs, total, Number(values.batch), own);
  }
  console.log(`${total * subjects.length} programs, ${found} differences`);
  process.exit(found === 0 ? 0 : 1);
}
const gpus: Runner[] = [];
let differences = 0;
let refused = 0;

type Make = typeof generate;

async function differs(number: number, choices: readonly number[], make: Make): Promise<Difference | undefined> {
  try {
    const { plan } = planOf(0, "shrunk", choices, make);
    const programs = compilePlans([plan]);
    for (const gpu of gpus) {
      const [first] = await compare(gpu, [plan], programs, number, programs, sampling(make));
      if (first !== undefined) return first;
    }
  } catch {
    // A smaller program may be refused; that is another matter.
  }
  return undefined;
}

/** One program in so many runs at L0, too. */
function sampling(make: Make): number {
  return make === order ? 1 : 4;
}

async function kernels(make: Make): Promise<void> {
  for (const adapter of named.length > 0 ? named : ["simulator", "llvmpipe", "swiftshader"])
    gpus.push(adapter === "simulator" ? adapter : await open({ adapter }));
  for (let at = from; at < from + total; at += Number(values.batch)) {
    const count = Math.min(Number(values.batch), from + total - at);
    const made = Array.from({ length: count }, (_, i) =>
      planOf(seed * 1_000_003 + at + i, `k${at + i}`, undefined, make),
    );
    const all = made.map((m) => m.plan);
    const plans = make === order ? orderly(all).taken : all;
    refused += all.length - plans.length;
    try {
      const programs = compilePlans(plans);
      const found: Difference[] = [];
      for (const gpu of gpus) found.push(...(await compare(gpu, plans, programs, seed + at, programs, sampling(make))));
      for (const name of new Set(found.map((f) => f.plan.name))) {
        differences++;
        const first = found.find((f) => f.plan.name === name) as Difference;
        const index = plans.findIndex((p) => p.name === name);
        const smaller = await shrink(
          made.find((m) => m.plan.name === name)?.choices ?? [],
          async (c) => (await differs(seed + at + index, c, make)) !== undefined,
          150,
        );
        const shown = (await differs(seed + at + index, smaller, make)) ?? first;
        console.log(
          `\n${name} on ${shown.where}: ${shown.what}\nsizes ${JSON.stringify(shown.plan.sizes)} limit ${shown.plan.limit}\n${shown.plan.source}`,
        );
      }
    } catch (error) {
      // A program that is refused or crashes the compiler is found by itself.
      for (const plan of plans) {
        try {
          const programs = compilePlans([plan]);
          for (const gpu of gpus) await compare(gpu, [plan], programs, seed + at, programs, sampling(make));
        } catch (alone) {
          differences++;
          console.log(
            `\n${plan.name}: ${(alone as Error).message}\nsizes ${JSON.stringify(plan.sizes)} limit ${plan.limit}\n${plan.source}`,
          );
        }
      }
      if (differences === 0) throw error;
    }
    if ((at / Number(values.batch)) % 8 === 7) console.log(`${at + count} programs …`);
  }
  for (const gpu of gpus.splice(0)) if (gpu !== "simulator") await gpu.close();
}

function products(): void {
  for (let n = from; n < from + total; n++) {
    try {
      checkTiled(seed, n);
    } catch (error) {
      differences++;
      console.log(`\n${(error as Error).message}`);
    }
  }
}

if (subjects.includes("kernels")) await kernels(generate);
if (subjects.includes("order")) {
  await kernels(order);
  console.log(`${refused} refused`);
}
if (subjects.includes("products")) products();
console.log(`${total * subjects.length} programs, ${differences} differences`);
process.exitCode = differences === 0 ? 0 : 1;
