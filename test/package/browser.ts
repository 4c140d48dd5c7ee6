/** Pages that Debian's Chromium opens, on SwiftShader, from a server of the test's own. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { cleanEnvironment } from "./support.ts";

export const chromium = "/usr/bin/chromium";

interface Deferred {
  readonly promise: Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

function deferred(): Deferred {
  let settle: Omit<Deferred, "promise"> | undefined;
  const promise = new Promise<unknown>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return { promise, ...(settle as Omit<Deferred, "promise"> | undefined) } as Deferred;
}

/**
 * Opens the index.html of the folder `site` in a browser of its own, and gives what the page posts and what it asked
 * for.
 */
export async function visit(site: string, scratch: string): Promise<{ asked: readonly string[]; said: unknown }> {
  const types: Readonly<Record<string, string>> = { html: "text/html", js: "text/javascript" };
  const asked: string[] = [];
  const posted = deferred();
  const server = createServer(async (request, response) => {
    const path = request.url ?? "/";
    asked.push(path);
    if (request.method === "POST") {
      const parts: Uint8Array[] = [];
      for await (const part of request) parts.push(part as Uint8Array);
      response.end();
      return posted.resolve(JSON.parse(Buffer.concat(parts).toString()));
    }
    const file = join(site, path === "/" ? "index.html" : path);
    if (!existsSync(file)) return response.writeHead(404).end();
    const bytes = readFileSync(file);
    const type = { "content-type": types[file.split(".").pop() ?? ""] ?? "application/octet-stream" };
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    if (from === undefined) return response.writeHead(200, type).end(bytes);
    const part = bytes.subarray(Number(from), Number(to) + 1);
    const range = `bytes ${from}-${Number(from) + part.length - 1}/${bytes.length}`;
    response.writeHead(206, { ...type, "content-range": range }).end(part);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const home = mkdtempSync(join(scratch, "chromium-"));
  const flags = [
    ...["--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"],
    ...["--disable-component-update", "--disable-sync", "--disable-default-apps", `--user-data-dir=${home}`],
    ...["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"],
  ];
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const env = { ...cleanEnvironment(), HOME: home };
  const browser = spawn(chromium, [...flags, address], { env, stdio: ["ignore", "ignore", "pipe"] });
  let chatter = "";
  browser.stderr.setEncoding("utf8").on("data", (text: string) => {
    chatter += text;
  });
  const ended = new Promise<void>((done) => browser.on("close", () => done()));
  const late = setTimeout(() => posted.reject(new Error(`the page said nothing: ${chatter}`)), 60_000);
  try {
    return { said: await posted.promise, asked };
  } finally {
    clearTimeout(late);
    browser.kill();
    await ended;
    server.closeAllConnections();
    server.close();
  }
}
