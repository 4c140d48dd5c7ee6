/**
 * Kernels in plain JavaScript: what is told about a file without a parser.
 *
 * A .js or .mjs file is a source when its kernels have types in JSDoc. What a bundler or tsc wrote has lost them, and
 * gets its kernels from bundles. Loading TypeScript to find that out takes longer than such a program should take to
 * start, so the texts are looked at first: no kernel has a type where neither the file nor what it imports says Tensor
 * in a comment with a tag.
 */
import { fs, path } from "../../host/fs.ts";

/** True for the names of plain JavaScript modules. */
export function isJavaScript(file: string): boolean {
  return /\.[cm]?jsx?$/.test(file);
}

/** Files that kernels and their helpers may be written in. */
const SOURCE = /\.(?:[cm]?ts|m?js)$/;

/**
 * The file that a relative import means. From TypeScript `./x.js` is x.ts if there is one, from JavaScript it is what
 * Node would import.
 */
export function fileBeside(from: string, specifier: string): string | undefined {
  const { dirname, join, resolve } = path();
  const plain = resolve(dirname(from), specifier);
  const typed = plain.replace(/\.([cm]?)js$/, ".$1ts");
  const order = isJavaScript(from) ? [plain, typed] : [typed, plain];
  return [...order, `${plain}.ts`, join(plain, "index.ts")].find((p) => SOURCE.test(p) && fs().existsSync(p));
}

/** False where a JavaScript module and what it imports have no kernels for certain. */
export function mayHaveKernels(file: string): boolean {
  return someFile(file, (text, plain) => (plain ? saysTensor(text) : /\bTensor\b/.test(text)));
}

/**
 * True where a module or what it imports has the words of the language from this package, rather than packed into it.
 */
export function importsWords(file: string): boolean {
  return someFile(file, (text) => /(?:\bfrom|\bimport)\s*["']tilestate(?:\/dsl)?["']/.test(text));
}

/** Asks about the text of a module and of each that it imports from beside it, in comments as well. */
function someFile(file: string, test: (text: string, plain: boolean) => boolean): boolean {
  const seen = new Set<string>();
  const visit = (at: string): boolean => {
    if (seen.has(at)) return false;
    seen.add(at);
    const text = textOf(at);
    if (test(text, isJavaScript(at))) return true;
    return [...text.matchAll(RELATIVE)].some(([, specifier = ""]) => {
      const next = fileBeside(at, specifier);
      return next !== undefined && visit(next);
    });
  };
  return visit(file);
}

const COMMENT = /\/\*\*[\s\S]*?\*\//g;
const RELATIVE = /(?:\bfrom|\bimport\s*\(?)\s*["'](\.[^"'\n]*)["']/g;

function saysTensor(text: string): boolean {
  return [...text.matchAll(COMMENT)].some(([c]) => /\bTensor\b/.test(c) && /@\w/.test(c));
}

function textOf(file: string): string {
  try {
    return fs().readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
