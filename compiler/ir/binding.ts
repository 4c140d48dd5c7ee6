/**
 * Bindings: what one use of a kernel fixes, and which of its parameters share a storage binding.
 */
import type { StorageType } from "./formats.ts";

/**
 * A parameter of one call and where its tensor lies. Offsets are multiples of 256 bytes, as WebGPU wants them of
 * bindings.
 */
export interface Place {
  /** Name of the parameter. */
  readonly name: string;
  /** The same for all that lie in one GPU buffer. */
  readonly home: unknown;
  /** Bytes from the start of the buffer. */
  readonly offset: number;
  /** Bytes of the tensor, its scales included. */
  readonly bytes: number;
  /** The kernel writes it. */
  readonly writes: boolean;
  /** The kernel updates its elements indivisibly. */
  readonly atomic: boolean;
}

/** A parameter inside a shared binding, and the word that it starts at. */
export interface Member {
  /** Name of the parameter. */
  readonly name: string;
  /** Its first word of 4 bytes, counted from the start of the binding. */
  readonly at: number;
}

/** A parameter that is bound in windows, and the words of each; the last one has what is left. */
export interface Parted {
  /** Name of the parameter. */
  readonly name: string;
  /** Words of 4 bytes in a window. */
  readonly words: number;
}

/** What differs from a binding for each parameter; part of what a variant is made for. */
export interface Packing {
  /** Parameters that are read, and bound for writing because others in their GPU buffer are written. */
  readonly writable: readonly string[];
  /** Parameters that share a binding; those of a pack in the order of their places, the first at word 0. */
  readonly packs: readonly (readonly Member[])[];
  /** Parameters that are longer than a binding may be. */
  readonly parted?: readonly Parted[];
}

/** What one use of a kernel fixes. */
export interface Binding {
  /** Elements of each dim. */
  readonly sizes: Readonly<Record<string, number>>;
  /** Storage of each tensor. */
  readonly storage: Readonly<Record<string, StorageType>>;
  /** Scalars that are read from GPU memory; the others are uniforms. */
  readonly cells: readonly string[];
  /** Rows in a panel of each tensor that lies in panels (panels.ts); left out where none does. */
  readonly panels?: Readonly<Record<string, number>> | undefined;
  /** Texels in a row of the texture of each tensor that lies in one (texture.ts); left out where none does. */
  readonly pitches?: Readonly<Record<string, number>> | undefined;
  /** Which parameters share a binding; left out where each has its own. */
  readonly packing?: Packing | undefined;
}
