/**
 * Collects bodies that nothing refers to. The race with a writer that uses the same body again is
 * decided by the blob's own row: a writer touches an old blob before it refers to it (blobs.ts), so
 * the deletion either comes first, and the writer stores the body anew, or finds the blob fresh.
 */
import type { Hash } from '../domain/hash.ts';
import type { TenantId } from '../domain/ids.ts';
import type { Database } from './database.ts';

/** Every column that may name a body; a new one must be added here. */
export const BLOB_REFERENCES = {
  contexts: ['hash'],
  context_versions: ['hash'],
  sync_items: ['base_hub_hash', 'base_remote_hash', 'remote_hash'],
  sync_ops: [
    'hub_hash',
    'remote_hash',
    'hub_after',
    'remote_after',
    'remote_written',
    'other_base',
  ],
  sync_conflicts: ['base_hash', 'hub_hash', 'remote_hash', 'proposal_hash'],
} as const;

const REFERENCES = Object.entries(BLOB_REFERENCES)
  .flatMap(([table, columns]) =>
    columns.map(
      (column) =>
        `SELECT ${column} AS hash FROM ${table} WHERE tenant_id = current_setting('app.tenant') AND ${column} IS NOT NULL`,
    ),
  )
  .join(' UNION ALL ');

const IS_UNUSED = `b.tenant_id = current_setting('app.tenant')
  AND b.created_at <= now() - $1::float8 * interval '1 millisecond'
  AND NOT EXISTS (SELECT 1 FROM (${REFERENCES}) r WHERE r.hash = b.hash)`;

const SELECT_UNUSED = `SELECT encode(b.hash, 'hex') AS hash FROM blobs b WHERE ${IS_UNUSED} LIMIT $2`;

const DELETE_UNUSED = `
WITH wanted AS (SELECT decode(h, 'hex') AS hash FROM unnest($2::text[]) AS h)
DELETE FROM blobs b USING wanted WHERE b.hash = wanted.hash AND ${IS_UNUSED} RETURNING 1`;

/** Deletes unused bodies last used more than `graceMs` ago, at most `batch` × `maxBatches`; how many. */
export async function collectBlobs(
  database: Database,
  tenant: TenantId,
  bounds: { readonly graceMs: number; readonly batch: number; readonly maxBatches: number },
): Promise<number> {
  const { graceMs, batch, maxBatches } = bounds;
  const unused = await database.withTenant(tenant, (tx) =>
    tx.query<{ hash: Hash }>(SELECT_UNUSED, [graceMs, batch * maxBatches]),
  );
  let gone = 0;
  for (let from = 0; from < unused.length; from += batch) {
    const hashes = unused.slice(from, from + batch).map((row) => row.hash);
    const rows = await database.withTenant(tenant, (tx) =>
      tx.query(DELETE_UNUSED, [graceMs, hashes]),
    );
    gone += rows.length;
  }
  return gone;
}
