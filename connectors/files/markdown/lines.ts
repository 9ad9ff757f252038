/** Lines of a text by offset. Only `\n`, `\r` and `\r\n` end a line, as in CommonMark. */

/** Offset of the first character of the line that holds `at`. */
export function lineStart(text: string, at: number): number {
  let start = at;
  while (start > 0 && !isLineBreakBefore(text, start)) start -= 1;
  return start;
}

/** Offset just after the last character of the line that holds `at`, before its line ending. */
export function lineEnd(text: string, at: number): number {
  let end = at;
  while (end < text.length && !isLineBreak(text.charCodeAt(end))) end += 1;
  return end;
}

/** Offset of the line after the one that holds `at`; the text's length on the last line. */
export function nextLine(text: string, at: number): number {
  const end = lineEnd(text, at);
  return end + (text.startsWith('\r\n', end) ? 2 : end < text.length ? 1 : 0);
}

/** Offset of the line before the one that starts at `start`, or null on the first line. */
export function previousLine(text: string, start: number): number | null {
  if (start === 0) return null;
  const breakLength = text.startsWith('\r\n', start - 2) ? 2 : 1;
  return lineStart(text, start - breakLength);
}

/** Whether the line that starts at `start` has nothing but spaces and tabs. */
export function isBlankLine(text: string, start: number): boolean {
  let at = start;
  while (at < text.length && (text[at] === ' ' || text[at] === '\t')) at += 1;
  return at === text.length || isLineBreak(text.charCodeAt(at));
}

export function isBlank(text: string): boolean {
  return /^[ \t\r\n]*$/.test(text);
}

/** A quicker {@link nextLine} for a text whose lines all end in `\n`. */
export function nextUnixLine(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end + 1;
}

/** The way from line to line that is quickest for a text. */
export function lineWalker(text: string): (text: string, at: number) => number {
  return text.includes('\r') ? nextLine : nextUnixLine;
}

/** How many lines a text has, up to `most`. */
export function countLines(text: string, most: number = Infinity): number {
  const next = lineWalker(text);
  let lines = 0;
  for (let at = 0; at < text.length && lines < most; at = next(text, at)) lines += 1;
  return lines;
}

export type Eol = '\n' | '\r\n' | '\r';

/** The line ending most lines have; of equals `\n`, then `\r\n`; `\n` for a text without any. */
export function dominantEol(text: string): Eol {
  const returns = occurrences(text, '\r');
  if (returns === 0) return '\n';
  const windows = occurrences(text, '\r\n');
  const counts = {
    '\n': occurrences(text, '\n') - windows,
    '\r\n': windows,
    '\r': returns - windows,
  };
  const most = Math.max(...Object.values(counts));
  return (['\n', '\r\n'] as const).find((eol) => counts[eol] === most) ?? '\r';
}

/** The text with every line ending as `\n`: what observations hold, whatever the file uses. */
export function withUnixEols(text: string): string {
  return text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
}

function occurrences(text: string, wanted: string): number {
  let count = 0;
  for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length))
    count += 1;
  return count;
}

function isLineBreak(code: number): boolean {
  return code === 10 || code === 13;
}

function isLineBreakBefore(text: string, at: number): boolean {
  const before = text[at - 1];
  return before === '\n' || (before === '\r' && text[at] !== '\n');
}
