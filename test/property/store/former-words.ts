/**
 * The former, plain implementation of `store/search/words.ts` and of the vector made of it, kept to
 * hold the quick ones against: what is in an index must not depend on when it was written.
 */
import { stem } from '../../../store/search/stem.ts';
import type { Word } from '../../../store/search/words.ts';
import { STOP_WORDS } from '../../../store/search/stop-words.ts';

/** Longest term, in characters; what is longer is cut, in the index as in a query. */
const MAX_TERM = 64;
/** Stems of words seen lately: most words of a text were seen before. */
const MAX_STEMS = 20_000;

// A run of word characters, and runs that a single joint holds together: `parse_blocks`, `a.b@c.de`.
const RUN = /[\p{L}\p{N}\p{M}]+(?:[_.@:/\\'’+-][\p{L}\p{N}\p{M}]+)*/gu;
const PART = /[\p{L}\p{N}\p{M}]+/gu;
const APOSTROPHE = /['’](?:s|t|re|ve|ll|d|m)$/iu;
/** Scripts that put no space between words. */
const UNSPACED =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u;
const UNSPACED_RUNS = new RegExp(
  `${UNSPACED.source}[${UNSPACED.source.slice(1, -1)}\\p{M}ー]*`,
  'gu',
);
const HUMP = /(?<=[\p{Ll}\p{N}])(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})/u;
const HAS_HUMP = /[\p{Ll}\p{N}]\p{Lu}|\p{Lu}\p{Lu}\p{Ll}/u;
/** Most words by far: nothing to fold, nothing to take apart. */
const SIMPLE = /^(?:[A-Z]?[a-z]+|[A-Z]+)$/;
const PLAIN = /^[a-z]+$/;
const ACCENTS = /[\u0300-\u036f]/g;

const stems = new Map<string, string>();

interface CutOptions {
  /** Words wanted at most; default: all. */
  readonly most?: number;
  /** For searching: of a run without spaces only the pairs of characters, which say more. */
  readonly isQuery?: boolean;
}

/** The words of a text in order. Stop words are left out. */
export function formerWordsOf(
  text: string,
  { most = Infinity, isQuery = false }: CutOptions = {},
): Word[] {
  const words: Word[] = [];
  for (const match of text.matchAll(RUN)) {
    if (words.length >= most) break;
    addRun(words, { run: match[0], start: match.index, isQuery });
  }
  return words.length > most ? words.slice(0, most) : words;
}

interface Run {
  readonly run: string;
  /** Where it begins in the text. */
  readonly start: number;
  readonly isQuery: boolean;
}

function addRun(words: Word[], found: Run): void {
  const { run, start } = found;
  const end = start + run.length;
  if (SIMPLE.test(run)) return addTerm(words, run.toLowerCase().slice(0, MAX_TERM), { start, end });
  if (UNSPACED.test(run)) return addUnspaced(words, found);
  const bare = run.replace(APOSTROPHE, '');
  const isCompound = /[^\p{L}\p{N}\p{M}'’]/u.test(bare) || HAS_HUMP.test(bare);
  if (!isCompound) return addWord(words, bare, { start, end });
  push(words, fold(bare), { start, end });
  for (const part of bare.matchAll(PART)) {
    let at = start + part.index;
    for (const piece of part[0].split(HUMP)) {
      addWord(words, piece, { start: at, end: at + piece.length });
      at += piece.length;
    }
  }
}

/** Folding may leave nothing: of accents alone, for one. */
function push(words: Word[], term: string, { start, end }: { start: number; end: number }): void {
  if (term !== '') words.push({ term, start, end });
}

function addWord(words: Word[], word: string, at: { start: number; end: number }): void {
  const folded = fold(word);
  if (folded !== '') addTerm(words, folded, at);
}

function addTerm(
  words: Word[],
  folded: string,
  { start, end }: { start: number; end: number },
): void {
  if (!STOP_WORDS.has(folded)) words.push({ term: stemOf(folded), start, end });
}

/** Characters one by one and in pairs; what stands between them is cut as usual. */
function addUnspaced(words: Word[], { run, start, isQuery }: Run): void {
  let done = 0;
  const addBetween = (until: number): void => {
    for (const part of run.slice(done, until).matchAll(PART)) {
      const at = start + done + part.index;
      addWord(words, part[0], { start: at, end: at + part[0].length });
    }
  };
  for (const match of run.matchAll(UNSPACED_RUNS)) {
    addBetween(match.index);
    addPairs(words, { run: match[0], start: start + match.index, isQuery });
    done = match.index + match[0].length;
  }
  addBetween(run.length);
}

function addPairs(words: Word[], { run, start, isQuery }: Run): void {
  const chars = [...run];
  let at = start;
  chars.forEach((char, nth) => {
    const next = chars[nth + 1];
    if (!isQuery || chars.length === 1)
      push(words, fold(char), { start: at, end: at + char.length });
    if (next !== undefined) {
      push(words, fold(char + next), { start: at, end: at + char.length + next.length });
    }
    at += char.length;
  });
}

/** One form for what people write in several: width, case, accents, ß. */
function fold(word: string): string {
  const lower = word.toLowerCase();
  if (PLAIN.test(lower)) return lower.slice(0, MAX_TERM);
  const bare = lower.normalize('NFKD').replace(ACCENTS, '').normalize('NFKC');
  const folded = bare.replaceAll('ß', 'ss').toLowerCase();
  return folded.length <= MAX_TERM ? folded : [...folded].slice(0, MAX_TERM).join('');
}

function stemOf(word: string): string {
  if (!PLAIN.test(word)) return word;
  const known = stems.get(word);
  if (known !== undefined) return known;
  if (stems.size >= MAX_STEMS) stems.clear();
  const found = stem(word);
  stems.set(word, found);
  return found;
}

/** The `tsvector` of a context with this key, these tags and values, and nothing else. */
export function formerVectorOf(
  key: string,
  tags: readonly string[],
  values: readonly string[],
): string {
  const places = new Map<string, { count: number; text: string }>();
  let at = 0;
  const add = (part: string, weight: string): void => {
    for (const { term } of formerWordsOf(part, { most: 8_000 - at })) {
      at += 1;
      const known = places.get(term);
      if (!known) places.set(term, { count: 1, text: `${at}${weight}` });
      else if (known.count < 255) {
        known.count += 1;
        known.text += `,${at}${weight}`;
      }
    }
  };
  add(key, 'A');
  for (const tag of tags) add(tag, 'B');
  for (const value of values) add(value, 'C');
  let vector = '';
  for (const [term, { text: where }] of places) {
    vector += `'${term.replaceAll('\\', '\\\\').replaceAll("'", "''")}':${where} `;
  }
  return vector;
}
