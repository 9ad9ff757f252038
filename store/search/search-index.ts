/**
 * Mends the search index: contexts it does not know (written before there was one, or restored from
 * a backup) are added, rows without a context are deleted. Bodies are read and taken apart a few MiB
 * at a time, before anything is locked, and written in short transactions: nobody waits for it.
 */
import type { TenantId } from '../../domain/ids.ts';
import type { Database } from '../database.ts';
import { CONTEXT_COLUMNS, type ContextRow } from '../write-versions.ts';
import { drainPart, indexedOf, type Drained } from './drain-pending.ts';
import { partsOf, rowsOf, saveUnchanged, type IndexedContext } from './index-contexts.ts';

export type { Drained };

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
  /** Tenants of whom a large sync wrote what search does not know yet. */
  pending(): Promise<readonly TenantId[]>;
  /** Indexes a part of it. Null: somebody else was at it for `waitMs`. @throws AppError UNAVAILABLE */
  drain(tenant: TenantId, waitMs: number): Promise<Drained | null>;
}

const BATCH = 500;

const SELECT_UNKNOWN = `
SELECT ${CONTEXT_COLUMNS} FROM contexts c
WHERE tenant_id = current_setting('app.tenant') AND NOT deleted AND key > $1 COLLATE "C"
  AND NOT EXISTS (SELECT 1 FROM context_search s
    WHERE s.tenant_id = c.tenant_id AND s.key = c.key AND s.version = c.version)
ORDER BY key LIMIT $2`;

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
  const unknown = (tenant: TenantId, after: string, batch: number): Promise<IndexedContext[]> =>
    database.withTenant(tenant, async (tx) => {
      const rows = await tx.query<ContextRow>(SELECT_UNKNOWN, [after, batch]);
      return rows.map(indexedOf);
    });

  /** Reads in one transaction and writes in another, which holds the contexts while it does. */
  async function indexPart(tenant: TenantId, part: readonly IndexedContext[]): Promise<number> {
    const rows = await database.withTenant(tenant, (tx) => rowsOf(tx, part));
    return database.withTenant(tenant, async (tx) => (await saveUnchanged(tx, rows)).size);
  }

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
        const found: readonly IndexedContext[] = await unknown(tenant, after, batch);
        for (const part of partsOf(found)) indexed += await indexPart(tenant, part);
        after = found.at(-1)?.key;
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
    async pending() {
      const rows = await database.withSystem((tx) =>
        tx.query<{ id: TenantId }>(
          'SELECT DISTINCT tenant_id AS id FROM search_pending ORDER BY 1',
        ),
      );
      return rows.map(({ id }) => id);
    },
    drain: (tenant, waitMs) => drainPart(database, tenant, waitMs),
  };
}
