/** The table of variants in docs/guarantees.md, from what the model found. */
import type { Explored } from './explore.ts';
import type { Variant } from './configurations.ts';

export const BEGIN = '<!-- model:begin -->';
export const END = '<!-- model:end -->';

export interface Finding {
  readonly variant: Variant;
  readonly explored: Explored;
}

/** The part of the docs between the markers. */
export function tableOf(findings: readonly Finding[]): string {
  const rows = findings.map(({ variant, explored }) => [
    variant.without,
    lossesOf(explored),
    traceOf(explored),
  ]);
  const head = ['taken out', 'then broken', 'shortest way there'];
  const table = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...table.map((row) => [...row[column]!].length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => cell + ' '.repeat(widths[at]! - [...cell].length)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

function lossesOf({ violations }: Explored): string {
  const names = violations.map(({ promise }) => promise).sort(byNumber);
  return names.length > 0 ? names.join(', ') : 'nothing: another check catches it';
}

function traceOf({ violations }: Explored): string {
  const shortest = violations.reduce<Explored['violations'][number] | null>(
    (best, one) => (best && best.trace.length <= one.trace.length ? best : one),
    null,
  );
  return shortest ? `${shortest.promise}: ${shortest.trace.join(' → ')}` : '';
}

function byNumber(a: string, b: string): number {
  return Number(a.slice(1)) - Number(b.slice(1));
}

/** Puts the table between the markers of a page. @throws Error when a marker is missing */
export function withTable(page: string, table: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error('the page lacks its model markers');
  return `${page.slice(0, begin + BEGIN.length)}\n\n${table}\n\n${page.slice(end)}`;
}
