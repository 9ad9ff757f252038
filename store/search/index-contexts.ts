/**
 * Keeps the search index in step with contexts, in the transaction that writes them: what is
 * acknowledged is found. Of an encrypted context only key, tags and metadata are indexed.
 */
import type { Hash } from '../../domain/hash.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { JsonObject } from '../../domain/json.ts';
import { loadStored, type Body, type StoredBody } from '../blobs.ts';
import type { Transaction } from '../database.ts';
import { bodyTextOf } from './body-text.ts';
import { facetsOf, searchVectorOf } from './search-row.ts';

/** A context's state as the index needs it. */
export interface IndexedContext {
  readonly key: string;
  readonly version: number;
  /** Null: the context is deleted. `bytes` null: they are stored. A body with a `keyId` is sealed. */
  readonly body: Pick<Body, 'hash' | 'codec' | 'bytes' | 'keyId'> | null;
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
SELECT current_setting('app.tenant'), r.key, r.version, r.words::tsvector, r.facets, r.updated_at,
  r.expires_at, hashtext(r.key)
FROM json_to_recordset($1::json) AS r (
  key text, version int, words text, facets text[], updated_at timestamptz, expires_at timestamptz)
ORDER BY r.key COLLATE "C"
ON CONFLICT (tenant_id, key) DO UPDATE SET version = excluded.version, words = excluded.words,
  facets = excluded.facets, updated_at = excluded.updated_at, expires_at = excluded.expires_at
  WHERE s.version <= excluded.version`;

const DELETE_ROWS = `
DELETE FROM context_search WHERE tenant_id = current_setting('app.tenant') AND key = ANY ($1::text[])`;

const TENANT = `SELECT current_setting('app.tenant') AS tenant`;

/** Writes the rows of these contexts, and deletes those of deleted ones. A key comes once. */
export async function indexContexts(
  tx: Transaction,
  contexts: readonly IndexedContext[],
): Promise<void> {
  const gone = contexts.filter(({ body }) => body === null);
  if (gone.length > 0) await tx.query(DELETE_ROWS, [gone.map(({ key }) => key)]);
  const live = contexts.filter(({ body }) => body !== null);
  if (live.length === 0) return;
  const [{ tenant } = { tenant: '' as TenantId }] = await tx.query<{ tenant: TenantId }>(TENANT);
  const stored = await storedBodiesOf(tx, live);
  const rows = await Promise.all(live.map((context) => rowOf(tenant, context, stored)));
  await tx.query(UPSERT_ROWS, [JSON.stringify(rows)]);
}

/** Those bodies whose bytes the writer did not have at hand. Sealed ones are never loaded. */
async function storedBodiesOf(
  tx: Transaction,
  contexts: readonly IndexedContext[],
): Promise<Map<Hash, StoredBody>> {
  const hashes = contexts.flatMap(({ body }) =>
    body !== null && body.bytes === null && !isSealed(body) ? [body.hash] : [],
  );
  return hashes.length === 0 ? new Map() : loadStored(tx, hashes);
}

function isSealed({ keyId }: { readonly keyId?: string | null }): boolean {
  return (keyId ?? null) !== null;
}

async function rowOf(
  tenant: TenantId,
  { key, version, body, facts, updatedAt }: IndexedContext,
  stored: ReadonlyMap<Hash, StoredBody>,
): Promise<object> {
  const { session_id: sessionId, agent_id: agentId, kind, tags, metadata } = facts;
  const text = await textOf(body, stored);
  return {
    key,
    version,
    words: searchVectorOf({ key, tags, metadata, text }),
    facets: facetsOf(tenant, key, { sessionId, agentId, kind, tags }),
    updated_at: updatedAt,
    expires_at: facts.expires_at,
  };
}

async function textOf(body: IndexedContext['body'], stored: ReadonlyMap<Hash, StoredBody>) {
  if (body === null || isSealed(body)) return null;
  const { bytes, codec } = body;
  const plain = bytes === null ? stored.get(body.hash) : { bytes, codec };
  return plain === undefined ? null : bodyTextOf(plain);
}
