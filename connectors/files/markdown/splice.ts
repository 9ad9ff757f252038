/** Edits as splices of offsets: what no splice covers comes through byte for byte. */

/** Replaces [start, end) of the old text. `start === end` inserts. Offsets are UTF-16 code units. */
export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/**
 * The text with all splices done. Insertions at one offset keep the order they are given in.
 *
 * @throws RangeError when two splices overlap: that would be a bug in the plan, never the file's fault.
 */
export function applySplices(text: string, splices: readonly Splice[]): string {
  const ordered = [...splices].sort((a, b) => a.start - b.start || a.end - b.end);
  const parts: string[] = [];
  let at = 0;
  for (const splice of ordered) {
    if (splice.start < at) throw new RangeError(`splices overlap at ${splice.start}`);
    parts.push(text.slice(at, splice.start), splice.text);
    at = splice.end;
  }
  return parts.join('') + text.slice(at);
}

/** Ranges sorted and united where they touch or overlap. */
export function uniteRanges(
  ranges: readonly { readonly start: number; readonly end: number }[],
): { start: number; end: number }[] {
  const united: { start: number; end: number }[] = [];
  for (const range of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = united.at(-1);
    if (last && range.start <= last.end) last.end = Math.max(last.end, range.end);
    else united.push({ start: range.start, end: range.end });
  }
  return united;
}
