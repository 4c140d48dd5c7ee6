/** What somebody passed, in a few words for a message. Nothing here throws, whatever it is given. */

/** A value with its kind, where the value alone does not tell it. */
export function describe(x: unknown): string {
  switch (typeof x) {
    case "undefined":
      return "nothing";
    case "number":
      return Object.is(x, -0) ? "-0" : String(x);
    case "string":
      return `${quoted(x)} (a string)`;
    case "boolean":
      return `${x} (a boolean)`;
    case "bigint":
      return `${x}n (a bigint)`;
    case "symbol":
      return "a symbol";
    case "function":
      return "a function";
    default:
      return x === null ? "null" : object(x as object);
  }
}

function object(x: object): string {
  if (isThenable(x)) return "a promise";
  if (Array.isArray(x)) return `an array of ${x.length}`;
  const name = nameOf(x);
  if (name === undefined || name === "Object") return "an object";
  return `${/^[AEIO]/.test(name) ? "an" : "a"} ${name}`;
}

/** The name of its class. */
function nameOf(x: object): string | undefined {
  try {
    const name: unknown = (x as { readonly constructor?: { readonly name?: unknown } }).constructor?.name;
    return typeof name === "string" && name !== "" ? name : undefined;
  } catch {
    return undefined;
  }
}

/** Would `await` wait for this? */
export function isThenable(x: unknown): x is PromiseLike<unknown> {
  if ((typeof x !== "object" && typeof x !== "function") || x === null) return false;
  try {
    return typeof (x as { readonly then?: unknown }).then === "function";
  } catch {
    return false;
  }
}

/** The hint for a value that was not waited for; none for others. */
export function awaitHint(x: unknown): { readonly hint?: string } {
  return isThenable(x) ? { hint: "await it first" } : {};
}

/** A list as it is written, each entry by `describe`, numbers bare. */
export function listed(values: readonly unknown[]): string {
  const shown = Array.from(values.slice(0, MOST_SHOWN), (x) => describe(x));
  return `[${[...shown, ...(values.length > MOST_SHOWN ? ["…"] : [])].join(", ")}]`;
}

function quoted(text: string): string {
  return JSON.stringify(text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}…` : text);
}

const MOST_SHOWN = 8;
const MOST_TEXT = 40;
