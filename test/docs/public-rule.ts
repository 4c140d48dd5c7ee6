/**
 * The rule for docs of functions and methods that anybody may call: each parameter is named, and what is thrown is said
 * with `@throws`. In goes the text of a file and the public names that it declares, out come complaints.
 */
import { ts } from "ts-morph";

/** What the rule found in one file. */
export interface Findings {
  /** One line for each complaint: file, line, name, and what is missing. */
  readonly complaints: readonly string[];
  /** The public names that were found, functions or not. */
  readonly found: readonly string[];
  /** How many functions and methods were looked at. */
  readonly looked: number;
}

/** A function, method, constructor or accessor, with a body or, in an interface, without. */
type Callable = ts.SignatureDeclaration & { readonly body?: ts.Node };

/**
 * Looks at the public functions of a file, and at the methods of its public classes and interfaces. Members that are
 * private, or marked `@internal`, are passed over.
 * @param file its name in complaints
 * @param text its source
 * @param names what of it is public
 */
export function publicRule(file: string, text: string, names: ReadonlySet<string>): Findings {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const complaints: string[] = [];
  const found: string[] = [];
  let looked = 0;
  const look = (name: string, node: Callable, doc: string): void => {
    if (/@internal\b/.test(doc)) return;
    looked++;
    const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
    for (const what of missing(node, doc)) complaints.push(`${file}:${line} ${name}: ${what}`);
  };
  const members = (name: string, of: readonly ts.Node[]): void => {
    for (const m of of) {
      if (!isCallable(m) || isPrivate(m)) continue;
      look(`${name}.${m.name?.getText() ?? "constructor"}`, m, docOf(m, text));
    }
  };
  for (const s of source.statements) {
    for (const name of namesOf(s).filter((n) => names.has(n))) {
      found.push(name);
      if (ts.isFunctionDeclaration(s)) look(name, s, docOf(s, text));
      else if (ts.isClassDeclaration(s) || ts.isInterfaceDeclaration(s)) members(name, s.members);
      else if (ts.isVariableStatement(s)) {
        const value = s.declarationList.declarations.find((d) => d.name.getText() === name)?.initializer;
        if (value !== undefined && (ts.isArrowFunction(value) || ts.isFunctionExpression(value)))
          look(name, value, docOf(s, text));
      }
    }
  }
  return { complaints, found, looked };
}

function namesOf(s: ts.Statement): string[] {
  if (ts.isVariableStatement(s)) return s.declarationList.declarations.map((d) => d.name.getText());
  const name = (s as Partial<ts.DeclarationStatement>).name;
  return name === undefined ? [] : [name.getText()];
}

function isCallable(n: ts.Node): n is Callable {
  return ts.isMethodDeclaration(n) || ts.isMethodSignature(n) || ts.isConstructorDeclaration(n) || ts.isAccessor(n);
}

function isPrivate(n: Callable): boolean {
  if (n.name !== undefined && ts.isPrivateIdentifier(n.name)) return true;
  return (ts.getCombinedModifierFlags(n) & ts.ModifierFlags.Private) !== 0;
}

/** The comment that documents a declaration; empty where there is none. */
function docOf(n: ts.Node, text: string): string {
  const last = (ts.getLeadingCommentRanges(text, n.getFullStart()) ?? []).at(-1);
  const comment = last === undefined ? "" : text.slice(last.pos, last.end);
  return comment.startsWith("/**") ? comment : "";
}

function missing(n: Callable, doc: string): string[] {
  const lacks: string[] = [];
  for (const [i, p] of n.parameters.entries()) {
    if (!ts.isIdentifier(p.name)) lacks.push(`parameter ${i + 1} has no name, so nothing can be said of it`);
    else if (!new RegExp(`@param ${p.name.text}\\b|\`${p.name.text}\``).test(doc))
      lacks.push(`nothing is said of the parameter ${p.name.text}`);
  }
  const tagged = /^\s*(?:\/\*\*|\*) @throws\b/m.test(doc);
  if (tagged) return lacks;
  if (n.body !== undefined && throws(n.body)) lacks.push("it throws, and has no @throws");
  else if (/\bthrows\b/i.test(doc)) lacks.push("its text says that it throws, and it has no @throws");
  return lacks;
}

/** Does this throw by itself, not only in a function inside of it? */
function throws(n: ts.Node): boolean {
  if (ts.isThrowStatement(n)) return true;
  if (ts.isFunctionLike(n)) return false;
  return ts.forEachChild(n, throws) ?? false;
}
