/**
 * Source files and places in them, as diagnostics and both intermediate languages name them.
 */

/** A place in a file. */
export interface Span {
  readonly file: string;
  /** Offsets into the file's text. */
  readonly start: number;
  readonly end: number;
  /** 1-based. */
  readonly line: number;
  readonly column: number;
}

/** A file that was read, with the hash the artefact cache is keyed by. */
export interface SourceText {
  readonly file: string;
  readonly text: string;
}
