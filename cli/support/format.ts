/** Numbers as people read them: bytes, counts, speeds, and rows of a table that can be printed one by one. */

/** 1536 -> "1.5 KiB". */
export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = n;
  let unit = 0;
  while (size >= 1024 && unit + 1 < units.length) {
    size /= 1024;
    unit++;
  }
  const digits = unit === 0 || size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return `${size.toFixed(digits)} ${units[unit]}`;
}

/** 4391424 -> "4.39 M". */
export function count(n: number): string {
  if (n >= 1e9) return `${(n / 1e9).toFixed(2)} B`;
  if (n >= 1e6) return `${(n / 1e6).toFixed(2)} M`;
  return n >= 1e4 ? `${(n / 1e3).toFixed(0)} K` : String(n);
}

/** Tokens a second, with as many digits as mean something. */
export function rate(tokens: number, milliseconds: number): number {
  const r = (tokens * 1000) / Math.max(milliseconds, 1e-6);
  return r >= 100 ? Math.round(r) : Math.round(r * 10) / 10;
}

export interface Column {
  readonly title: string;
  readonly width: number;
  readonly right?: boolean;
}

/** One line of a table. */
export function row(columns: readonly Column[], cells: readonly string[]): string {
  const line = columns.map(({ width, right }, i) => {
    const cell = cells[i] ?? "";
    return right ? cell.padStart(width) : cell.padEnd(width);
  });
  return line.join("  ").trimEnd();
}

/** The titles and a rule under them. */
export function heading(columns: readonly Column[]): string {
  const titles = row(
    columns,
    columns.map((c) => c.title),
  );
  return `${titles}\n${columns.map((c) => "-".repeat(c.width)).join("  ")}`;
}
