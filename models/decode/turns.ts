/** Who may when: prompts are read one after the other, and rows of a batch are lent to texts. */
import { UserError } from "../../runtime/common/errors.ts";
import type { Leaving } from "./leave.ts";

/** Work that is done one after the other, in the order in which it was asked for. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #count = 0;

  /** Is something under way, or waiting for its turn? */
  get busy(): boolean {
    return this.#count > 0;
  }

  /** Does `work` when its turn has come. Who leaves before that is out of the line, and throws what `check` throws. */
  async take<T>(work: () => Promise<T>, leaving?: Leaving): Promise<T> {
    const before = this.#last;
    let done = (): void => {};
    const own = new Promise<void>((resolve) => {
      done = resolve;
    });
    this.#last = before.then(() => own);
    this.#count++;
    try {
      await (leaving === undefined ? before : Promise.race([before, leaving.stirred]));
      leaving?.check();
      return await work();
    } finally {
      this.#count--;
      done();
    }
  }
}

/** Rows of a batch, and who uses them. */
export class Leases {
  readonly #free: boolean[];
  readonly #line: Turns = new Turns();
  #released: () => void = () => {};

  constructor(rows: number) {
    this.#free = new Array<boolean>(rows).fill(true);
  }

  /** Rows in use. */
  get taken(): number {
    return this.#free.filter((free) => !free).length;
  }

  /** The lowest row that nobody uses. */
  take(): number | undefined {
    const row = this.#free.indexOf(true);
    if (row < 0) return undefined;
    this.#free[row] = false;
    return row;
  }

  /**
   * The same, as soon as there is one; who asked first gets it first. Who leaves meanwhile throws what `check` throws.
   */
  async wait(leaving: Leaving): Promise<number> {
    return this.#line.take(async () => {
      for (;;) {
        const row = this.take();
        if (row !== undefined) return row;
        const released = new Promise<void>((resolve) => {
          this.#released = resolve;
        });
        await Promise.race([released, leaving.stirred]);
        leaving.check();
      }
    }, leaving);
  }

  release(row: number): void {
    this.#free[row] = true;
    this.#released();
  }
}

/** The error for a text that finds all `rows` of the decoder of `model` taken. */
export function allTaken(rows: number, model: string): UserError {
  return new UserError(
    rows === 1
      ? `the decoder of "${model}" is writing a text already, and has a state for one sequence`
      : `all ${rows} rows of the decoder of "${model}" are writing texts`,
    {
      hint: 'read the other text to its end, leave its loop, load the decoder with a larger batch, or pass whenBusy: "wait"',
    },
  );
}
