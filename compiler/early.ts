/**
 * Loads first: in each turn of a loop, up to where lanes meet, what is read from buffers the kernel only reads is fetched before anything is computed.
 *
 * Lowering makes a register when it is first used, so loads stand between the products that need them. Software adapters turn a load into a piece of control
 * flow (a check and a turn for each lane), which cuts the arithmetic around it into pieces that their compilers cannot order; with the loads in
 * front a turn is one straight run of arithmetic. That matters where each load serves many products, as in a product of matrices.
 */
import type { LaneProgram, Stmt } from "./lane.ts";
import { atomsOf } from "./sweep.ts";

/** Words that a turn may load at once. More would not stay in registers until they are used. */
const MOST_WORDS = 40;

/** Products for each load from which on it pays. With less to order, each product may as well follow its load. */
const REUSE = 4;

/** The program with the loads of each loop body, and the addresses they need, moved to its start. */
export function loadsFirst(program: LaneProgram): LaneProgram {
  const written = new Set(program.buffers.filter((b) => b.writes).map((b) => b.name));
  return { ...program, body: program.body.map((s) => inner(s, written)) };
}

function inner(s: Stmt, written: ReadonlySet<string>): Stmt {
  if (s.op === "for")
    return {
      ...s,
      body: early(
        s.body.map((t) => inner(t, written)),
        written,
      ),
    };
  if (s.op === "if") return { ...s, yes: s.yes.map((t) => inner(t, written)), no: s.no.map((t) => inner(t, written)) };
  return s;
}

/** Lanes meet, or a nested region begins, between two runs; loads stay in their run, since what comes after a meeting has time. */
function early(body: readonly Stmt[], written: ReadonlySet<string>): Stmt[] {
  const out: Stmt[] = [];
  let run: Stmt[] = [];
  for (const s of body) {
    const meets = s.op === "barrier" || (s.op === "let" && (s.rhs.op === "lanes" || s.rhs.op === "before"));
    if (!meets && s.op !== "for" && s.op !== "if") {
      run.push(s);
      continue;
    }
    out.push(...ordered(run, written), s);
    run = [];
  }
  return [...out, ...ordered(run, written)];
}

function ordered(body: readonly Stmt[], written: ReadonlySet<string>): Stmt[] {
  type Let = Stmt & { op: "let" };
  const lets = new Map<string, Let>();
  const changed = new Set<string>();
  for (const s of body) {
    if (s.op === "let") lets.set(s.name, s);
    if (s.op === "var" || s.op === "assign") changed.add(s.name);
  }
  const first = new Set<Stmt>();
  /** Can this be made at the start? Only from what is there before, or can be made there too. */
  const movable = (s: Let, seen: Let[]): boolean => {
    if (first.has(s) || seen.includes(s)) return true;
    if (s.rhs.op === "read" || (s.rhs.op === "load" && written.has(s.rhs.buffer))) return false;
    seen.push(s);
    return atomsOf(s.rhs).every((a) => {
      if (a === undefined || a.kind === "const") return true;
      const made = lets.get(a.name);
      return made === undefined ? !changed.has(a.name) : movable(made, seen);
    });
  };
  let [words, loads, products] = [0, 0, 0];
  for (const s of body) {
    // Words that are unpacked take many operations each: those hide the next load, and would wait for theirs with all of the words in registers.
    if (s.op !== "let" || s.rhs.op !== "load" || s.type.base !== "f32") continue;
    const seen: Let[] = [];
    if (!movable(s, seen)) continue;
    for (const t of seen) first.add(t);
    words += s.type.width;
    loads++;
  }
  for (const s of body) if (s.op === "let" && s.rhs.op === "dot") products++;
  if (words > MOST_WORDS || products < REUSE * loads) return [...body];
  return [...body.filter((s) => first.has(s)), ...body.filter((s) => !first.has(s))];
}
