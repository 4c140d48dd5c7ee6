/** JSON files, and the one thing about them that JSON.parse keeps to itself: keys that stand twice in an object. */
import { UserError } from "../../runtime/common/errors.ts";
import { type ByteSource, message } from "./bytes.ts";
import { refusal } from "./sniff.ts";

/** The whole source as JSON. Throws a `UserError` naming the file, and what it is, when it is not JSON in UTF-8. */
export async function readJson(source: ByteSource): Promise<unknown> {
  return (await parsed(source)).value;
}

/** The same, where no key may stand twice in an object: the last one would win without a word. */
export async function readStrictJson(source: ByteSource): Promise<unknown> {
  const { text, value } = await parsed(source);
  const twice = duplicateKey(text);
  if (twice !== undefined) throw new UserError(`${source.where}: the key "${twice}" stands twice in one object`);
  return value;
}

async function parsed(source: ByteSource): Promise<{ readonly text: string; readonly value: unknown }> {
  const bytes = await source.read(0, source.size);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return { text, value: JSON.parse(text) as unknown };
  } catch (cause) {
    throw await refusal(source, "a JSON file", "json", `not valid JSON (${message(cause)})`);
  }
}

/** The first key that stands twice in an object of a text that is valid JSON. */
export function duplicateKey(text: string): string | undefined {
  // Keys of the objects around the place, innermost last; undefined stands for a list.
  const around: (Set<string> | undefined)[] = [];
  // Strings, and what opens and closes.
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"(?:\s*:)?|[[\]{}]/gs)) {
    if (token === "{") around.push(new Set());
    else if (token === "[") around.push(undefined);
    else if (token === "}" || token === "]") around.pop();
    else if (token.endsWith(":")) {
      const key = JSON.parse(token.slice(0, -1)) as string;
      const keys = around.at(-1);
      if (keys?.has(key) === true) return key;
      keys?.add(key);
    }
  }
  return undefined;
}
