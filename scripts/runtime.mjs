/**
 * What the scripts share: which runtime this is, installing the packages where they are missing, and starting programs
 * in the same runtime.
 *
 * Plain JavaScript without a single dependency, because it has to work in a fresh clone before anything is installed.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The package's folder, with a slash at the end. */
export const root = fileURLToPath(new URL("../", import.meta.url));

/** "node", "bun" or "deno". */
export const runtime = process.versions.bun ? "bun" : process.versions.deno ? "deno" : "node";

/** Arguments with which this runtime starts a program, which may be TypeScript. */
export function runArguments(program) {
  if (runtime === "bun") return ["--bun"];
  if (runtime === "deno") return ["run", "-A"];
  return process.features.typescript || !program.endsWith(".ts") ? [] : ["--import", "tsx"];
}

/**
 * Starts a program in this runtime, in the package's folder, and gives its exit code (128 + the number of the signal
 * that ended it).
 */
export async function start(args, env = {}) {
  const child = spawn(process.execPath, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...env } });
  // The child sits in the same terminal and gets Ctrl-C itself: the parent only has to outlive it. Other signals come
  // to the parent alone.
  const ignore = () => {};
  const forward = () => child.kill("SIGTERM");
  process.on("SIGINT", ignore);
  process.on("SIGTERM", forward);
  try {
    return await ended(child);
  } finally {
    process.off("SIGINT", ignore);
    process.off("SIGTERM", forward);
  }
}

/**
 * Installs the packages when one of them is missing or has another version than package.json asks for; with `dev` those
 * of development as well. Uses npm, which knows the lock file, and else the runtime's own installer. Ends the process
 * with code 1 when that fails.
 */
export async function ensureInstalled({ dev }) {
  const missing = missingPackages(dev);
  if (missing.length === 0) return;
  const { label, command, args, env } = installer(dev);
  console.error(`Installing packages: ${label} (needed once; missing: ${few(missing)}) ...`);
  const began = Date.now();
  const shell = process.platform === "win32";
  const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], shell, env });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += chunk));
  const code = await ended(child).catch((error) => String(error.message));
  const left = code === 0 ? missingPackages(dev) : [];
  if (code !== 0 || left.length > 0) {
    const reason = code === 0 ? `these are still missing: ${few(left)}` : `it ended with ${code}`;
    console.error(`${said.trim()}\n\nThe packages could not be installed: ${label}: ${reason}`);
    process.exit(1);
  }
  console.error(`Installed in ${Math.round((Date.now() - began) / 1000)} s.\n`);
}

/** Names of required packages that are not installed as package.json asks; its versions are exact. */
function missingPackages(dev) {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const wanted = { ...manifest.dependencies, ...(dev ? manifest.devDependencies : {}) };
  return Object.keys(wanted).filter((name) => {
    const path = join(root, "node_modules", name, "package.json");
    return !existsSync(path) || JSON.parse(readFileSync(path, "utf8")).version !== wanted[name];
  });
}

function installer(dev) {
  // Bun and Deno put stand-ins for node on the path, and npm should not run on those.
  const path = (process.env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => !/[\\/](bun-node-|node_compat_bin)/.test(folder));
  const has = (name) =>
    path.some((folder) => existsSync(join(folder, name)) || existsSync(join(folder, `${name}.cmd`)));
  const env = { ...process.env, PATH: path.join(delimiter) };
  if (has("npm") && (has("node") || has("node.exe"))) {
    // An npm that started us hands its settings down, `dev` and the like; they are ours to choose here.
    const lean = dev ? ["--include=dev"] : ["--omit=dev", "--workspaces=false"];
    return { label: "npm ci", command: "npm", args: ["ci", ...lean, "--no-audit", "--no-fund"], env };
  }
  if (runtime === "bun") {
    const args = ["install", "--no-save", ...(dev ? [] : ["--production"])];
    return { label: "bun install", command: process.execPath, args, env };
  }
  if (runtime === "deno") return { label: "deno install", command: process.execPath, args: ["install"], env };
  return { label: "npm ci", command: "npm", args: ["ci"], env };
}

function few(names) {
  return names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
}

function ended(child) {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(code ?? 128 + (constants.signals[signal ?? "SIGTERM"] ?? 15)));
  });
}
