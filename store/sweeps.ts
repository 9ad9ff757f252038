/** What runs over all tenants: expiry, the pulse, the list of links to watch, tenants themselves. */
import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/errors.ts';
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

// One whose version numbers are used up cannot be deleted, and must not stand before the others.
const SELECT_EXPIRED = `
SELECT tenant_id FROM contexts
WHERE expires_at <= $1 AND NOT deleted AND version < 2147483647 AND tenant_id <> ALL ($3::text[])
ORDER BY expires_at LIMIT $2`;

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
  /** Told of a tenant whose contexts could not be expired; without it, that fails the sweep's end. */
  readonly onSweepFailed?: ((tenant: TenantId, error: unknown) => void) | undefined;
}): Sweeps {
  const { database, clock, onCommitted } = deps;
  const expireOf = async (tenant: TenantId, most: number, at: Date): Promise<number> => {
    const [swept] = await database.withTenant(tenant, (tx) =>
      tx.query<{ expired: number }>(EXPIRE, [most, at]),
    );
    return swept!.expired;
  };

  /** One tenant's trouble costs no other tenant its expiry. */
  async function expireAll(
    limit: number,
    failed: Map<TenantId, unknown>,
    at: Date,
  ): Promise<number> {
    const due = await database.withSystem((tx) =>
      tx.query<{ tenant_id: TenantId }>(SELECT_EXPIRED, [at, limit, [...failed.keys()]]),
    );
    let expired = 0;
    let missed = 0;
    for (const tenant of new Set(due.map((row) => row.tenant_id))) {
      const most = due.filter((row) => row.tenant_id === tenant).length;
      try {
        expired += await expireOf(tenant, most, at);
      } catch (error) {
        if (error instanceof AppError && error.code === 'UNAVAILABLE') throw error;
        failed.set(tenant, error);
        missed += most;
      }
    }
    // What failed may have stood before the others' in the queue.
    return missed === 0 ? expired : expired + (await expireAll(missed, failed, at));
  }

  return {
    async expireContexts(limit) {
      const failed = new Map<TenantId, unknown>();
      const expired = await expireAll(limit, failed, new Date(clock.now()));
      if (expired > 0) onCommitted();
      for (const [tenant, error] of failed) {
        if (!deps.onSweepFailed) throw error;
        deps.onSweepFailed(tenant, error);
      }
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
