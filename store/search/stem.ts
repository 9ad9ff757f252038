/**
 * Porter's stemmer for English ("An algorithm for suffix stripping", 1980): words of one family get
 * one stem (`paint`, `painted`, `painting`). Takes lower-case a–z only; what it gives is for
 * comparing, not for reading. One rule is of his later English stemmer: `us` is no plural.
 */

const VOWEL = '(?:[aeiou]|(?<=[^aeiou])y)';
const CONSONANT = '(?:[^aeiouy]|(?<![^aeiou])y)';
const HAS_VOWEL = new RegExp(VOWEL);
const DOUBLE = new RegExp(`(${CONSONANT})\\1$`);
const SHORT_END = new RegExp(`${CONSONANT}${VOWEL}${CONSONANT}$`);
const VOWELS_THEN_CONSONANTS = new RegExp(`${VOWEL}+${CONSONANT}+`, 'g');

/** Porter's measure: how often vowels are followed by consonants. */
function measureOf(stem: string): number {
  return stem.match(VOWELS_THEN_CONSONANTS)?.length ?? 0;
}

type Rules = readonly (readonly [suffix: string, instead: string])[];

const STEP_2: Rules = [
  ['ational', 'ate'],
  ['tional', 'tion'],
  ['enci', 'ence'],
  ['anci', 'ance'],
  ['izer', 'ize'],
  ['bli', 'ble'],
  ['alli', 'al'],
  ['entli', 'ent'],
  ['eli', 'e'],
  ['ousli', 'ous'],
  ['ization', 'ize'],
  ['ation', 'ate'],
  ['ator', 'ate'],
  ['alism', 'al'],
  ['iveness', 'ive'],
  ['fulness', 'ful'],
  ['ousness', 'ous'],
  ['aliti', 'al'],
  ['iviti', 'ive'],
  ['biliti', 'ble'],
  ['logi', 'log'],
];
const STEP_3: Rules = [
  ['icate', 'ic'],
  ['ative', ''],
  ['alize', 'al'],
  ['iciti', 'ic'],
  ['ical', 'ic'],
  ['ful', ''],
  ['ness', ''],
];
const STEP_4 =
  /(?:al|ance|ence|er|ic|able|ible|ant|ement|ment|ent|(?<=[st])ion|ou|ism|ate|iti|ous|ive|ize)$/;

/** The stem of a lower-case English word; words of one or two letters are their own. */
export function stem(word: string): string {
  if (word.length < 3) return word;
  let stemmed = pastAndProgressive(plural(word));
  if (stemmed.endsWith('y') && HAS_VOWEL.test(stemmed.slice(0, -1))) {
    stemmed = `${stemmed.slice(0, -1)}i`;
  }
  stemmed = replaceSuffix(replaceSuffix(stemmed, STEP_2), STEP_3);
  const suffix = STEP_4.exec(stemmed);
  if (suffix && measureOf(stemmed.slice(0, suffix.index)) > 1) {
    stemmed = stemmed.slice(0, suffix.index);
  }
  return finalLetters(stemmed);
}

function plural(word: string): string {
  if (word.endsWith('sses') || word.endsWith('ies')) return word.slice(0, -2);
  return /[^su]s$/.test(word) ? word.slice(0, -1) : word;
}

function pastAndProgressive(word: string): string {
  if (word.endsWith('eed')) return measureOf(word.slice(0, -3)) > 0 ? word.slice(0, -1) : word;
  const suffix = /(?:ed|ing)$/.exec(word);
  const rest = suffix && word.slice(0, suffix.index);
  if (rest === null || !HAS_VOWEL.test(rest)) return word;
  if (/(?:at|bl|iz)$/.test(rest)) return `${rest}e`;
  if (DOUBLE.test(rest) && !/[lsz]$/.test(rest)) return rest.slice(0, -1);
  return measureOf(rest) === 1 && endsShort(rest) ? `${rest}e` : rest;
}

/** Of the suffixes a word ends with only the longest counts, whether it may be replaced or not. */
function replaceSuffix(word: string, rules: Rules): string {
  let longest: Rules[number] | undefined;
  for (const rule of rules) {
    if (word.endsWith(rule[0]) && rule[0].length > (longest?.[0].length ?? 0)) longest = rule;
  }
  if (!longest) return word;
  const rest = word.slice(0, word.length - longest[0].length);
  return measureOf(rest) > 0 ? rest + longest[1] : word;
}

function endsShort(stem: string): boolean {
  return SHORT_END.test(stem) && !/[wxy]$/.test(stem);
}

function finalLetters(word: string): string {
  let last = word;
  if (last.endsWith('e')) {
    const rest = last.slice(0, -1);
    const measure = measureOf(rest);
    if (measure > 1 || (measure === 1 && !endsShort(rest))) last = rest;
  }
  return last.endsWith('ll') && measureOf(last) > 1 ? last.slice(0, -1) : last;
}
