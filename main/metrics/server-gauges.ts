/** Gauges that are read of Postgres and Redis when they are scraped. */
import type { Queue } from 'bullmq';
import type { PoolCounts } from '../../store/database.ts';
import type { DoctorStore } from '../../store/contract.ts';
import type { StorageSizes } from '../../store/storage-sizes.ts';
import type { Metrics } from './metrics.ts';

const OUTBOX_FRESH_MS = 5_000;
const QUEUE_FRESH_MS = 5_000;
/** Asking the catalogue is cheap, yet disks do not change by the second. */
const STORAGE_FRESH_MS = 30_000;
const BACKUP_FRESH_MS = 30_000;
const JOB_STATES = ['waiting', 'active', 'delayed', 'prioritized', 'failed'] as const;

/** Pool, outbox and storage. */
export function measureStore(
  { families, read }: Metrics,
  store: {
    readonly pools: () => Readonly<Record<string, PoolCounts>>;
    readonly doctor: Pick<DoctorStore, 'outbox'>;
    readonly sizes: StorageSizes;
  },
): void {
  read.add('pool', 0, async () => {
    for (const [pool, { total, idle, waiting }] of Object.entries(store.pools())) {
      families.poolConnections.set({ pool, state: 'busy' }, total - idle);
      families.poolConnections.set({ pool, state: 'idle' }, idle);
      families.poolWaiting.set({ pool }, waiting);
    }
  });
  const forgetOutbox = (): void => {
    families.outboxMessages.remove();
    families.outboxAge.remove();
  };
  read.add(
    'outbox',
    OUTBOX_FRESH_MS,
    async () => {
      const { waiting, oldestMs } = await store.doctor.outbox();
      families.outboxMessages.set(waiting);
      families.outboxAge.set(oldestMs / 1_000);
    },
    forgetOutbox,
  );
  read.add(
    'storage',
    STORAGE_FRESH_MS,
    async () => {
      for (const [kind, bytes] of Object.entries(await store.sizes.byKind()))
        families.storageSize.set({ kind }, bytes);
    },
    () => families.storageSize.reset(),
  );
}

/** Depth of a queue. */
export function measureQueue({ families, read }: Metrics, queue: Queue): void {
  read.add(
    'queue',
    QUEUE_FRESH_MS,
    async () => {
      const counts = await queue.getJobCounts(...JOB_STATES);
      for (const state of JOB_STATES)
        families.queueJobs.set({ queue: queue.name, state }, counts[state] ?? 0);
    },
    () => {
      for (const state of JOB_STATES) families.queueJobs.remove({ queue: queue.name, state });
    },
  );
}

/** Counts and times one job that is no job of the maintenance queue. */
export async function measureJob<T>(
  metrics: Pick<Metrics, 'job'>,
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const began = performance.now();
  const tell = (outcome: 'completed' | 'failed'): void =>
    metrics.job(name, outcome, (performance.now() - began) / 1_000);
  try {
    const result = await work();
    tell('completed');
    return result;
  } catch (error) {
    tell('failed');
    throw error;
  }
}

/** Time of the newest complete backup. */
export function measureBackups(
  { families, read }: Metrics,
  /** Ms since the epoch; null: there is none. */
  newestAt: () => Promise<number | null>,
): void {
  families.backupsOn.set(1);
  read.add(
    'backup',
    BACKUP_FRESH_MS,
    async () => {
      const at = await newestAt();
      if (at === null) families.backupTime.remove();
      else families.backupTime.set(at / 1_000);
    },
    () => families.backupTime.remove(),
  );
}
