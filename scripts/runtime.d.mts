/** The part of runtime.mjs that TypeScript programs use. */

/** The package's folder, with a slash at the end. */
export declare const root: string;
export declare const runtime: "node" | "bun" | "deno";
/** Arguments with which this runtime starts a program, which may be TypeScript. */
export declare function runArguments(program: string): string[];
