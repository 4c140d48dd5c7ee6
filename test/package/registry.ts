/**
 * A small npm registry on the loopback address, for installing the package as if it were published.
 *
 * It serves the tarballs of a release, and packs whatever else is asked for from the checkout's own node_modules; of
 * packages that are for other platforms it tells what the lock file knows of them. It forwards nothing: any other name
 * is not found.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

interface Manifest {
  readonly name: string;
  readonly version: string;
}

interface Packed {
  readonly manifest: Manifest;
  /** Undefined for a package of another platform, whose contents nobody may ask for. */
  readonly tarball: Buffer | undefined;
}

export interface Registry {
  readonly url: string;
  /** The same registry before the release was published: without the package and its parts. */
  readonly before: string;
  close(): Promise<void>;
}

const BEFORE = "before/";

/**
 * Serves the tarballs in the folder `release`, the packages of the checkout `root`, and of `others` the manifest alone.
 */
export async function serveRegistry(release: string, root: string, others: readonly Manifest[]): Promise<Registry> {
  const packages = new Map<string, Packed>();
  for (const manifest of [...lockedManifests(root), ...others])
    packages.set(manifest.name, { manifest, tarball: undefined });
  for (const file of readdirSync(release)) {
    const tarball = readFileSync(join(release, file));
    const manifest = JSON.parse(tar(["-xzO", "package/package.json"], tarball).toString()) as Manifest;
    packages.set(manifest.name, { manifest, tarball });
  }
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://registry").pathname).slice(1);
    const [name = "", file] = path.replace(BEFORE, "").split("/-/");
    const published = !path.startsWith(BEFORE) || !/^tilestate(-|$)/.test(name);
    const known = published ? packages.get(name) : undefined;
    const found = known?.tarball === undefined && published ? (packInstalled(root, name) ?? known) : known;
    if (found !== undefined) packages.set(name, found);
    if (found !== undefined && file === undefined) return sendJson(response, 200, packument(found, urlOf(server)));
    if (found?.tarball !== undefined) return send(response, 200, "application/octet-stream", found.tarball);
    sendJson(response, 404, { error: `there is no ${path} here` });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: urlOf(server),
    before: urlOf(server) + BEFORE,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

/** What a registry tells of a package, here of its one version. */
function packument({ manifest, tarball }: Packed, url: string): unknown {
  const { name, version } = manifest;
  // Installers want to know a digest also of what they do not fetch.
  const digest = createHash("sha512")
    .update(tarball ?? name)
    .digest("base64");
  const dist = { tarball: `${url}${name}/-/${name.split("/").pop()}-${version}.tgz`, integrity: `sha512-${digest}` };
  return { name, "dist-tags": { latest: version }, versions: { [version]: { ...manifest, dist } } };
}

/** What the lock file says of the packages at the top of node_modules, installed or not. */
function lockedManifests(root: string): Manifest[] {
  const text = readFileSync(join(root, "package-lock.json"), "utf8");
  const { packages } = JSON.parse(text) as { packages: Readonly<Record<string, { readonly version?: string }>> };
  return Object.entries(packages).flatMap(([path, { version, ...rest }]) => {
    const name = /^node_modules\/((?:@[^/]+\/)?[^/]+)$/.exec(path)?.[1];
    return name === undefined || version === undefined ? [] : [{ ...rest, name, version }];
  });
}

function packInstalled(root: string, name: string): Packed | undefined {
  if (!/^(@[\w.-]+\/)?[\w-][\w.-]*$/.test(name)) return undefined;
  const folder = join(root, "node_modules", name);
  if (!existsSync(join(folder, "package.json"))) return undefined;
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
  return {
    manifest,
    tarball: tar(["-cz", "--exclude=./node_modules", "--transform=s,^\\.,package,", "-C", folder, "."]),
  };
}

/** What `tar` writes to its standard output. */
function tar(args: readonly string[], input?: Buffer): Buffer {
  return execFileSync("tar", args, { maxBuffer: 2 ** 30, ...(input === undefined ? {} : { input }) });
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, "application/json", JSON.stringify(body));
}

function send(response: ServerResponse, status: number, type: string, body: string | Buffer): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) }).end(body);
}
