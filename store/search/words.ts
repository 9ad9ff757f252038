/**
 * Cuts text into the terms that are indexed and searched, the same way for both: English words by
 * their stem, other words as they are (lower case, without accents), identifiers, dates and
 * addresses whole and in parts, Chinese, Japanese, Korean and Thai in pairs of characters.
 */
import { stem } from './stem.ts';
import { STOP_WORDS } from './stop-words.ts';

/** Longest term, in characters; what is longer is cut, in the index as in a query. */
const MAX_TERM = 64;
/** Stems of words seen lately: most words of a text were seen before. */
const MAX_STEMS = 20_000;

export interface Word {
  /** What is compared. */
  readonly term: string;
  /** Where the word stands in the text it was cut from. */
  readonly start: number;
  readonly end: number;
}

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
/** What an ASCII character is in a run; all others are foreign. */
const [OTHER, LOWER, UPPER, DIGIT, JOINT, FOREIGN] = [0, 1, 2, 3, 4, 5] as const;
const KINDS = Uint8Array.from({ length: 128 }, (_, code) => kindOf(String.fromCharCode(code)));
const APOSTROPHE_CODE = 0x27;
const PLAIN = /^[a-z]+$/;
const ASCII = /^[\x20-\x7e]*$/;
const ACCENTS = /[\u0300-\u036f]/g;

/** Terms of plain words; '' for a stop word. */
const stems = new Map<string, string>();

export interface CutOptions {
  /** Words wanted at most; default: all. */
  readonly most?: number;
  /** For searching: of a run without spaces only the pairs of characters, which say more. */
  readonly isQuery?: boolean;
}

/** The words of a text in order. Stop words are left out. */
export function wordsOf(
  text: string,
  { most = Infinity, isQuery = false }: CutOptions = {},
): Word[] {
  const words: Word[] = [];
  for (let start = nextRun(text, 0), end = 0; start >= 0 && words.length < most;) {
    end = asciiEnd(text, start);
    if (end > 0) addAscii(words, text, { start, end });
    else {
      RUN.lastIndex = start;
      const match = RUN.exec(text);
      if (match === null) break;
      end = match.index + match[0].length;
      addRun(words, { run: match[0], start: match.index, isQuery });
    }
    start = nextRun(text, end);
  }
  return words.length > most ? words.slice(0, most) : words;
}

/** Where the next run begins at the earliest; -1: there is none. */
function nextRun(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    const kind = kindAt(text, at);
    if (kind !== OTHER && kind !== JOINT) return at;
  }
  return -1;
}

/**
 * Where a run ends that is of ASCII letters, digits and joints only; 0: it is another. Most runs by
 * far are, and the expressions above take several times as long as looking at their characters.
 */
function asciiEnd(text: string, start: number): number {
  for (let at = start; ; at += 1) {
    if (at >= text.length) return at;
    let kind = kindAt(text, at);
    if (kind === OTHER) return at;
    if (kind === JOINT) {
      if (at + 1 >= text.length) return at;
      kind = kindAt(text, at + 1);
      if (kind === OTHER || kind === JOINT) return at;
      if (text.charCodeAt(at) === APOSTROPHE_CODE) return 0;
    }
    if (kind === FOREIGN) return 0;
  }
}

function kindAt(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code < 128 ? KINDS[code]! : FOREIGN;
}

/** A run of ASCII without an apostrophe: whole, and in parts if it has several. */
function addAscii(words: Word[], text: string, { start, end }: Omit<Word, 'term'>): void {
  const pieceEnd = endOfPiece(text, start, end);
  const run = text.slice(start, Math.min(end, start + MAX_TERM));
  if (pieceEnd === end) return push(words, termOf(run), { start, end });
  push(words, run.toLowerCase(), { start, end });
  for (let from = start, to = pieceEnd; from < end; to = endOfPiece(text, from, end)) {
    const piece = text.slice(from, Math.min(to, from + MAX_TERM));
    push(words, termOf(piece), { start: from, end: to });
    from = to < end && kindAt(text, to) === JOINT ? to + 1 : to;
  }
}

/** Where a piece ends: at a joint or a hump (`fooBar`, `HTMLPage`), or with the run. */
function endOfPiece(text: string, from: number, end: number): number {
  let last = kindAt(text, from);
  for (let at = from + 1; at < end; at += 1) {
    const kind = kindAt(text, at);
    if (kind === JOINT || (kind === UPPER && last !== UPPER)) return at;
    const isPageOfHtmlPage = kind === LOWER && last === UPPER && at - 1 > from;
    if (isPageOfHtmlPage && kindAt(text, at - 2) === UPPER) return at - 1;
    last = kind;
  }
  return end;
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
  if (!ASCII.test(run) && UNSPACED.test(run)) return addUnspaced(words, found);
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
  push(words, termOf(folded), { start, end });
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
  if (ASCII.test(lower)) return lower.slice(0, MAX_TERM);
  const bare = lower.normalize('NFKD').replace(ACCENTS, '').normalize('NFKC');
  const folded = bare.replaceAll('ß', 'ss').toLowerCase();
  return folded.length <= MAX_TERM ? folded : [...folded].slice(0, MAX_TERM).join('');
}

/** The term of a folded word, or of an ASCII one as it is written; '' of a stop word. */
function termOf(word: string): string {
  const known = stems.get(word);
  if (known !== undefined) return known;
  const lower = word.toLowerCase();
  const isStopWord = STOP_WORDS.has(lower);
  if (!PLAIN.test(lower)) return isStopWord ? '' : lower;
  if (stems.size >= MAX_STEMS) stems.clear();
  const found = isStopWord ? '' : stem(lower);
  stems.set(word, found);
  return found;
}

function kindOf(char: string): number {
  if (/[a-z]/.test(char)) return LOWER;
  if (/[A-Z]/.test(char)) return UPPER;
  if (/[0-9]/.test(char)) return DIGIT;
  return "_.@:/\\'+-".includes(char) ? JOINT : OTHER;
}
