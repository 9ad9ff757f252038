/** Puts the store together over one database. */
import type { Clock } from '../domain/clock.ts';
import type { IdSource, TenantId } from '../domain/ids.ts';
import { createAnalytics } from './analytics.ts';
import { createApiKeys } from './api-keys.ts';
import { createAuditLog } from './audit.ts';
import { createAuditStore } from './audits.ts';
import { createChangeSweep, type ChangeSweep } from './change-sweep.ts';
import { createConflictStore } from './conflict-store.ts';
import { createConflictWatch, type ConflictWatch } from './conflict-watch.ts';
import { createContextStore } from './context-store.ts';
import type { Store } from './contract.ts';
import { createBodies } from './crypto/bodies.ts';
import { createKeyring } from './crypto/keyring.ts';
import type { MasterKeys } from './crypto/master-keys.ts';
import { createKeyRotation } from './crypto/rotation.ts';
import type { RandomBytes } from './crypto/seal.ts';
import type { Database } from './database.ts';
import { createDoctorStore, type DoctorStore } from './doctor.ts';
import { createExporter } from './export.ts';
import { createFeedWatch } from './feed-watch.ts';
import { createIdempotency } from './idempotency.ts';
import { createImporter } from './import.ts';
import { createLinkStore } from './link-store.ts';
import { createMetricsStore } from './metrics.ts';
import { createOutbox, type Outbox } from './outbox.ts';
import { createRetention, type Retention } from './retention.ts';
import { createRunStore } from './run-store.ts';
import { createHelpIndex } from './search/help-index.ts';
import { createSearchIndex, type SearchIndex } from './search/search-index.ts';
import { createSearchStore } from './search/search-store.ts';
import { createTermStatistics } from './search/term-statistics.ts';
import { createSweeps, type Sweeps } from './sweeps.ts';
import { createSyncStore, type SyncStore } from './sync/sync-store.ts';
import { createTenants } from './tenants.ts';
import { createWaitStore } from './wait-store.ts';

export interface StoreDeps {
  readonly database: Database;
  readonly clock: Clock;
  readonly newId: IdSource;
  /** Bytes of compact JSON one context's data may have. */
  readonly maxContextBytes: number;
  /** Missing: contexts cannot be encrypted, and encrypted ones cannot be read. */
  readonly encryption?: EncryptionDeps | null | undefined;
  /** Seconds a context lives when its writer said nothing, a day by default; null: for ever. */
  readonly defaultTtlS?: number | null | undefined;
  /** Bodies above this many bytes are compressed unless told otherwise; 1024 by default. */
  readonly compressAbove?: number | undefined;
  /** Called after commits that put something into the outbox. Must not throw. */
  readonly onCommitted: () => void;
  /** Called when passes have decided about items: whoever waits for a write looks. Must not throw. */
  readonly onSettled?: () => void;
  /** Told of a tenant whose contexts could not be expired. Must not throw. */
  readonly onSweepFailed?: ((tenant: TenantId, error: unknown) => void) | undefined;
}

export interface EncryptionDeps {
  readonly masters: MasterKeys;
  readonly randomBytes: RandomBytes;
  /** Whether new contexts are encrypted unless their writer says otherwise. */
  readonly isDefault: boolean;
}

/** The store, with the parts that only workers use. */
export interface FullStore extends Store {
  readonly sync: SyncStore;
  readonly conflictWatch: ConflictWatch;
  readonly outbox: Outbox;
  readonly changeSweep: ChangeSweep;
  readonly sweeps: Sweeps;
  readonly searchIndex: SearchIndex;
  readonly retention: Retention;
  readonly doctor: DoctorStore;
}

export function createStore(deps: StoreDeps): FullStore {
  const { encryption, compressAbove } = deps;
  const keyring = encryption ? createKeyring({ ...encryption, newId: deps.newId }) : null;
  const isDefault = encryption?.isDefault ?? false;
  const bodies = createBodies({ keyring, isDefault, compressAbove });
  const searchIndex = createSearchIndex(deps.database);
  return {
    contexts: createContextStore({ ...deps, bodies }),
    search: createSearchStore({
      ...deps,
      statistics: createTermStatistics(deps),
      helpIndex: createHelpIndex({ ...deps, index: searchIndex }),
    }),
    searchIndex,
    links: createLinkStore(deps),
    runs: createRunStore(deps),
    conflicts: createConflictStore(deps),
    audits: createAuditStore(deps),
    metrics: createMetricsStore(deps.database),
    analytics: createAnalytics(deps),
    retention: createRetention(deps.database),
    waits: createWaitStore(deps.database),
    idempotency: createIdempotency({ ...deps, keyring }),
    rotation: createKeyRotation({ database: deps.database, keyring }),
    keys: createApiKeys(deps.database),
    tenants: createTenants(deps),
    auditLog: createAuditLog(deps.database),
    feedWatch: createFeedWatch(deps),
    exporter: createExporter({ ...deps, bodies }),
    importer: createImporter({ ...deps, bodies }),
    sync: createSyncStore(deps.database, deps),
    conflictWatch: createConflictWatch(deps.database),
    outbox: createOutbox(deps.database),
    changeSweep: createChangeSweep(deps.database),
    sweeps: createSweeps(deps),
    doctor: createDoctorStore(deps.database),
    ping: () => deps.database.ping(),
    close: () => deps.database.close(),
  };
}
