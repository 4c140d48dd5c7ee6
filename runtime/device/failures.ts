/**
 * Who hears of what went wrong on a device.
 *
 * WebGPU reports a failure after the call that caused it, and to nobody in particular. Here every failure has an owner:
 * whoever waits for the work that failed. Work is known by the memory that it writes, so a read hears of what went
 * wrong with its tensor since the read before, and of nothing else. What nobody has heard of is thrown by the next wait
 * for everything. Work in a region (see scopes.ts) belongs to whoever opened the region, and nobody else hears of it.
 * Only what cannot be told to belong to anything, an error that no scope caught, goes to everybody who waits.
 */

/** What tensors lie in. */
export type Memory = GPUBuffer | GPUTexture;

/** Resolves to what went wrong, if anything did. Never rejects. */
export type Verdict = Promise<Error | undefined>;

interface Failure {
  readonly error: Error;
  /** When the work was submitted, as `mark` counts. */
  readonly at: number;
  /** The memory itself does not exist, so every later use of it fails for the same reason. */
  readonly lasting: boolean;
  /** When somebody was told; undefined until then. */
  heard: number | undefined;
}

/** Work whose failures belong to whoever opened the region: verdicts beside that of the region itself. */
export interface Region {
  readonly inner: Verdict[];
}

/** A wait under way, which hears of what belongs to everybody. */
export interface Ear {
  readonly errors: Error[];
}

/** What adopting an outcome may say about it. */
export interface Adoption {
  readonly owned?: boolean | undefined;
  readonly lasting?: boolean | undefined;
}

/** Failures of one piece of memory, and errors of everybody's, that are remembered at most. */
const MOST_REMEMBERED = 8;

export class Failures {
  /** The innermost region that is open; only while its function runs. */
  region: Region | undefined;
  #now = 0;
  readonly #pending: Set<Promise<void>> = new Set();
  readonly #unheard: Set<Failure> = new Set();
  readonly #byMemory: WeakMap<Memory, Failure[]> = new WeakMap();
  readonly #ears: Set<Ear> = new Set();
  #everybody: Error[] = [];

  /** A point in the order of all work: what was submitted before has a lower number. */
  mark(): number {
    return ++this.#now;
  }

  /**
   * Remembers the outcome of work that was submitted just now: by the memory that it writes, and for the next wait for
   * everything unless it is `owned` by somebody who looks at the verdict. `lasting` says that the memory was to be made
   * by it.
   */
  adopt(verdict: Verdict, touched: Iterable<Memory>, how: Adoption = {}): void {
    const { owned = false, lasting = false } = how;
    const at = this.mark();
    const pending: Promise<void> = verdict.then((error) => {
      this.#pending.delete(pending);
      if (error === undefined) return;
      const failure: Failure = { error, at, lasting, heard: undefined };
      for (const memory of touched) {
        const known = this.#byMemory.get(memory) ?? [];
        known.push(failure);
        // A lasting one comes first, and explains the others.
        if (known.length > MOST_REMEMBERED) known.splice(known[0]?.lasting ? 1 : 0, 1);
        this.#byMemory.set(memory, known);
      }
      if (!owned) this.#unheard.add(failure);
    });
    this.#pending.add(pending);
  }

  /** Waits for the outcomes of all work so far. */
  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }

  /**
   * What went wrong with these pieces of memory before `mark` and was not told to an earlier read. Call after
   * `settled`.
   */
  of(memories: Iterable<Memory>, mark: number): Error | undefined {
    const found: Failure[] = [];
    for (const memory of memories) {
      for (const f of this.#byMemory.get(memory) ?? []) {
        // Reads that were under way when somebody else was told have the same wrong values.
        if (f.at < mark && (f.lasting || f.heard === undefined || mark < f.heard)) found.push(f);
      }
    }
    return this.#tell(found);
  }

  /** What everybody who waits for everything should know: failures that nobody has heard of. Call after `settled`. */
  unheard(): Error | undefined {
    return this.#tell([...this.#unheard]);
  }

  /** The first failure explains those that follow from it. */
  #tell(found: readonly Failure[]): Error | undefined {
    const all = [...new Set(found)].sort((a, b) => Number(b.lasting) - Number(a.lasting) || a.at - b.at);
    const [first, ...more] = all;
    if (first === undefined) return undefined;
    for (const f of all) {
      f.heard ??= this.mark();
      this.#unheard.delete(f);
    }
    if (more.length === 0) return first.error;
    const { error } = first;
    const others = `(and ${more.length} more, the next: ${more[0]?.error.message})`;
    return Object.assign(error, {
      message: error.message.includes("\n(and ") ? error.message : `${error.message}\n${others}`,
    });
  }

  /**
   * An error that belongs to nobody: all waits under way hear of it, and, until one of them has told of it, those that
   * begin.
   */
  report(error: Error): void {
    for (const ear of this.#ears) ear.errors.push(error);
    if (this.#everybody.length < MOST_REMEMBERED) this.#everybody.push(error);
  }

  /** Runs a wait; its ear is given what belongs to everybody and came up meanwhile. */
  async listening<T>(wait: (ear: Ear) => Promise<T>): Promise<T> {
    const ear: Ear = { errors: [...this.#everybody] };
    this.#ears.add(ear);
    try {
      return await wait(ear);
    } finally {
      this.#ears.delete(ear);
      this.#everybody = this.#everybody.filter((error) => !ear.errors.includes(error));
    }
  }

  /** Forgets everything, when the device is closed. */
  async clear(): Promise<void> {
    await this.settled();
    this.#unheard.clear();
    this.#everybody = [];
  }
}
