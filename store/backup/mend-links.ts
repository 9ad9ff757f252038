/**
 * Makes every link begin anew after a restore. The hub is older than what its remotes have seen since,
 * so nothing that was agreed on counts: each link gets a new epoch, looks at its remote whole, and may
 * delete nothing before it has. No run from before can settle anything: fences jump ahead of all.
 */
import type { LinkId, TenantId } from '../../domain/ids.ts';
import type { Transaction } from '../database.ts';
import { openEpoch } from '../link-store.ts';
import { wakeLink } from '../outbox.ts';
import { dropIntents } from '../sync/drop-intents.ts';

interface RestoredLink {
  readonly tenant: TenantId;
  readonly id: LinkId;
  readonly name: string;
  readonly prefix: string;
}

const SELECT_LINKS = `
SELECT tenant_id AS tenant, id, name, prefix FROM sync_links ORDER BY tenant_id, id`;

// A fence is a count; as a time it is above what any pass since the backup can have reached.
const BEGIN_ANEW = `
UPDATE sync_links SET fence = greatest(fence, $1::bigint), live_until = NULL, rests_until = NULL,
  quiet_looks = 0, failures = 0, next_due_at = now(), whole_due_at = now(), proof = NULL,
  last_proved_equal_at = NULL, audit_due_at = NULL,
  state = CASE WHEN state = 'failed' THEN 'active' ELSE state END`;

const END_RUNS = `
UPDATE sync_runs SET status = 'failed', ended_at = now(), error = json_build_object(
  'code', 'FENCED', 'detail', 'the store was restored from a backup while this run was under way')
WHERE status = 'running'`;

/** Opens a new epoch on every link of every tenant. In the transaction of the restore. */
export async function mendLinks(tx: Transaction, nowMs: number): Promise<void> {
  await tx.query('SET LOCAL search_path = context_system, public');
  // What waited to be told was told, or is told by the wake that each link gets.
  await tx.query('DELETE FROM outbox');
  await tx.query(END_RUNS);
  for (const link of await tx.query<RestoredLink>(SELECT_LINKS)) {
    await tx.query(`SELECT set_config('app.tenant', $1, true)`, [link.tenant]);
    await dropIntents(tx, link, new Date(nowMs));
    await openEpoch(tx, link);
    await wakeLink(tx, link.id);
  }
  await tx.query(`SELECT set_config('app.tenant', '', true)`);
  await tx.query(BEGIN_ANEW, [nowMs]);
}
