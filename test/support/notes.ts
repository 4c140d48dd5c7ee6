/**
 * What tests found out besides passing: figures that belong in the report (TILESTATE_TEST_REPORT=FILE), not in the
 * output.
 */

declare module "vitest" {
  interface TaskMeta {
    /** Lines of the JSON report, under the test's `meta`. */
    notes?: string[];
  }
}

/** Adds a line to the report of a test. */
export function note(task: { readonly meta: { notes?: string[] } }, line: string): void {
  task.meta.notes ??= [];
  task.meta.notes.push(line);
}
