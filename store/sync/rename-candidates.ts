/** Planned deletes and creates of one side with the content they take away or bring. */
import type { Hash } from '../../domain/hash.ts';
import type { ItemKind } from '../../domain/item.ts';
import { loadStored, type StoredBody } from '../blobs.ts';
import type { Database } from '../database.ts';
import type { PassRef } from './pass.ts';

/** One delete or create; a pair of equal content is a rename. */
export interface RenameCandidate {
  readonly seq: number;
  readonly action: 'create' | 'delete';
  readonly kind: ItemKind;
  /** Null: the body is no longer kept. */
  readonly body: StoredBody | null;
}

const SELECT_CANDIDATES = `
SELECT seq, action, kind, encode(CASE WHEN side = 'hub'
    THEN CASE WHEN action = 'delete' THEN hub_hash ELSE hub_after END
    ELSE CASE WHEN action = 'delete' THEN remote_hash ELSE remote_after END END, 'hex') AS hash
FROM sync_ops WHERE tenant_id = current_setting('app.tenant') AND run_id = $1 AND state = 'planned'
  AND side = $2 AND action IN ('create', 'delete') AND seq > $3
ORDER BY seq LIMIT $4`;

/** A page of a run's planned deletes and creates on one side, in order. */
export async function renameCandidates(
  database: Database,
  ref: PassRef,
  page: { side: 'hub' | 'remote'; after: number; limit: number },
): Promise<RenameCandidate[]> {
  return database.withTenant(ref.tenant, async (tx) => {
    const rows = await tx.query<Omit<RenameCandidate, 'body'> & { hash: Hash | null }>(
      SELECT_CANDIDATES,
      [ref.runId, page.side, page.after, page.limit],
    );
    const bodies = await loadStored(
      tx,
      rows.map((row) => row.hash).filter((hash) => hash !== null),
    );
    return rows.map(({ hash, ...row }) => ({
      ...row,
      body: (hash && bodies.get(hash)) ?? null,
    }));
  });
}
