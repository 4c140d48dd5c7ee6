/** Tries to open each of the named adapters and says as JSON which are there: "" for those that are, else why not. */
import { openDawn } from "../../../runtime/adapters/dawn.ts";

const found: Record<string, string> = {};
for (const adapter of process.argv.slice(2)) {
  try {
    (await openDawn({ adapter })).release();
    found[adapter] = "";
  } catch (error) {
    found[adapter] = (error as Error).message;
  }
}
console.log(JSON.stringify(found));
