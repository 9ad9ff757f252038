/**
 * A database that tells which contexts got new versions, once they are committed and before the caller
 * hears of it: the cache must not give an older one after that. Whoever writes versions notes them
 * down with {@link noteChanges}; so no kind of write can be forgotten one by one.
 */
import type { ContextKey, TenantId } from '../domain/ids.ts';
import type { Database, Transaction } from './database.ts';

/** A version of a context. */
export interface CommittedChange {
  readonly key: ContextKey;
  readonly version: number;
}

/**
 * Told of changes that are committed; the commit's caller waits for it. Without `isCommitted` they may be
 * committed, now or later, or never. Must not throw.
 */
export type OnChanges = (
  tenant: TenantId,
  changes: readonly CommittedChange[],
  isCommitted: boolean,
) => Promise<void>;

const noted = new WeakMap<Transaction, CommittedChange[]>();

/** Notes down versions that a transaction writes. */
export function noteChanges(tx: Transaction, changes: readonly CommittedChange[]): void {
  const known = noted.get(tx);
  if (known) known.push(...changes);
  else noted.set(tx, [...changes]);
}

/** The same database, with its changes told. */
export function announceChanges(database: Database, onChanges: OnChanges): Database {
  return {
    ...database,
    async withTenant(tenant, work, before) {
      let last: Transaction | undefined;
      let isCommitted = false;
      try {
        const result = await database.withTenant(
          tenant,
          (tx) => {
            last = tx;
            return work(tx);
          },
          before,
        );
        isCommitted = true;
        return result;
      } finally {
        // Those of the last try: what others before it wrote was rolled back. Also when it failed: an
        // answer to COMMIT may have been lost on the way.
        const changes = last && noted.get(last);
        if (changes) await onChanges(tenant, changes, isCommitted);
      }
    },
  };
}
