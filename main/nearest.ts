/** The name that was probably meant, for messages about one that does not exist. */

/** How much of a name may differ for the other to be offered. */
const MAX_DIFFERENCE = 0.5;

/** The likeliest of `known`, or null when none is like it. Missing first segments count little. */
export function nearest(name: string, known: readonly string[]): string | null {
  const asked = plain(name);
  const scored = known.map((other) => ({ other, score: differenceTo(asked, plain(other)) }));
  const best = scored.reduce<{ other: string; score: number } | null>(
    (least, each) => (least === null || each.score < least.score ? each : least),
    null,
  );
  return best && best.score <= Math.max(2, asked.length * MAX_DIFFERENCE) ? best.other : null;
}

/** `pulseMs` and `pulse_ms` are the same word. */
function plain(name: string): string {
  return name
    .replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    .replace(/-/g, '_')
    .replace(/(^|\.)_/g, '$1');
}

/** Edits from a name to another, or to the end of it: `redis.url` is near `database.redis.url`. */
function differenceTo(asked: string, name: string): number {
  const segments = name.split('.');
  const ends = segments.map((_, dropped) => ({ end: segments.slice(dropped).join('.'), dropped }));
  return Math.min(...ends.map(({ end, dropped }) => edits(asked, end) + dropped));
}

/** Levenshtein's distance. */
function edits(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let i = 1; i <= from.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= to.length; j += 1) {
      const replaced = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
