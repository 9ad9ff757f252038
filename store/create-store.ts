/** Puts the store together over one database. */
import type { Clock } from '../domain/clock.ts';
import type { IdSource } from '../domain/ids.ts';
import { createConflictStore } from './conflict-store.ts';
import { createContextStore } from './context-store.ts';
import type { Store } from './contract.ts';
import type { Database } from './database.ts';
import { createLinkStore } from './link-store.ts';
import { createOutbox, type Outbox } from './outbox.ts';
import { createRunStore } from './run-store.ts';
import { createSweeps, type Sweeps } from './sweeps.ts';
import { createSyncStore, type SyncStore } from './sync/sync-store.ts';

export interface StoreDeps {
  readonly database: Database;
  readonly clock: Clock;
  readonly newId: IdSource;
  /** Bytes of compact JSON one context's data may have. */
  readonly maxContextBytes: number;
  /** Called after commits that put something into the outbox. Must not throw. */
  readonly onCommitted: () => void;
}

/** The store, with the parts that only workers use. */
export interface FullStore extends Store {
  readonly sync: SyncStore;
  readonly outbox: Outbox;
  readonly sweeps: Sweeps;
}

export function createStore(deps: StoreDeps): FullStore {
  return {
    contexts: createContextStore(deps),
    links: createLinkStore(deps),
    runs: createRunStore(deps),
    conflicts: createConflictStore(deps),
    sync: createSyncStore(deps.database, deps.onCommitted),
    outbox: createOutbox(deps.database),
    sweeps: createSweeps(deps),
    ping: () => deps.database.ping(),
    close: () => deps.database.close(),
  };
}
