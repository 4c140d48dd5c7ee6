/**
 * The process that measures one checkout: started by run.ts, asked over stdin.
 *
 * Its code is that of the checkout that compares, and all it takes of the measured one is what that one's doors offer.
 * Nothing of this checkout's library may be loaded here but types (and errors.ts, which has no state), so that the
 * process is the measured library's alone.
 */
import type { Gpu } from "../../runtime/index.ts";
import { processCpu, runtime, variables } from "../surroundings.ts";
import { Checkout, Missing, need } from "./checkout.ts";
import { answerLines } from "./lines.ts";
import type { AskedJob, Opened, PairExchanges, PairRequest, Prepared } from "./protocol.ts";
import type { Subject } from "./subject.ts";
import { prepareKernel } from "./subject-kernels.ts";
import { prepareDecoder, prepareHost } from "./subjects.ts";

let opened: { readonly checkout: Checkout; readonly sources: string; readonly gpu: Gpu } | undefined;
let subject: Subject | undefined;

async function open({ root, sources, adapter }: PairExchanges["open"]["request"]): Promise<Opened> {
  const checkout = new Checkout(root);
  const door = await checkout.door<typeof import("../../runtime/index.ts")>("runtime");
  need(door, "runtime", "open");
  // As the commands do; checkouts from before this option always asked for as many.
  const gpu = await door.open({ threads: "auto", ...(adapter === undefined ? {} : { adapter }) });
  opened = { checkout, sources, gpu };
  const { name, vendor, kind, description, featureLevel } = gpu.capabilities;
  // Older checkouts call it so.
  const { rung } = gpu.capabilities as { readonly rung?: string };
  const { name: js, version } = runtime();
  return {
    settings: { runtime: js, adapter: name, "adapter's vendor": vendor, "kind of adapter": kind },
    environment: {
      [`version of ${js}`]: version,
      driver: description,
      "feature level": featureLevel ?? rung,
      // A checkout may set some of them when it opens the GPU.
      ...variables(),
    },
  };
}

function prepareSubject(job: AskedJob): Promise<Subject> {
  if (opened === undefined) throw new Error('"prepare" before "open"');
  const { checkout, sources, gpu } = opened;
  if (job.kind === "decoder") return prepareDecoder(checkout, gpu, job);
  return job.kind === "kernel" ? prepareKernel(checkout, sources, gpu, job) : prepareHost(checkout, job);
}

async function prepare({ job }: PairExchanges["prepare"]["request"]): Promise<Prepared> {
  try {
    subject = await prepareSubject(job);
    const { settings, environment, times } = subject;
    return { settings, environment, ...(times === undefined ? {} : { times }) };
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    return { missing: error.message, settings: {}, environment: {} };
  }
}

async function answer(request: PairRequest): Promise<PairExchanges[keyof PairExchanges]["reply"]> {
  switch (request.do) {
    case "open":
      return open(request);
    case "prepare":
      return prepare(request);
    case "turn":
      if (subject === undefined) throw new Error('"turn" before "prepare"');
      return subject.turn(request.times ?? 1);
    case "free":
      await subject?.free();
      subject = undefined;
      return { cpu_ms: processCpu() };
  }
}

await answerLines((request) => answer(request as PairRequest));
