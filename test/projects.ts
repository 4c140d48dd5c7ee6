/**
 * The four parts of the suite, and which test file belongs to which.
 *
 * `pure` needs no GPU and says the same in every runtime; `gpu` runs kernels on adapters; `models` runs decoders and
 * the commands around them; `endurance` runs one of them for long. `npm test -- --project pure` runs one part.
 * test/smoke/projects.test.ts checks that every test file is in exactly one.
 */

export type ProjectName = "pure" | "gpu" | "models" | "endurance";

/** Files by pattern; a file belongs to the first project that has a pattern for it. */
export const PROJECTS: Readonly<Record<ProjectName, readonly string[]>> = {
  endurance: ["test/**/*endurance.test.ts"],
  models: [
    "test/models/decoder/**/*.test.ts",
    "test/models/state/{policies,user-policy}.test.ts",
    "test/cli/{bad-input,demo,eval,forward,generate,output,policies,process,trace,warm,weights}.test.ts",
    "test/bench/commands.test.ts",
    "test/examples/**/*.test.ts",
  ],
  gpu: [
    "test/{examples-kernels,fuzz,kernels,runtime}/**/*.test.ts",
    "test/bench/kernels.test.ts",
    "test/cli/adapters.test.ts",
    "test/compiler/bundle.test.ts",
    "test/docs/language.test.ts",
    "test/dsl/specialise.test.ts",
  ],
  pure: ["test/{bench,cli,compiler,docs,dsl,models,smoke}/**/*.test.ts"],
};

/** What vitest is told about each project, in the order of the table. */
export function projectFiles(): readonly { readonly name: ProjectName; include: string[]; exclude: string[] }[] {
  const names = Object.keys(PROJECTS) as ProjectName[];
  return names.map((name, i) => ({
    name,
    include: [...PROJECTS[name]],
    exclude: names.slice(0, i).flatMap((earlier) => PROJECTS[earlier]),
  }));
}
