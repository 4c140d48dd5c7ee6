/**
 * The command as a process of its own: it ends by itself, with the right code, also after Ctrl-C and where there is no
 * adapter at all.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fixture } from "../models/formats/shared.ts";
import { golden } from "../support/goldens.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import { launch } from "./launch.ts";

const [fastest = ""] = adaptersUnderTest();

test("a text, and an end", async () => {
  const [, ended] = launch(["generate", "--tokens", "12", "--quiet", "--adapter", fastest]);
  const { code, out, err } = await ended;
  expect([code, err]).toEqual([0, ""]);
  expect((await golden("hearth")).greedy.text.startsWith(out.trimEnd())).toBe(true);
});

test("Ctrl-C closes the GPU and ends with 130, saying nothing", async () => {
  const [child, ended] = launch(["generate", "--state", "tova:16", "--tokens", "1000000", "--adapter", fastest]);
  // The first text shows that it is under way. Not child.kill: Deno would then report the signal whatever the process
  // made of it.
  const { pid } = child;
  if (pid === undefined) throw new Error("the command did not start");
  child.stdout.once("data", () => process.kill(pid, "SIGINT"));
  const { code, signal, out, err } = await ended;
  expect([code, signal]).toEqual([130, null]);
  expect(out.startsWith("A tale from")).toBe(true);
  expect(err).not.toContain("error");
});

describe("no adapter at all", () => {
  test("tells what was tried and what to install", async () => {
    const none = fixture("nothing-here");
    // The embedded adapter cannot be unpacked into something that is a file, neither there nor among the temporary
    // files.
    const cache = fixture("families/llama2-mha/config.json/cache");
    const temporaries = mkdtempSync(join(tmpdir(), "tilestate-test-"));
    writeFileSync(join(temporaries, `tilestate-${process.getuid?.() ?? "user"}`), "");
    const [, ended] = launch(["generate"], {
      VK_DRIVER_FILES: none,
      VK_ICD_FILENAMES: none,
      TILESTATE_CACHE: cache,
      TMPDIR: temporaries,
      TILESTATE_ADAPTER: "auto",
    });
    const { code, out, err } = await ended;
    expect([code, out]).toEqual([1, ""]);
    const [message = "", hint = ""] = err.slice(err.indexOf("error: ")).split("\n");
    expect(message).toMatch(
      /^error: no WebGPU adapter: tried the system's GPU drivers \(.*\), then the embedded software adapter \(.*\)$/,
    );
    expect(hint).toMatch(/^hint: install a GPU driver with Vulkan, or mesa-vulkan-drivers 23 or newer/);
  });
});
