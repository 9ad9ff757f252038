/**
 * Asks for audits: on demand, and for the links whose time has come. An audit is a run like any
 * other; its link's workflow conducts it.
 */
import type { Caller } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { IdSource, LinkId, RunId, TenantId } from '../domain/ids.ts';
import type { Database, Transaction } from './database.ts';
import { lockLink } from './link-store.ts';
import { wakeLink } from './outbox.ts';

export interface AuditStore {
  /**
   * Asks for an audit; joins a look or audit that waits already. Answers the run.
   * @throws AppError LINK_NOT_FOUND, LINK_PAUSED
   */
  request(caller: Caller, linkId: LinkId): Promise<RunId>;
  /**
   * Asks for an audit of at most `limit` links whose time has come, and sets their next one about
   * `everyMs` from now (± 25 %). A link that has no time yet gets one somewhere within `everyMs`.
   * Answers how many were asked for.
   */
  requestDue(bounds: { readonly limit: number; readonly everyMs: number }): Promise<number>;
}

/** What a scheduled or requested audit is called in the run list. */
const TRIGGER = 'audit';

export function createAuditStore(deps: {
  readonly database: Database;
  readonly newId: IdSource;
  readonly onCommitted: () => void;
}): AuditStore {
  const { database, newId, onCommitted } = deps;
  return {
    async request(caller, linkId) {
      const id = await database.withTenant(caller.tenant, async (tx) => {
        const link = await lockLink(tx, linkId);
        if (link.state === 'paused')
          throw new AppError('LINK_PAUSED', `link ${link.name} is paused`);
        return requestRun(tx, linkId, newId() as RunId);
      });
      onCommitted();
      return id;
    },

    async requestDue({ limit, everyMs }) {
      const due = await database.withSystem(async (tx) => {
        await tx.query(SET_FIRST, [everyMs]);
        return tx.query<DueRow>(TAKE_DUE, [limit, everyMs]);
      });
      for (const { tenant, id } of due) {
        await database.withTenant(tenant, async (tx) => {
          await lockLink(tx, id);
          await requestRun(tx, id, newId() as RunId);
        });
      }
      if (due.length > 0) onCommitted();
      return due.length;
    },
  };
}

interface DueRow {
  readonly tenant: TenantId;
  readonly id: LinkId;
}

// Spread over the whole interval, so that links made (or moved) together are not audited together.
const SET_FIRST = `
UPDATE sync_links SET audit_due_at = now() + $1::float8 * random() * interval '1 millisecond'
WHERE audit_due_at IS NULL`;

const TAKE_DUE = `
UPDATE sync_links SET audit_due_at = now() + $2::float8 * (0.75 + 0.5 * random()) * interval '1 millisecond'
WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM sync_links
  WHERE audit_due_at <= now() AND state = 'active' AND trigger = 'auto' AND last_settled_at IS NOT NULL
  ORDER BY audit_due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING tenant_id AS tenant, id`;

// A look that nobody has begun becomes the audit: it looks at everything a look would.
const REQUEST_RUN = `
WITH joined AS (
  UPDATE sync_runs SET mode = 'audit' WHERE tenant_id = current_setting('app.tenant') AND id = (
    SELECT id FROM sync_runs WHERE tenant_id = current_setting('app.tenant') AND link_id = $2
      AND status = 'running' AND NOT begun AND mode IN ('look', 'audit') ORDER BY started_at LIMIT 1)
  RETURNING id
), made AS (
  INSERT INTO sync_runs (tenant_id, id, link_id, status, trigger, mode, epoch)
  SELECT current_setting('app.tenant'), $1, $2, 'running', '${TRIGGER}', 'audit', epoch FROM sync_links
  WHERE tenant_id = current_setting('app.tenant') AND id = $2 AND NOT EXISTS (SELECT 1 FROM joined)
  RETURNING id
)
SELECT id FROM joined UNION ALL SELECT id FROM made`;

async function requestRun(tx: Transaction, linkId: LinkId, newId: RunId): Promise<RunId> {
  const [run] = await tx.query<{ id: RunId }>(REQUEST_RUN, [newId, linkId]);
  await wakeLink(tx, linkId);
  return run!.id;
}
