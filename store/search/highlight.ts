/**
 * Shows where a context has the words of a query. The excerpt is safe to put into an HTML page: all
 * of it is escaped, and the only markup is `<mark>` around each word that was found. Pure.
 */
import { escapeHtml } from '../../domain/escape-html.ts';
import { wordsOf, type Word } from './words.ts';

/** Characters of an excerpt, about. */
const EXCERPT = 200;
const LEAD = 40;
/** Characters that are looked through for the best place. */
const MAX_SEARCHED = 32_768;

interface Excerpt {
  readonly text: string;
  /** Words found, from the first of the excerpt on. */
  readonly words: readonly Word[];
  /** How many different terms they are. */
  readonly distinct: number;
}

/**
 * The excerpt with most of the terms, of the first part that has that many; null when none has any.
 * Give the parts best first.
 */
export function highlightOf(parts: Iterable<string>, terms: readonly string[]): string | null {
  const wanted = new Set(terms);
  let best: Excerpt | null = null;
  let searched = 0;
  for (const part of parts) {
    if (searched > MAX_SEARCHED || best?.distinct === wanted.size) break;
    const text = part.slice(0, MAX_SEARCHED - searched);
    searched += part.length;
    const found = bestExcerpt(text, wanted);
    if (found && found.distinct > (best?.distinct ?? 0)) best = found;
  }
  return best && markup(best);
}

function bestExcerpt(text: string, wanted: ReadonlySet<string>): Excerpt | null {
  const found = wordsOf(text).filter(({ term }) => wanted.has(term));
  let best: Excerpt | null = null;
  for (let from = 0, to = 0; from < found.length; from += 1) {
    while (to < found.length && found[to]!.end - found[from]!.start <= EXCERPT - LEAD) to += 1;
    const words = found.slice(from, Math.max(to, from + 1));
    const distinct = new Set(words.map(({ term }) => term)).size;
    if (distinct > (best?.distinct ?? 0)) best = { text, words, distinct };
    if (distinct === wanted.size) break;
  }
  return best;
}

function markup({ text, words }: Excerpt): string {
  const first = words[0]!;
  const start = boundary(text, first.start - LEAD, first.start);
  const last = Math.max(...words.map(({ end }) => end));
  const end = Math.max(last, Math.min(text.length, start + EXCERPT));
  const stop = end >= text.length ? text.length : last + wholeWords(text.slice(last, end)).length;
  let html = start > 0 ? '…' : '';
  let done = start;
  for (const word of words) {
    if (word.end <= done) continue; // a part of a word that is marked already
    const begin = Math.max(done, word.start);
    html += `${escapeHtml(text.slice(done, begin))}<mark>${escapeHtml(text.slice(begin, word.end))}</mark>`;
    done = word.end;
  }
  return html + escapeHtml(text.slice(done, stop)) + (stop < text.length ? '…' : '');
}

/** Where the excerpt begins: after a space at or behind `from`, before `until`. */
function boundary(text: string, from: number, until: number): number {
  if (from <= 0) return 0;
  const space = text.slice(from, until).search(/\s/u);
  return space < 0 ? until : from + space + 1;
}

function wholeWords(text: string): string {
  const cut = text.replace(/\S*$/u, '');
  return cut === '' ? '' : cut.trimEnd();
}
