/**
 * Conflicts: items both sides changed in ways that do not merge. Resolving is an ordinary write of
 * the hub; the link then carries it to the remote by the ordinary path.
 */
import type { Clock } from '../domain/clock.ts';
import { loadBodies } from './blobs.ts';
import { matchingConflicts, previewConflicts, refusable } from './bulk-resolve.ts';
import {
  CONFLICT_COLUMNS,
  conflictOf,
  hashesOf,
  readConflict,
  type ConflictRow,
} from './conflict-rows.ts';
import type { BulkItem, ConflictStore } from './contract.ts';
import type { Database } from './database.ts';
import { pageOf, unpackCursor } from './paging.ts';
import { resolveConflict } from './resolve-conflict.ts';

const LIST = `
SELECT ${CONFLICT_COLUMNS} FROM sync_conflicts
WHERE tenant_id = current_setting('app.tenant')
  AND ($1::uuid IS NULL OR link_id = $1) AND ($2::text IS NULL OR status = $2)
  AND ($3::timestamptz IS NULL OR (date_trunc('milliseconds', created_at), id) > ($3, $4::uuid))
ORDER BY date_trunc('milliseconds', created_at), id LIMIT $5`;

export interface ConflictStoreDeps {
  readonly database: Database;
  readonly clock: Clock;
  readonly maxContextBytes: number;
  readonly onCommitted: () => void;
}

export function createConflictStore(deps: ConflictStoreDeps): ConflictStore {
  const { database, onCommitted } = deps;
  const resolveOne: ConflictStore['resolve'] = (caller, id, resolution) =>
    database.withTenant(caller.tenant, (tx) =>
      resolveConflict(tx, deps, { caller, id, resolution }),
    );
  return {
    async list(caller, { linkId, status, limit, cursor }) {
      const after = cursor === undefined ? [null, null] : unpackCursor(cursor, ['time', 'id']);
      return database.withTenant(caller.tenant, async (tx) => {
        const rows = await tx.query<ConflictRow>(LIST, [
          linkId ?? null,
          status ?? null,
          ...after,
          limit + 1,
        ]);
        const bodies = await loadBodies(tx, rows.flatMap(hashesOf));
        return pageOf(rows, limit, {
          item: (row) => conflictOf(row, bodies),
          sortValues: (row) => [row.created_at.toISOString(), row.id],
        });
      });
    },

    async get(caller, id) {
      return database.withTenant(caller.tenant, (tx) => readConflict(tx, id));
    },

    async resolve(caller, id, resolution) {
      const resolved = await resolveOne(caller, id, resolution);
      onCommitted();
      return resolved;
    },

    async previewMany(caller, linkId, query) {
      return database.withTenant(caller.tenant, async (tx) => {
        const found = await matchingConflicts(tx, linkId, query);
        const items = await previewConflicts(tx, found, query.choice);
        return { count: found.count, items, nextCursor: found.nextCursor };
      });
    },

    async resolveMany(caller, linkId, query) {
      const { choice, by } = query;
      const { count, rows, nextCursor } = await database.withTenant(caller.tenant, (tx) =>
        matchingConflicts(tx, linkId, query),
      );
      const items: BulkItem[] = [];
      for (const { id, key, reason, revision } of rows) {
        const named = { id, key, reason, revision };
        const resolve = async (): Promise<BulkItem> => {
          await resolveOne(caller, id, { choice, by, ifRevision: revision });
          return { ...named, status: 'resolved' };
        };
        items.push(await refusable(named, resolve));
      }
      if (items.some(({ status }) => status === 'resolved')) onCommitted();
      return { count, items, nextCursor };
    },
  };
}
