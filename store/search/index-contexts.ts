/**
 * Keeps the search index in step with contexts, in the transaction that writes them: what is
 * acknowledged is found. Of an encrypted context only key, tags and metadata are indexed.
 */
import type { Hash } from '../../domain/hash.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { Body, StoredBody } from '../blobs.ts';
import type { Transaction } from '../database.ts';
import { bodyTextOf, loadBeginnings, MAX_TEXT_BYTES } from './body-text.ts';
import { facetsOf, searchVectorOf, TENANT_FACET } from './search-row.ts';

/** A context's state as the index needs it. */
export interface IndexedContext {
  readonly key: string;
  readonly version: number;
  /** Null: the context is deleted. `bytes` null: they are stored. A body with a `keyId` is sealed. */
  readonly body: Pick<Body, 'hash' | 'codec' | 'size' | 'bytes' | 'keyId'> | null;
  readonly facts: {
    readonly kind: string;
    readonly session_id: string | null;
    readonly agent_id: string | null;
    readonly tags: readonly string[];
    readonly metadata: JsonObject;
    readonly expires_at: Date | null;
  };
  readonly updatedAt: Date;
}

/** The lowest of these numbers are a fair sample of the keys; a range of them has an index. */
const UPSERT_ROWS = `
INSERT INTO context_search AS s (tenant_id, key, version, words, facets, updated_at, expires_at, sample)
SELECT current_setting('app.tenant'), r.key, r.version, r.words::tsvector,
  array_prepend(${TENANT_FACET}, r.facets), r.updated_at,
  r.expires_at, hashtext(r.key)
FROM json_to_recordset($1::json) AS r (
  key text, version int, words text, facets text[], updated_at timestamptz, expires_at timestamptz)
ORDER BY r.key COLLATE "C"
ON CONFLICT (tenant_id, key) DO UPDATE SET version = excluded.version, words = excluded.words,
  facets = excluded.facets, updated_at = excluded.updated_at, expires_at = excluded.expires_at
  WHERE s.version <= excluded.version`;

const DELETE_ROWS = `
DELETE FROM context_search WHERE tenant_id = current_setting('app.tenant') AND key = ANY ($1::text[])`;

/** Text that is taken apart at once, bytes: what memory it costs, and how long this process is busy. */
const MAX_PART_BYTES = 4 * 1024 * 1024;

/** Writes the rows of these contexts, and deletes those of deleted ones. A key comes once. */
export async function indexContexts(
  tx: Transaction,
  contexts: readonly IndexedContext[],
): Promise<void> {
  const gone = contexts.filter(({ body }) => body === null);
  if (gone.length > 0) await tx.query(DELETE_ROWS, [gone.map(({ key }) => key)]);
  for (const part of partsOf(contexts.filter(({ body }) => body !== null))) {
    await saveRows(tx, await rowsOf(tx, part));
  }
}

/** Contexts in parts, none of which has much more text to be looked at than memory is meant for. */
export function* partsOf(contexts: readonly IndexedContext[]): Generator<IndexedContext[]> {
  let part: IndexedContext[] = [];
  let bytes = 0;
  for (const context of contexts) {
    const more = Math.min(context.body?.size ?? 0, MAX_TEXT_BYTES);
    if (part.length > 0 && bytes + more > MAX_PART_BYTES) {
      yield part;
      [part, bytes] = [[], 0];
    }
    part.push(context);
    bytes += more;
  }
  if (part.length > 0) yield part;
}

/** A row of the index that is not written yet. */
export interface SearchRow {
  readonly key: string;
  readonly version: number;
}

/** The rows of one part; only reads. */
export async function rowsOf(
  tx: Transaction,
  part: readonly IndexedContext[],
): Promise<SearchRow[]> {
  const stored = await loadBeginnings(tx, missingOf(part));
  const rows: SearchRow[] = [];
  for (const context of part) rows.push(await rowOf(context, stored));
  return rows;
}

/** Writes rows; one of an older version than the index has is left out. */
export async function saveRows(tx: Transaction, rows: readonly SearchRow[]): Promise<void> {
  if (rows.length > 0) await tx.query(UPSERT_ROWS, [JSON.stringify(rows)]);
}

/** Those bodies whose bytes the writer did not have at hand. Sealed ones are never loaded. */
function missingOf(contexts: readonly IndexedContext[]): Hash[] {
  return contexts.flatMap(({ body }) =>
    body !== null && body.bytes === null && !isSealed(body) ? [body.hash] : [],
  );
}

function isSealed({ keyId }: { readonly keyId?: string | null }): boolean {
  return (keyId ?? null) !== null;
}

async function rowOf(
  { key, version, body, facts, updatedAt }: IndexedContext,
  stored: ReadonlyMap<Hash, StoredBody>,
): Promise<SearchRow> {
  const { session_id: sessionId, agent_id: agentId, kind, tags, metadata } = facts;
  const text = await textOf(body, stored);
  const row = {
    key,
    version,
    words: searchVectorOf({ key, tags, metadata, text }),
    facets: facetsOf(key, { sessionId, agentId, kind, tags }),
    updated_at: updatedAt,
    expires_at: facts.expires_at,
  };
  return row;
}

async function textOf(body: IndexedContext['body'], stored: ReadonlyMap<Hash, StoredBody>) {
  if (body === null || isSealed(body)) return null;
  const { bytes, codec, size } = body;
  const plain = bytes === null ? stored.get(body.hash) : { bytes, codec, size };
  return plain === undefined ? null : bodyTextOf(plain);
}
