/**
 * A folder by the URL of this machine's disk or of a web server: what lies beside a module is found through the
 * module's own URL.
 */
import type { Folder } from "./bytes.ts";
import { httpFolder } from "./http.ts";
import { diskFolder, pathOf } from "./node.ts";

/** The folder at a `file:`, `http:` or `https:` URL. Throws a `UserError` for URLs of other schemes. */
export function folderAt(url: URL): Folder {
  return url.protocol === "file:" ? diskFolder(pathOf(url)) : httpFolder(url);
}
