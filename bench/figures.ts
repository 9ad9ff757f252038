/** Turning samples into figures, and figures into text. Pure. */

/** Nearest-rank percentile: the smallest sample at or above `percent` of all of them. */
export function percentile(samples: readonly number[], percent: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}

/** Middle sample; of an even number the lower of the two. */
export function median(samples: readonly number[]): number {
  return percentile(samples, 50);
}

/** `n, p50, p90, p95, p99, max` of times in ms, as table cells. */
export function spread(samples: readonly number[]): string[] {
  const at = (percent: number): string => ms(percentile(samples, percent));
  return [String(samples.length), at(50), at(90), at(95), at(99), ms(Math.max(...samples))];
}

export const SPREAD_HEAD: readonly string[] = ['n', 'p50', 'p90', 'p95', 'p99', 'max'];

/** A time for people: `7.3` below ten milliseconds, whole ones above. */
export function ms(value: number): string {
  if (!Number.isFinite(value)) return '-';
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
}

/** A Markdown table; the first column is text, the others are numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => padded(cells[column] ?? '', { width, column })).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? '-' : '').padEnd(width + 1, '-') + (column === 0 ? '-' : ':')).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

function padded(cell: string, { width, column }: { width: number; column: number }): string {
  return column === 0 ? cell.padEnd(width) : cell.padStart(width);
}
