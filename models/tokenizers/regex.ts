/**
 * Regular expressions of a tokenizer.json, which are Oniguruma's, written so that the library reads them the same.
 *
 * The library turns them into JavaScript's. What it drops on the way, and what JavaScript has under the same signs with
 * another meaning, is refused here.
 */

/**
 * Possessive quantifiers that take what greedy ones take: what follows them can neither begin with more of the same nor
 * fail.
 */
const HARMLESS: readonly string[] = [
  String.raw`[^\r\n\p{L}\p{N}]?+\p{L}`,
  String.raw`[^\s\p{L}\p{N}]++[\r\n]*`,
  String.raw`\p{L}++`,
  String.raw`\p{N}{1,3}+`,
  String.raw`[\r\n]*+`,
];

/** Why the library would read a pattern differently; undefined where it does not. */
export function patternProblem(source: string): string | undefined {
  // Without what is escaped and what stands in classes, only the structure is left.
  const rest = HARMLESS.reduce((text, part) => text.replaceAll(part, part.replaceAll(/(?<=[?+*}])\+/g, "")), source);
  const bare = withoutClasses(rest.replaceAll(/\\./gs, (escaped) => (escaped === "\\G" ? escaped : "_")));
  if (/\\G/.test(bare)) return "\\G";
  if (/\(\?>/.test(bare)) return "an atomic group";
  if (/[?*+]\+/.test(bare)) return "a possessive quantifier";
  const group = /\(\?(?!i:|[:=!]|<[=!a-zA-Z])[^:)]*/.exec(bare);
  return group === null ? undefined : `a group of the kind "${group[0]}"`;
}

function withoutClasses(text: string): string {
  let out = "";
  let depth = 0;
  for (const c of text) {
    if (c === "[") depth++;
    if (depth === 0) out += c;
    if (c === "]" && depth > 0 && --depth === 0) out += "_";
  }
  return out;
}

/** Whether a pattern matches an empty piece somewhere, as lookarounds do, or is not one that JavaScript can try out. */
export function mayBeEmpty(source: string): boolean {
  try {
    const probe = "Aa1 b\n\n.,-é٣ 東_  'Zz9\t(x)";
    return [...probe.matchAll(new RegExp(source.replaceAll("(?i:", "(?:"), "gu"))].some(([match]) => match === "");
  } catch {
    return true;
  }
}

/** A text as a pattern that matches just it. */
export function literal(text: string): string {
  return text.replaceAll(/[\\^$.|?*+()[\]{}]/g, "\\$&");
}

/** The pattern without groups that capture, whose text JavaScript's `split` would give out as well. */
export function withoutCaptures(source: string): string {
  return source.replaceAll(/\\.|\[(?:\\.|[^\]\\])*\]|\((?!\?)|\(\?<(?![=!])[^>]*>/gs, (part) =>
    part === "(" || part.startsWith("(?<") ? "(?:" : part,
  );
}

export type Behaviour = "Removed" | "Isolated" | "MergedWithPrevious" | "MergedWithNext" | "Contiguous";

/**
 * How the library splits by this pattern as the Rust library does with this behaviour. It knows two ways: `Isolated`
 * gives matches and what lies between them, and `Removed` drops matches. Where matches join what is beside them, the
 * pattern takes that in. With `invert` matches and what lies between them change roles.
 */
export function splitAs(pattern: string, behaviour: Behaviour, invert: boolean): Readonly<Record<string, unknown>> {
  const any = String.raw`[\s\S]`;
  const before = `${any}*?(?:${pattern})`;
  const after = `(?:${pattern})(?:(?!${pattern})${any})*`;
  switch (behaviour) {
    case "Isolated":
      return split(pattern, "Isolated", false);
    case "Contiguous":
      return split(`(?:${pattern})+`, "Isolated", false);
    case "MergedWithPrevious":
      return split(invert ? after : before, "Isolated", false);
    case "MergedWithNext":
      return split(invert ? before : after, "Isolated", false);
    case "Removed":
      return split(invert ? pattern : withoutCaptures(pattern), "Removed", invert);
  }
}

function split(pattern: string, behavior: string, invert: boolean): Readonly<Record<string, unknown>> {
  return { type: "Split", pattern: { Regex: pattern }, behavior, invert };
}
