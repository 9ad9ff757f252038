/** Many conflicts of one link at once: what a choice would do to each, or doing it, one by one. */
import { toAppError } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import type { LinkId } from '../domain/ids.ts';
import type { ItemKind } from '../domain/item.ts';
import { loadBodies } from './blobs.ts';
import { CONFLICT_COLUMNS, conflictOf, hashesOf, type ConflictRow } from './conflict-rows.ts';
import type { BulkItem, BulkQuery } from './contract.ts';
import type { Transaction } from './database.ts';
import { pageOf, unpackCursor } from './paging.ts';
import { chosenValue, whyMoved } from './resolve-conflict.ts';

const MATCHING = `
tenant_id = current_setting('app.tenant') AND link_id = $1 AND status = 'open'
  AND ($2::text IS NULL OR reason = $2) AND ($3::text IS NULL OR starts_with(key, $3))
  AND ($4::text IS NULL OR key = $4)`;

const SELECT_MATCHING = `
SELECT c.*, i.kind, encode(i.remote_hash, 'hex') AS now_remote, coalesce(h.version, 0) AS now_version
FROM (
  SELECT ${CONFLICT_COLUMNS} FROM sync_conflicts WHERE ${MATCHING}
    AND ($5::timestamptz IS NULL OR (date_trunc('milliseconds', created_at), id) > ($5, $6::uuid))
  ORDER BY date_trunc('milliseconds', created_at), id LIMIT $7
) c
LEFT JOIN sync_items i ON i.tenant_id = current_setting('app.tenant') AND i.link_id = c.link_id AND i.key = c.key
LEFT JOIN contexts h ON h.tenant_id = current_setting('app.tenant') AND h.key = c.key
ORDER BY date_trunc('milliseconds', c.created_at), c.id`;

type MatchingRow = ConflictRow & {
  kind: ItemKind | null;
  now_remote: Hash | null;
  now_version: number;
};

export interface Matching {
  readonly count: number;
  readonly rows: readonly MatchingRow[];
  readonly nextCursor: string | null;
}

/** The open conflicts of a link that fit the filter: all counted, one page of them. */
export async function matchingConflicts(
  tx: Transaction,
  linkId: LinkId,
  query: BulkQuery,
): Promise<Matching> {
  const { filter, limit, cursor } = query;
  const after = cursor === undefined ? [null, null] : unpackCursor(cursor, ['time', 'id']);
  const values = [linkId, filter.reason ?? null, filter.prefix ?? null, filter.key ?? null];
  const [all] = await tx.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM sync_conflicts WHERE ${MATCHING}`,
    values,
  );
  const found = await tx.query<MatchingRow>(SELECT_MATCHING, [...values, ...after, limit + 1]);
  const page = pageOf(found, limit, {
    item: (row) => row,
    sortValues: (row) => [row.created_at.toISOString(), row.id],
  });
  return { count: all!.count, rows: page.items, nextCursor: page.nextCursor };
}

/** What the choice would do to each; changes nothing. */
export async function previewConflicts(
  tx: Transaction,
  { rows }: Matching,
  choice: BulkQuery['choice'],
): Promise<BulkItem[]> {
  const bodies = await loadBodies(tx, rows.flatMap(hashesOf));
  return Promise.all(
    rows.map(async (row): Promise<BulkItem> => {
      const conflict = conflictOf(row, bodies);
      const named = { id: row.id, key: row.key, reason: row.reason, revision: row.revision };
      const [hub, remote] = [conflict.hub, conflict.remote];
      const why = whyMoved({
        row,
        kind: row.kind,
        remoteHash: row.now_remote,
        hubVersion: row.now_version,
      });
      if (why !== null || row.kind === null) {
        return { ...named, status: 'refused', code: 'CONFLICT_MOVED', detail: why ?? 'it is gone' };
      }
      return refusable(named, async () => {
        const given = { row, bodies, kind: row.kind!, resolution: { choice, by: null } };
        const after = (await chosenValue(tx, given)) ?? null;
        return {
          ...named,
          status: 'resolvable',
          hub: { before: hub, after },
          remote: { before: remote, after },
        };
      });
    }),
  );
}

/** One result, whatever happens: no item of a bulk call may get lost. */
export async function refusable(
  named: Pick<BulkItem, 'id' | 'key' | 'reason' | 'revision'>,
  work: () => Promise<BulkItem>,
): Promise<BulkItem> {
  try {
    return await work();
  } catch (thrown) {
    const { code, message } = toAppError(thrown);
    return { ...named, status: 'refused', code, detail: message };
  }
}
