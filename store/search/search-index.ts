/**
 * Mends the search index: contexts it does not know (written before there was one, or restored from
 * a backup) are added, rows without a context are deleted. A batch is one short transaction; writers
 * keep the index themselves and are never waited for.
 */
import type { Hash } from '../../domain/hash.ts';
import type { TenantId } from '../../domain/ids.ts';
import { storedBodies, type Body } from '../blobs.ts';
import type { Database, Transaction } from '../database.ts';
import { CONTEXT_COLUMNS, type ContextRow } from '../write-versions.ts';
import { indexContexts, type IndexedContext } from './index-contexts.ts';

export interface IndexedCount {
  /** Contexts that were added. */
  readonly indexed: number;
  /** Rows that had no context. */
  readonly dropped: number;
}

export interface SearchIndex {
  tenants(): Promise<readonly TenantId[]>;
  /** Mends the index of one tenant, `batch` contexts at a time, until nothing is amiss. */
  mend(tenant: TenantId, batch?: number): Promise<IndexedCount>;
}

const BATCH = 500;

// A row that a writer holds is left to that writer.
const LOCK_UNKNOWN = `
SELECT ${CONTEXT_COLUMNS} FROM contexts c
WHERE tenant_id = current_setting('app.tenant') AND NOT deleted AND key > $1 COLLATE "C"
  AND NOT EXISTS (SELECT 1 FROM context_search s
    WHERE s.tenant_id = c.tenant_id AND s.key = c.key AND s.version = c.version)
ORDER BY key LIMIT $2 FOR UPDATE OF c SKIP LOCKED`;

// A key that is stored anew at this moment has another version by the time its row is reached.
const DROP_UNUSED = `
WITH unused AS (
  SELECT key, version FROM context_search s WHERE tenant_id = current_setting('app.tenant')
    AND NOT EXISTS (SELECT 1 FROM contexts c
      WHERE c.tenant_id = s.tenant_id AND c.key = s.key AND NOT c.deleted)
  LIMIT $1
)
DELETE FROM context_search s USING unused u
WHERE s.tenant_id = current_setting('app.tenant') AND s.key = u.key AND s.version = u.version RETURNING 1`;

export function createSearchIndex(database: Database): SearchIndex {
  return {
    async tenants() {
      const rows = await database.withSystem((tx) =>
        tx.query<{ id: TenantId }>('SELECT id FROM tenants ORDER BY id'),
      );
      return rows.map(({ id }) => id);
    },
    async mend(tenant, batch = BATCH) {
      let indexed = 0;
      for (let after: string | undefined = ''; after !== undefined;) {
        const from: string = after;
        const keys = await database.withTenant(tenant, (tx) => indexBatch(tx, from, batch));
        indexed += keys.length;
        after = keys.at(-1);
      }
      let dropped = 0;
      for (let last = batch; last === batch;) {
        last = await database.withTenant(
          tenant,
          async (tx) => (await tx.query(DROP_UNUSED, [batch])).length,
        );
        dropped += last;
      }
      return { indexed, dropped };
    },
  };
}

async function indexBatch(tx: Transaction, after: string, batch: number): Promise<string[]> {
  const rows = await tx.query<ContextRow>(LOCK_UNKNOWN, [after, batch]);
  const bodies = await storedBodies(
    tx,
    rows.map(({ hash }) => hash),
  );
  await indexContexts(
    tx,
    rows.map((row) => indexedOf(row, bodies)),
  );
  return rows.map(({ key }) => key);
}

function indexedOf(row: ContextRow, bodies: ReadonlyMap<Hash, Body>): IndexedContext {
  const { key, version, updated_at: updatedAt } = row;
  // A live context has a body; one whose bytes are gone is indexed by what is left of it.
  const hash = row.hash as Hash;
  const lost = { hash, codec: 'none', bytes: null } as const;
  return { key, version, body: bodies.get(hash) ?? lost, facts: row, updatedAt };
}
