/** What runs over all tenants: expiry, the pulse, the list of links to watch, tenants themselves. */
import type { Clock } from '../domain/clock.ts';
import type { LinkId, TenantId } from '../domain/ids.ts';
import type { Database } from './database.ts';
import { createDueLinks, type DueLinks } from './due-links.ts';
import { forgetAnswers } from './idempotency.ts';
import type { LinkRef } from './outbox.ts';

export interface Sweeps extends DueLinks {
  /** Deletes (reason `ttl`) up to `limit` contexts whose time is over; answers how many. */
  expireContexts(limit: number): Promise<number>;
  /** Forgets up to `limit` answers of requests with an `Idempotency-Key` after their day; how many. */
  forgetAnswers(limit: number): Promise<number>;
  /** Links that run by themselves, for whoever watches their remotes; tenants take turns. */
  liveLinks(): Promise<LinkRef[]>;
}

const SELECT_EXPIRED = `
SELECT tenant_id FROM contexts WHERE expires_at <= $1 AND NOT deleted ORDER BY expires_at LIMIT $2`;

// One function for this sweep and for operators, who may call it themselves.
const EXPIRE = 'SELECT context_system.cleanup_expired_contexts($1, $2) AS expired';

const SELECT_LIVE = `
SELECT tenant_id AS tenant, id AS "linkId" FROM sync_links
WHERE state IN ('active', 'failed') AND trigger = 'auto'
ORDER BY row_number() OVER (PARTITION BY tenant_id ORDER BY id), tenant_id`;

export function createSweeps(deps: {
  readonly database: Database;
  readonly clock: Clock;
  readonly onCommitted: () => void;
}): Sweeps {
  const { database, clock, onCommitted } = deps;
  return {
    async expireContexts(limit) {
      const at = new Date(clock.now());
      const due = await database.withSystem((tx) =>
        tx.query<{ tenant_id: TenantId }>(SELECT_EXPIRED, [at, limit]),
      );
      const tenants = new Set(due.map((row) => row.tenant_id));
      let expired = 0;
      for (const tenant of tenants) {
        const most = due.filter((row) => row.tenant_id === tenant).length;
        const [swept] = await database.withTenant(tenant, (tx) =>
          tx.query<{ expired: number }>(EXPIRE, [most, at]),
        );
        expired += swept!.expired;
      }
      if (expired > 0) onCommitted();
      return expired;
    },
    forgetAnswers: (limit) => forgetAnswers(database, new Date(clock.now()), limit),
    ...createDueLinks(database),
    liveLinks: () => database.withSystem((tx) => tx.query<LinkRefRow>(SELECT_LIVE)),
  };
}

interface LinkRefRow {
  tenant: TenantId;
  linkId: LinkId;
}
