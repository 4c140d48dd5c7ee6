/**
 * Adapter traits: what schedules and code generation ask of an adapter that is neither a feature nor a limit of WebGPU.
 * A value, filled in one place (runtime/adapters/traits.ts), as TVM's `Target` attributes and LLVM's subtarget features
 * are.
 */

/** What an adapter is like. Every trait changes code or where data lie, never results. */
export interface AdapterTraits {
  /** Vectors are shifted one lane at a time; products take the place of shifts where they can. */
  readonly scalarShifts: boolean;
  /** A constant is a load from an address of its own at every use; masks that many words meet are kept in variables. */
  readonly constantsAreLoads: boolean;
  /** One instruction takes a word's four bytes apart; elsewhere codes are masked where they lie. */
  readonly unpacksBytes: boolean;
  /** A load from a buffer is a check and a branch for each lane, which cuts the arithmetic around it into pieces. */
  readonly bufferLoadsBranch: boolean;
  /** Texels are loaded whole and for all lanes at once; matrices lie in textures, in panels of rows. */
  readonly textureLoadsCheap: boolean;
  /**
   * Vectors that the adapter's compiler keeps in registers from one use to the next; 0 where what waits lies in memory.
   */
  readonly vectorRegisters: number;
  /**
   * Loops of few known turns are unrolled by the adapter's compiler, which costs seconds; their bounds are hidden from
   * it.
   */
  readonly unrollsLoops: boolean;
  /** A kernel of a matrix product takes seconds to compile, so few shapes of it are made. */
  readonly compilesSlowly: boolean;
  /** Pipelines compile in the thread that asks, also the asynchronous ones; they are made one after the other. */
  readonly compilesInCaller: boolean;
  /**
   * Subgroups are of the size that the adapter tells, and each is made of neighbouring invocations in their order.
   * Where that is not known, lanes are the builtin's, and a probe looks at the rest when a device is opened.
   */
  readonly linearSubgroups: boolean;
  /**
   * Threads of the adapter for each core of a small machine that decoding is fastest with; 0 where it does not run on
   * cores.
   */
  readonly threadsPerCore: number;
  /** Bytes of the largest texture, where that is less than its extents allow. */
  readonly textureBytes: number | undefined;
}
