/**
 * A database that tells which contexts got new versions, once they are committed and before the caller
 * hears of it: the cache must not give an older one after that. Whoever writes versions notes them
 * down with {@link noteChanges}; so no kind of write can be forgotten one by one.
 */
import type { ContextKey, TenantId } from '../domain/ids.ts';
import type { Database, OpenTransaction, Transaction } from './database.ts';

/** A version of a context. */
export interface CommittedChange {
  readonly key: ContextKey;
  readonly version: number;
}

/** Told of changes that are committed, or may be; the commit's caller waits for it. Must not throw. */
export type OnChanges = (tenant: TenantId, changes: readonly CommittedChange[]) => Promise<void>;

const noted = new WeakMap<Transaction, CommittedChange[]>();

/** Notes down versions that a transaction writes. */
export function noteChanges(tx: Transaction, changes: readonly CommittedChange[]): void {
  const known = noted.get(tx);
  if (known) known.push(...changes);
  else noted.set(tx, [...changes]);
}

/** The same database, with its changes told. */
export function announceChanges(database: Database, onChanges: OnChanges): Database {
  async function told<T>(
    tenant: TenantId,
    run: (watch: (tx: Transaction) => unknown) => Promise<T>,
  ): Promise<T> {
    const tries: Transaction[] = [];
    try {
      return await run((tx) => tries.push(tx));
    } finally {
      // Those of the last try: what others before it wrote was rolled back. Also when it failed: an
      // answer to COMMIT may have been lost on the way.
      const last = tries.at(-1);
      const changes = last && noted.get(last);
      if (changes) await onChanges(tenant, changes);
    }
  }

  return {
    ...database,
    withTenant: (tenant, work, before) =>
      told(tenant, (watch) =>
        database.withTenant(
          tenant,
          (tx) => {
            watch(tx);
            return work(tx);
          },
          before,
        ),
      ),
    withTenantFirst: <Row extends object, T>(
      tenant: TenantId,
      first: string,
      work: (tx: OpenTransaction, rows: Row[]) => Promise<T>,
    ) =>
      told(tenant, (watch) =>
        database.withTenantFirst<Row, T>(tenant, first, (tx, rows) => {
          watch(tx);
          return work(tx, rows);
        }),
      ),
  };
}
