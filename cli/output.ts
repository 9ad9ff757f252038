/** What a command prints: JSON when asked for, tables and colour only on a terminal. */
import Table from 'cli-table3';
import pc from 'picocolors';
import { jsonText } from '../client/index.ts';

export type Color = 'green' | 'red' | 'yellow' | 'cyan' | 'dim' | 'bold';

export interface OutputOptions {
  readonly write: (text: string) => void;
  readonly isTerminal: boolean;
  readonly hasColor: boolean;
  readonly isJson: boolean;
}

export interface Output {
  readonly isJson: boolean;
  /** Prints `value` as JSON when asked for JSON, else what `text` prints. */
  show(value: unknown, text: () => void): void;
  line(text?: string): void;
  /** Rows under heads; separated by tabs when not on a terminal. */
  table(heads: readonly string[], rows: readonly (readonly Cell[])[]): void;
  paint(color: Color, text: string): string;
}

/** Text in a colour; the text is cleaned of control characters before it is painted. */
export interface Painted {
  readonly text: string;
  readonly color: Color;
}

export type Cell = string | number | Painted | null | undefined;

/** An output over one stream. */
export function createOutput(options: OutputOptions): Output {
  const colors = pc.createColors(options.isTerminal && options.hasColor);
  const line = (text = ''): void => options.write(`${text}\n`);
  const paint = (color: Color, text: string): string => colors[color](text);
  return {
    isJson: options.isJson,
    show: (value, text) => (options.isJson ? line(prettyJson(value)) : text()),
    line,
    table: (heads, rows) => {
      const cells = rows.map((row) => row.map((cell) => cellText(cell, paint)));
      line(options.isTerminal ? drawTable(heads, cells, colors.dim) : plainTable(heads, cells));
    },
    paint,
  };
}

function drawTable(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  dim: (text: string) => string,
): string {
  const table = new Table({
    head: heads.map(dim),
    chars: NO_LINES,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
  });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}

const NO_LINES = Object.fromEntries(
  [
    'top',
    'top-mid',
    'top-left',
    'top-right',
    'bottom',
    'bottom-mid',
    'bottom-left',
    'bottom-right',
    'left',
    'left-mid',
    'mid',
    'mid-mid',
    'right',
    'right-mid',
    'middle',
  ].map((place) => [place, '']),
);

function plainTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  return [heads, ...rows].map((row) => row.join('\t')).join('\n');
}

function cellText(cell: Cell, paint: Output['paint']): string {
  if (typeof cell === 'object' && cell !== null) return paint(cell.color, safeText(cell.text));
  return cell === null || cell === undefined || cell === '' ? '-' : safeText(String(cell));
}

/** Text without control characters, which could steer a terminal or break a table. */
export function safeText(text: string): string {
  return text.replace(/\p{Cc}/gu, (char) => (char === '\n' ? '⏎' : '\uFFFD'));
}

/** Indented JSON that keeps -0. */
export function prettyJson(value: unknown): string {
  return indent(JSON.parse(jsonText(value)) as unknown, '');
}

function indent(value: unknown, margin: string): string {
  if (typeof value !== 'object' || value === null) return jsonText(value);
  const inner = `${margin}  `;
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  const parts = Object.entries(value).map(
    ([name, member]) =>
      `${inner}${Array.isArray(value) ? '' : `${JSON.stringify(name)}: `}${indent(member, inner)}`,
  );
  return parts.length === 0 ? open + close : `${open}\n${parts.join(',\n')}\n${margin}${close}`;
}
