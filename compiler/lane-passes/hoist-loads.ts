/**
 * Loads first: in each turn of a loop, up to where lanes meet, what is read from buffers the kernel only reads is
 * fetched before anything is computed.
 *
 * Lowering makes a register when it is first used, so loads stand between the products that need them. Software
 * adapters turn a load into a piece of control flow (a check and a turn for each lane), which cuts the arithmetic
 * around it into pieces that their compilers cannot order; with the loads in front a turn is one straight run of
 * arithmetic. That matters where each load serves many products, as in a product of matrices.
 *
 * In the same way what lanes hand around, and all that is computed from it alone, comes before what each lane loads for
 * itself: a few hundredths of a matrix-vector product.
 */
import type { LaneProgram, Stmt } from "../ir/lane/program.ts";
import { atomsOf } from "../ir/lane/traverse.ts";

/**
 * Words that a turn may have at once before it computes with them. More would not stay in registers until they are
 * used.
 */
const MOST_WORDS = 40;

/** Products for each load from which on it pays. With less to order, each product may as well follow its load. */
const REUSE = 4;

/**
 * The program with the loads of each loop body, and the addresses they need, moved to its start. What is handed out
 * comes first only where it waits in registers: in memory it is a loss as often as a gain.
 * @param vectorRegisters how many vectors wait in registers; 0: all in memory.
 */
export function loadsFirst(program: LaneProgram, vectorRegisters: number): LaneProgram {
  const written = new Set(program.buffers.filter((b) => b.writes).map((b) => b.name));
  const order = (body: readonly Stmt[]): Stmt[] => ordered(body, written, vectorRegisters > 0);
  return { ...program, body: program.body.map((s) => inner(s, order)) };
}

type Order = (body: readonly Stmt[]) => Stmt[];

type Let = Stmt & { op: "let" };

function inner(s: Stmt, order: Order): Stmt {
  const region = (body: readonly Stmt[]): Stmt[] => body.map((t) => inner(t, order));
  if (s.op === "for") return { ...s, body: early(region(s.body), order) };
  return s.op === "if" ? { ...s, yes: region(s.yes), no: region(s.no) } : s;
}

/**
 * Lanes meet, or a nested region begins, between two runs; loads stay in their run, since what comes after a meeting
 * has time.
 */
function early(body: readonly Stmt[], order: Order): Stmt[] {
  const out: Stmt[] = [];
  let run: Stmt[] = [];
  for (const s of body) {
    const meets = s.op === "barrier" || (s.op === "let" && (s.rhs.op === "lanes" || s.rhs.op === "before"));
    if (!meets && s.op !== "for" && s.op !== "if") {
      run.push(s);
      continue;
    }
    out.push(...order(run), s);
    run = [];
  }
  return [...out, ...order(run)];
}

function ordered(body: readonly Stmt[], written: ReadonlySet<string>, split: boolean): Stmt[] {
  const lets = new Map<string, Let>();
  const changed = new Set<string>();
  for (const s of body) {
    if (s.op === "let") lets.set(s.name, s);
    if (s.op === "var" || s.op === "assign") changed.add(s.name);
  }
  /** Can this be made at the start? Only from what is there before, or can be made there too. */
  const movable = (s: Let, seen: Set<Stmt>): boolean => {
    if (seen.has(s)) return true;
    if (s.rhs.op === "read" || (s.rhs.op === "load" && written.has(s.rhs.buffer))) return false;
    seen.add(s);
    return atomsOf(s.rhs).every((a) => {
      if (a === undefined || a.kind === "const") return true;
      const made = lets.get(a.name);
      return made === undefined ? !changed.has(a.name) : movable(made, seen);
    });
  };
  const first = new Set<Stmt>();
  for (const wanted of [split ? handedOut(lets) : [], loaded(lets)]) {
    const moved = wanted.flatMap((s) => {
      const seen = new Set(first);
      return movable(s, seen) ? [...seen] : [];
    });
    for (const s of moved) first.add(s);
  }
  return [...body.filter((s) => first.has(s)), ...body.filter((s) => !first.has(s))];
}

/** What one lane handed to all of them, and what is computed from that alone. */
function handedOut(lets: ReadonlyMap<string, Let>): Let[] {
  const all = [...lets.values()];
  const words = all.reduce((n, s) => n + (s.rhs.op === "take" ? s.type.width : 0), 0);
  if (words > MOST_WORDS) return [];
  const alike = new Set<string>();
  const apart = new Set<string>();
  // Names are defined before they are used.
  for (const s of all) {
    const made = atomsOf(s.rhs).flatMap((a) => (a?.kind === "ref" && lets.has(a.name) ? [a.name] : []));
    if (s.rhs.op === "take") alike.add(s.name);
    else if (s.rhs.op === "load" || s.rhs.op === "read" || made.some((n) => apart.has(n))) apart.add(s.name);
    else if (made.some((n) => alike.has(n))) alike.add(s.name);
  }
  return all.filter((s) => alike.has(s.name));
}

/** The loads, where there are few enough of them and each serves many products. */
function loaded(lets: ReadonlyMap<string, Let>): Let[] {
  // Words that are unpacked take many operations each: those hide the next load, and would wait for theirs with all of
  // the words in registers.
  const loads = [...lets.values()].filter((s) => s.rhs.op === "load" && s.type.base === "f32");
  const words = loads.reduce((n, s) => n + s.type.width, 0);
  const products = [...lets.values()].filter((s) => s.rhs.op === "dot").length;
  return words > MOST_WORDS || products < REUSE * loads.length ? [] : loads;
}
