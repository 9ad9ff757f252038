/**
 * Keeps the search index in step with contexts, in the transaction that writes them: what is
 * acknowledged is found. What a large sync writes is only noted there (note-pending.ts).
 * Of an encrypted context only key, tags and metadata are indexed.
 */
import { setImmediate } from 'node:timers/promises';
import type { Hash } from '../../domain/hash.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { Body, StoredBody } from '../blobs.ts';
import type { Transaction } from '../database.ts';
import type { Statement } from '../send-together.ts';
import { arrayText, unnested, valuesByColumn, type BatchColumns } from '../sync/batch.ts';
import { bodyTextOf, loadBeginnings, MAX_TEXT_BYTES } from './body-text.ts';
import { noteStatement } from './note-pending.ts';
import { facetsOf, searchVectorOf, TENANT_FACET } from './search-row.ts';

/** A context's state as the index needs it. */
export interface IndexedContext {
  readonly key: string;
  readonly version: number;
  /** Null: the context is deleted. `bytes` null: they are stored. A body with a `keyId` is sealed. */
  readonly body: Pick<Body, 'hash' | 'codec' | 'size' | 'bytes' | 'keyId' | 'text'> | null;
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

const ROW_COLUMNS = {
  key: 'text',
  version: 'int',
  words: 'text',
  facets: 'text',
  updated_at: 'text',
  expires_at: 'text',
} as const satisfies BatchColumns;

const GIVEN = `${unnested(1, ROW_COLUMNS)} AS r (${Object.keys(ROW_COLUMNS).join(', ')})`;

// The lowest of the hashes are a fair sample of the keys; a range of them has an index.
const upsertRows = (rows: string): string => `
INSERT INTO context_search AS s (tenant_id, key, version, words, facets, updated_at, expires_at, sample)
SELECT current_setting('app.tenant'), r.key, r.version, r.words::tsvector,
  array_prepend(${TENANT_FACET}, r.facets::text[]), r.updated_at::timestamptz,
  r.expires_at::timestamptz, hashtext(r.key)
FROM ${rows}
ORDER BY r.key COLLATE "C"
ON CONFLICT (tenant_id, key) DO UPDATE SET version = excluded.version, words = excluded.words,
  facets = excluded.facets, updated_at = excluded.updated_at, expires_at = excluded.expires_at
  WHERE s.version <= excluded.version`;

const UPSERT_ROWS = upsertRows(GIVEN);

// What was written meanwhile, or is being written, is left to its writer. Until the transaction ends
// nobody else can write what is indexed here: a deleted context would come back to the index.
const UPSERT_UNCHANGED = `
WITH unchanged AS MATERIALIZED (
  SELECT r.* FROM ${GIVEN}
  CROSS JOIN LATERAL (SELECT key FROM contexts
    WHERE tenant_id = current_setting('app.tenant') AND key = r.key AND version = r.version
      AND NOT deleted FOR SHARE SKIP LOCKED) c
)
${upsertRows('unchanged r')}
RETURNING key`;

const DELETE_ROWS = `
DELETE FROM context_search WHERE tenant_id = current_setting('app.tenant') AND key = ANY ($1::text[])`;

/** Text that is taken apart at once, bytes: what memory it costs, and how long this process is busy. */
const MAX_PART_BYTES = 4 * 1024 * 1024;
/** Fewer than so many are indexed by their writer: nobody should have to wait for a note of them. */
const MIN_NOTED = 100;
/** Contexts that are taken apart in one go. */
const ROWS_AT_ONCE = 200;

/** Writes the rows of these contexts, and deletes those of deleted ones. A key comes once. */
export async function indexContexts(
  tx: Transaction,
  contexts: readonly IndexedContext[],
): Promise<void> {
  for (const { sql, values } of dropGone(contexts)) await tx.query(sql, values);
  for (const part of partsOf(contexts.filter(({ body }) => body !== null))) {
    await saveRows(tx, await rowsOf(tx, part));
  }
}

/** The statements that write what a few contexts need, to be sent with others; only reads by itself. */
export async function indexStatements(
  tx: Transaction,
  contexts: readonly IndexedContext[],
): Promise<Statement[]> {
  const rows: SearchRow[] = [];
  for (const part of partsOf(contexts.filter(({ body }) => body !== null))) {
    rows.push(...(await rowsOf(tx, part)));
  }
  return [
    ...dropGone(contexts),
    ...(rows.length > 0
      ? [{ sql: UPSERT_ROWS, values: valuesByColumn(ROW_COLUMNS, rows), name: 'index_contexts' }]
      : []),
  ];
}

/** The same where many may be written at once: those are noted, and indexed a moment later. */
export async function indexSoonStatements(
  tx: Transaction,
  contexts: readonly IndexedContext[],
): Promise<Statement[]> {
  const live = contexts.filter(({ body }) => body !== null).map(({ key }) => key);
  if (live.length < MIN_NOTED) return indexStatements(tx, contexts);
  return [...dropGone(contexts), noteStatement(live)];
}

/** What deletes the rows of those contexts that are deleted. */
function dropGone(contexts: readonly IndexedContext[]): Statement[] {
  const gone = contexts.filter(({ body }) => body === null).map(({ key }) => key);
  return gone.length > 0 ? [{ sql: DELETE_ROWS, values: [gone] }] : [];
}

/** Contexts in parts, none of which has much more text to be looked at than memory is meant for. */
export function* partsOf(
  contexts: readonly IndexedContext[],
  maxBytes = MAX_PART_BYTES,
): Generator<IndexedContext[]> {
  let part: IndexedContext[] = [];
  let bytes = 0;
  for (const context of contexts) {
    const more = Math.min(context.body?.size ?? 0, MAX_TEXT_BYTES);
    if (part.length > 0 && bytes + more > maxBytes) {
      yield part;
      [part, bytes] = [[], 0];
    }
    part.push(context);
    bytes += more;
  }
  if (part.length > 0) yield part;
}

/** A row of the index that is not written yet: its columns as Postgres reads them. */
export type SearchRow = Readonly<Record<keyof typeof ROW_COLUMNS, string | number | null>> & {
  readonly key: string;
};

/** The rows of one part; only reads. */
export async function rowsOf(
  tx: Transaction,
  part: readonly IndexedContext[],
): Promise<SearchRow[]> {
  const stored = await loadBeginnings(tx, missingOf(part));
  const rows: SearchRow[] = [];
  for (const [nth, context] of part.entries()) {
    // Others of this process need not wait for all of them.
    if (nth > 0 && nth % ROWS_AT_ONCE === 0) await setImmediate();
    rows.push(await rowOf(context, stored));
  }
  return rows;
}

/** Writes rows; one of an older version than the index has is left out. */
async function saveRows(tx: Transaction, rows: readonly SearchRow[]): Promise<void> {
  if (rows.length > 0) await tx.query(UPSERT_ROWS, valuesByColumn(ROW_COLUMNS, rows));
}

/** The same, of contexts that still have the version and that nobody is writing; answers their keys. */
export async function saveUnchanged(
  tx: Transaction,
  rows: readonly SearchRow[],
): Promise<ReadonlySet<string>> {
  if (rows.length === 0) return new Set();
  const saved = await tx.query<{ key: string }>(
    UPSERT_UNCHANGED,
    valuesByColumn(ROW_COLUMNS, rows),
  );
  return new Set(saved.map(({ key }) => key));
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
  return {
    key,
    version,
    words: searchVectorOf({ key, tags, metadata, text }),
    facets: arrayText(facetsOf(key, { sessionId, agentId, kind, tags })),
    updated_at: updatedAt.toISOString(),
    expires_at: facts.expires_at?.toISOString() ?? null,
  };
}

async function textOf(body: IndexedContext['body'], stored: ReadonlyMap<Hash, StoredBody>) {
  if (body === null || isSealed(body)) return null;
  const { bytes, codec, size, text } = body;
  const given = text ? ({ bytes: text, codec: 'none', size } as const) : { bytes, codec, size };
  const plain = given.bytes === null ? stored.get(body.hash) : { ...given, bytes: given.bytes };
  // One that cannot be read any more is indexed by what is left of the context.
  return plain === undefined ? null : bodyTextOf(plain).catch(() => null);
}
