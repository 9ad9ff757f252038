/** What is indexed of one context: its words by weight, and what searches filter by. Pure. */
import { canonicalJson, type JsonObject } from '../../domain/json.ts';
import { textOfJson, type BodyText } from './body-text.ts';
import { wordsOf } from './words.ts';

/** Words of one context that are indexed; the rest of a longer text is not found. */
export const MAX_WORDS = 8_000;
/** Postgres keeps no more positions of one word. */
const MAX_POSITIONS = 255;
/** Postgres takes 1,048,575 bytes of a `tsvector`; what 8,000 words need besides is left. */
const MAX_TERM_BYTES = 960_000;
/** Characters of the metadata's JSON that are looked at: all it may have. */
const MAX_METADATA_LENGTH = 64 * 1024;
const MAX_PREFIXES = 16;
const TENANT_MARK = 't:';

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
  const places = new Map<string, string>();
  const repeated = new Map<string, number>();
  let at = 0;
  let bytes = 0;
  const add = (part: string, weight: Weight): void => {
    for (const { term } of wordsOf(part, { most: MAX_WORDS - at })) {
      at += 1;
      const known = places.get(term);
      if (known === undefined) {
        // A UTF-16 unit is three bytes at most.
        bytes += 3 * term.length;
        if (bytes > MAX_TERM_BYTES) return;
        places.set(term, `${quote(term)}:${at}${weight}`);
      } else {
        const count = (repeated.get(term) ?? 1) + 1;
        if (count > MAX_POSITIONS) continue;
        repeated.set(term, count);
        places.set(term, `${known},${at}${weight}`);
      }
    }
  };
  const facts = isEmpty(metadata)
    ? NOTHING
    : textOfJson(canonicalJson(metadata).slice(0, MAX_METADATA_LENGTH));
  add(key, 'A');
  for (const tag of tags) add(tag, 'B');
  for (const { names } of [facts, text ?? NOTHING]) for (const name of names) add(name, 'D');
  for (const { values } of [facts, text ?? NOTHING]) for (const value of values) add(value, 'C');
  let vector = '';
  for (const where of places.values()) vector += `${where} `;
  return vector;
}

const NOTHING: BodyText = { values: [], names: [] };

function isEmpty(metadata: JsonObject): boolean {
  return Object.keys(metadata).length === 0;
}

/** A term as `tsvector` and `tsquery` read it. */
export function quote(term: string): string {
  if (!term.includes("'") && !term.includes('\\')) return `'${term}'`;
  return `'${term.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

export interface Faceted {
  readonly sessionId?: string | null | undefined;
  readonly agentId?: string | null | undefined;
  readonly kind?: string | undefined;
  readonly tags?: readonly string[] | undefined;
}

/** What a context is filtered by, one text each, besides {@link TENANT_FACET}. */
export function facetsOf(key: string, facts: Faceted): string[] {
  return [...namedFacets(facts), ...prefixesOf(key).map((prefix) => `p:${prefix}`)];
}

/** The facet all contexts of a tenant have, as SQL; {@link wantedFacets} asks for it. */
export const TENANT_FACET = `('${TENANT_MARK}' || current_setting('app.tenant'))`;

/**
 * The facets a context must have to pass a filter. A prefix that ends within a part of a key is
 * narrowed down to its last `/` only: the key itself must be looked at as well.
 */
export function wantedFacets(
  tenant: string,
  filter: Faceted & { prefix?: string | undefined },
): string[] {
  const prefix = prefixesOf(filter.prefix ?? '').at(-1);
  return [
    `${TENANT_MARK}${tenant}`,
    ...namedFacets(filter),
    ...(prefix === undefined ? [] : [`p:${prefix}`]),
  ];
}

function namedFacets({ sessionId, agentId, kind, tags }: Faceted): string[] {
  return [
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
