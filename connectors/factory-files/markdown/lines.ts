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
  while (end < text.length && text[end] !== '\n' && text[end] !== '\r') end += 1;
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
  return isBlank(text.slice(start, lineEnd(text, start)));
}

export function isBlank(text: string): boolean {
  return /^[ \t\r\n]*$/.test(text);
}

/** The line ending most lines have; `\n` for a text without any. */
export function dominantEol(text: string): string {
  const windows = text.match(/\r\n/g)?.length ?? 0;
  const all = text.match(/\n/g)?.length ?? 0;
  return windows > all - windows ? '\r\n' : '\n';
}

/** The text with every line ending as `\n`: what observations hold, whatever the file uses. */
export function withUnixEols(text: string): string {
  return text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
}

function isLineBreakBefore(text: string, at: number): boolean {
  const before = text[at - 1];
  return before === '\n' || (before === '\r' && text[at] !== '\n');
}
