/** Puts the store together over one database. */
import type { Clock } from '../domain/clock.ts';
import type { IdSource } from '../domain/ids.ts';
import { createAuditStore } from './audits.ts';
import { createConflictStore } from './conflict-store.ts';
import { createConflictWatch, type ConflictWatch } from './conflict-watch.ts';
import { createContextStore } from './context-store.ts';
import type { Store } from './contract.ts';
import type { Database } from './database.ts';
import { createDoctorStore, type DoctorStore } from './doctor.ts';
import { createIdempotency } from './idempotency.ts';
import { createLinkStore } from './link-store.ts';
import { createMetricsStore } from './metrics.ts';
import { createOutbox, type Outbox } from './outbox.ts';
import { createRetention, type Retention } from './retention.ts';
import { createRunStore } from './run-store.ts';
import { createSweeps, type Sweeps } from './sweeps.ts';
import { createSyncStore, type SyncStore } from './sync/sync-store.ts';
import { createWaitStore } from './wait-store.ts';

export interface StoreDeps {
  readonly database: Database;
  readonly clock: Clock;
  readonly newId: IdSource;
  /** Bytes of compact JSON one context's data may have. */
  readonly maxContextBytes: number;
  /** Called after commits that put something into the outbox. Must not throw. */
  readonly onCommitted: () => void;
  /** Called when passes have decided about items: whoever waits for a write looks. Must not throw. */
  readonly onSettled?: () => void;
}

/** The store, with the parts that only workers use. */
export interface FullStore extends Store {
  readonly sync: SyncStore;
  readonly conflictWatch: ConflictWatch;
  readonly outbox: Outbox;
  readonly sweeps: Sweeps;
  readonly retention: Retention;
  readonly doctor: DoctorStore;
}

export function createStore(deps: StoreDeps): FullStore {
  return {
    contexts: createContextStore(deps),
    links: createLinkStore(deps),
    runs: createRunStore(deps),
    conflicts: createConflictStore(deps),
    audits: createAuditStore(deps),
    metrics: createMetricsStore(deps.database),
    retention: createRetention(deps.database),
    waits: createWaitStore(deps.database),
    idempotency: createIdempotency(deps),
    sync: createSyncStore(deps.database, deps),
    conflictWatch: createConflictWatch(deps.database),
    outbox: createOutbox(deps.database),
    sweeps: createSweeps(deps),
    doctor: createDoctorStore(deps.database),
    ping: () => deps.database.ping(),
    close: () => deps.database.close(),
  };
}
