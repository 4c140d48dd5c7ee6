/**
 * Models over HTTP: byte ranges where the server knows them, whole files where it does not, and what it may answer
 * wrongly.
 */

import { readdir, readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ByteSource } from "../../../models/io/bytes.ts";
import { httpFolder } from "../../../models/io/http.ts";
import { openModel } from "../../../models/open.ts";
import { canonicalShapes } from "../../../models/weights/source.ts";
import { fixture } from "./shared.ts";
import { complaint } from "./temporary.ts";

const LONG = Uint8Array.from({ length: 200_000 }, (_, i) => (i * i) >> 3);
const files = new Map<string, Uint8Array>([
  ["/long.bin", LONG],
  ["/short.bin", LONG.slice(0, 10)],
  ["/empty.bin", new Uint8Array()],
  ["/a%20b/x.bin", LONG.slice(0, 4)],
]);
let asked: string[] = [];
/** What the server does instead of answering as it should. */
let instead: ((request: IncomingMessage, response: ServerResponse, bytes: Uint8Array) => void) | undefined;

function ranged(request: IncomingMessage, response: ServerResponse, bytes: Uint8Array): void {
  const [, from = "", to = ""] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
  const [begin, end] = [Number(from), Math.min(Number(to), bytes.length - 1)];
  if (begin >= bytes.length) {
    response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    return;
  }
  response
    .writeHead(206, { "content-range": `bytes ${begin}-${end}/${bytes.length}` })
    .end(bytes.slice(begin, end + 1));
}

const server = createServer((request, response) => {
  const path = request.url ?? "";
  asked.push(`${path} ${request.headers.range}`);
  const bytes = files.get(path);
  if (bytes === undefined) response.writeHead(404).end("nothing here");
  else (instead ?? ranged)(request, response, bytes);
});

let base = "";
beforeAll(async () => {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  for (const folder of ["families/llama2-mha"])
    for (const file of await readdir(fixture(folder)))
      files.set(`/${folder}/${file}`, await readFile(join(fixture(folder), file)));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  asked = [];
  instead = undefined;
});

const opened = async (name: string): Promise<ByteSource> => {
  const source = await httpFolder(base).open(name);
  if (source === undefined) throw new Error(`${name} is not there`);
  return source;
};

describe("a file", () => {
  test("is read by ranges, its beginning once", async () => {
    const source = await opened("long.bin");
    expect(source).toMatchObject({ where: `${base}long.bin`, size: LONG.length });
    expect(await source.read(100, 50)).toEqual(LONG.slice(100, 150));
    expect(await source.read(65_530, 10)).toEqual(LONG.slice(65_530, 65_540));
    expect(await source.read(LONG.length - 3, 3)).toEqual(LONG.slice(-3));
    expect(await source.read(LONG.length, 0)).toEqual(new Uint8Array());
    const ranges = ["0-65535", "65530-65539", "199997-199999"];
    expect(asked).toEqual(ranges.map((range) => `/long.bin bytes=${range}`));
  });

  test("that is short takes one request", async () => {
    const source = await opened("short.bin");
    expect(await source.read(2, 8)).toEqual(LONG.slice(2, 10));
    expect(asked).toHaveLength(1);
  });

  test("may be empty, or missing", async () => {
    expect((await opened("empty.bin")).size).toBe(0);
    expect(await httpFolder(base).open("missing.bin")).toBeUndefined();
  });

  test("is kept whole where the server knows no ranges", async () => {
    instead = (_, response, bytes) => response.writeHead(200).end(bytes);
    const source = await opened("long.bin");
    expect(source.size).toBe(LONG.length);
    expect(await source.read(150_000, 5)).toEqual(LONG.slice(150_000, 150_005));
    expect(asked).toHaveLength(1);
  });

  test("gives fresh copies", async () => {
    const source = await opened("short.bin");
    (await source.read(0, 4)).fill(99);
    expect(await source.read(0, 4)).toEqual(LONG.slice(0, 4));
  });

  test("cannot be read beyond its end", async () => {
    const source = await opened("long.bin");
    expect(await complaint(() => source.read(LONG.length - 1, 2))).toBe(
      `${base}long.bin: truncated: expected 2 bytes at 199999, but the file has 200000 bytes`,
    );
    expect(asked).toHaveLength(1);
  });
});

describe("a server that answers otherwise", () => {
  test("with an error", async () => {
    instead = (_, response) => response.writeHead(500, "Broken").end();
    expect(await complaint(() => opened("long.bin"))).toBe(
      `${base}long.bin: expected a part of the file, got 500 Broken`,
    );
  });

  test("without the file's length", async () => {
    instead = (_, response, bytes) => response.writeHead(206).end(bytes);
    expect(await complaint(() => opened("long.bin"))).toBe(
      `${base}long.bin: expected a Content-Range that tells the file's length, got none that this page may read`,
    );
    instead = (_, response, bytes) => response.writeHead(206, { "content-range": "bytes 0-9/*" }).end(bytes);
    expect(await complaint(() => opened("long.bin"))).toContain('got "bytes 0-9/*"');
  });

  test("with too little, at once or later", async () => {
    const short = (request: IncomingMessage, response: ServerResponse): void => {
      const range = request.headers.range?.replace("=", " ");
      response.writeHead(206, { "content-range": `${range}/${LONG.length}` }).end(LONG.slice(0, 5));
    };
    instead = short;
    expect(await complaint(() => opened("long.bin"))).toBe(
      `${base}long.bin: truncated while it was read: expected 65536 bytes at 0, got 5`,
    );
    instead = undefined;
    const source = await opened("long.bin");
    instead = short;
    expect(await complaint(() => source.read(100_000, 6))).toBe(
      `${base}long.bin: truncated while it was read: expected 6 bytes at 100000, got 5`,
    );
  });

  test("with another file in between, or without ranges from then on", async () => {
    const source = await opened("long.bin");
    instead = (request, response, bytes) => ranged(request, response, bytes.slice(0, 150_000));
    expect(await complaint(() => source.read(100_000, 6))).toBe(
      `${base}long.bin: changed while it was read: it had 200000 bytes, and has 150000 now`,
    );
    instead = (_, response, bytes) => response.writeHead(200).end(bytes);
    expect(await complaint(() => source.read(100_000, 6))).toContain("expected a part of the file, got 200");
  });

  test("not at all", async () => {
    const refuse = async (): Promise<Response> => Promise.reject(new TypeError("no route"));
    expect(await complaint(() => httpFolder("http://models.test/m", refuse).open("config.json"))).toBe(
      "http://models.test/m/config.json: cannot fetch (no route)",
    );
  });
});

describe("a folder", () => {
  test("has the last part of its URL as its name, and escapes those of files", async () => {
    const folder = httpFolder(new URL("a%20b", base));
    expect([folder.where, folder.name]).toEqual([`${base}a%20b/`, "a b"]);
    expect(folder.path("x y.bin")).toBe(`${base}a%20b/x%20y.bin`);
    expect(await (await folder.open("x.bin"))?.read(0, 4)).toEqual(LONG.slice(0, 4));
    expect(httpFolder("https://models.test/m?token=1").path("x")).toBe("https://models.test/m/x?token=1");
    expect(httpFolder("https://models.test").name).toBe("models.test");
    expect(await folder.list()).toEqual([]);
  });

  test("lies on a web server", async () => {
    expect(await complaint(() => httpFolder("file:///models"))).toBe(
      "file:///models: expected the URL of a folder on a web server, http: or https:",
    );
    expect(await complaint(() => httpFolder("models"))).toMatch(/^models: not a URL \(/);
  });

  test("without config.json is no model", async () => {
    expect(await complaint(() => openModel(httpFolder(`${base}none`)))).toBe(
      `${base}none/: not a model folder: it has no config.json`,
    );
  });
});

test("a model is the same over HTTP as on disk, and only what is asked for is fetched", async () => {
  const [near, far] = [
    await openModel(fixture("families/llama2-mha")),
    await openModel(httpFolder(`${base}families/llama2-mha`)),
  ];
  expect(far.config).toEqual(near.config);
  const before = asked.length;
  for (const name of canonicalShapes(near.config).keys()) {
    expect(await far.tensor(name).data()).toEqual(await near.tensor(name).data());
  }
  expect(asked.length - before).toBeLessThanOrEqual(canonicalShapes(near.config).size);
});
