/**
 * The commands of `tilestate`.
 */
import manifest from "../package.json" with { type: "json" };

/** Runs one command and gives its exit code. */
export async function main(argv: string[]): Promise<number> {
  if (argv.includes("--version")) console.log(manifest.version);
  else if (argv.includes("--help")) console.log("Usage: tilestate");
  else if (argv[0] === "demo") console.log("demo");
  else {
    console.error(`tilestate: unknown command ${argv[0] ?? ""}`);
    return 2;
  }
  return 0;
}
