/**
 * Source files and places in them, as diagnostics and both intermediate languages name them.
 */

/** A place in a file. */
export interface Span {
  /** Path of the file. */
  readonly file: string;
  /** Offset of the first character in the file's text, from 0. */
  readonly start: number;
  /** Offset behind the last character. */
  readonly end: number;
  /** Line, counted from 1. */
  readonly line: number;
  /** Column, counted from 1. */
  readonly column: number;
}

/** A file that was read, with the hash the artefact cache is keyed by. */
export interface SourceText {
  /** Path of the file. */
  readonly file: string;
  /** Everything in it. */
  readonly text: string;
}
