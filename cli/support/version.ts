/** The version of this package, from its package.json: beside `cli/` in a checkout, above `dist/` in the package. */
import { existsSync, readFileSync } from "node:fs";

/** Throws when neither place has a package.json. */
export function version(): string {
  const places = ["../../package.json", "../../../package.json"].map((place) => new URL(place, import.meta.url));
  const file = places.find((place) => existsSync(place));
  if (file === undefined) throw new Error(`package.json of tilestate: expected at ${places.join(" or ")}`);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
