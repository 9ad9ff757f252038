/** What is indexed of one context: its words by weight, and what searches filter by. Pure. */
import { canonicalJson, type JsonObject } from '../../domain/json.ts';
import { textOfJson, type BodyText } from './body-text.ts';
import { wordsOf } from './words.ts';

/** Words of one context that are indexed; the rest of a longer text is not found. */
export const MAX_WORDS = 8_000;
/** Postgres keeps no more positions of one word. */
const MAX_POSITIONS = 255;
const MAX_PREFIXES = 16;

/** A: key, B: tags, C: metadata and text, D: names of members. What each counts: {@link ./rank.ts}. */
type Weight = 'A' | 'B' | 'C' | 'D';

export interface Indexed {
  readonly key: string;
  readonly tags: readonly string[];
  readonly metadata: JsonObject;
  /** Null: encrypted; only what is not encrypted is indexed. */
  readonly text: BodyText | null;
}

/** Text form of the `tsvector` of a context. */
export function searchVectorOf({ key, tags, metadata, text }: Indexed): string {
  const places = new Map<string, Places>();
  let at = 0;
  const add = (part: string, weight: Weight): void => {
    for (const { term } of wordsOf(part, { most: MAX_WORDS - at })) {
      at += 1;
      const known = places.get(term);
      if (!known) places.set(term, { count: 1, text: `${at}${weight}` });
      else if (known.count < MAX_POSITIONS) {
        known.count += 1;
        known.text += `,${at}${weight}`;
      }
    }
  };
  const facts = textOfJson(canonicalJson(metadata));
  add(key, 'A');
  for (const tag of tags) add(tag, 'B');
  for (const name of [...facts.names, ...(text?.names ?? [])]) add(name, 'D');
  for (const value of [...facts.values, ...(text?.values ?? [])]) add(value, 'C');
  let vector = '';
  for (const [term, { text: where }] of places) vector += `${quote(term)}:${where} `;
  return vector;
}

/** Where a term stands, as `tsvector` reads it. */
interface Places {
  count: number;
  text: string;
}

/** A term as `tsvector` and `tsquery` read it. */
export function quote(term: string): string {
  if (!/['\\]/.test(term)) return `'${term}'`;
  return `'${term.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

export interface Faceted {
  readonly sessionId?: string | null | undefined;
  readonly agentId?: string | null | undefined;
  readonly kind?: string | undefined;
  readonly tags?: readonly string[] | undefined;
}

/** What a context is filtered by, one text each. */
export function facetsOf(tenant: string, key: string, facts: Faceted): string[] {
  return [...namedFacets(tenant, facts), ...prefixesOf(key).map((prefix) => `p:${prefix}`)];
}

/**
 * The facets a context must have to pass a filter. A prefix that ends within a part of a key is
 * narrowed down to its last `/` only: the key itself must be looked at as well.
 */
export function wantedFacets(
  tenant: string,
  filter: Faceted & { prefix?: string | undefined },
): string[] {
  const prefix = prefixesOf(filter.prefix ?? '').at(-1);
  return [...namedFacets(tenant, filter), ...(prefix === undefined ? [] : [`p:${prefix}`])];
}

function namedFacets(tenant: string, { sessionId, agentId, kind, tags }: Faceted): string[] {
  return [
    `t:${tenant}`,
    ...(typeof sessionId === 'string' ? [`s:${sessionId}`] : []),
    ...(typeof agentId === 'string' ? [`a:${agentId}`] : []),
    ...(kind === undefined ? [] : [`k:${kind}`]),
    ...(tags ?? []).map((tag) => `#:${tag}`),
  ];
}

/** `a/`, `a/b/` of `a/b/c`. */
function prefixesOf(key: string): string[] {
  const prefixes: string[] = [];
  for (
    let at = key.indexOf('/');
    at >= 0 && prefixes.length < MAX_PREFIXES;
    at = key.indexOf('/', at + 1)
  ) {
    prefixes.push(key.slice(0, at + 1));
  }
  return prefixes;
}
