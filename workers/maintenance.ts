/** BullMQ's side of maintenance: one queue, one scheduler per job, idempotent sweeps. */
import { UnrecoverableError, type ConnectionOptions, type Job, type Queue } from 'bullmq';
import type {
  AuditStore,
  ConflictWatch,
  KeyRotation,
  Retention,
  RetentionPolicy,
  SearchIndex,
  Sweeps,
} from '../store/contract.ts';
import { collectGarbage } from './collect-garbage.ts';
import type { ConflictWatcher } from './conflict-watcher.ts';
import { JOBS, JOB_NAMES, MAINTENANCE_QUEUE, type JobName } from './contract.ts';
import { expireContexts } from './expire-contexts.ts';
import { forgetAnswers } from './forget-answers.ts';
import type { SearchIndexer } from './index-search.ts';
import { scheduleJob } from './keep-scheduled.ts';
import { reEncrypt } from './re-encrypt.ts';
import { mendSearch } from './mend-search.ts';
import { requestAudits } from './request-audits.ts';
import { startJobQueue, type JobQueue } from './start-job-queue.ts';
import { watchConflicts } from './watch-conflicts.ts';

export interface MaintenanceDeps {
  readonly connection: ConnectionOptions;
  /** Redis key prefix; apart per installation and per test. */
  readonly prefix: string;
  readonly sweeps: Sweeps;
  readonly conflicts: { readonly watch: ConflictWatch; readonly watcher: ConflictWatcher };
  readonly audits: { readonly store: AuditStore; readonly everyMs: number };
  readonly retention: { readonly store: Retention; readonly policy: RetentionPolicy };
  readonly rotation: KeyRotation;
  readonly searchIndex: SearchIndex;
  readonly searchIndexer: Pick<SearchIndexer, 'all'>;
  /** Vacuums where nobody else does; absent: that is switched off. */
  readonly tendTables?: () => Promise<unknown>;
  /** Told of each job that ended. Must not throw. */
  readonly onJob?: (job: JobName, outcome: 'completed' | 'failed', seconds: number) => void;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

/** Starts the worker and sets the schedulers; while Redis is out they wait for it, nobody else does. */
export function startMaintenance(deps: MaintenanceDeps): Promise<JobQueue> {
  const { connection, prefix, log } = deps;
  return startJobQueue({
    name: MAINTENANCE_QUEUE,
    connection,
    prefix,
    everyMs: Object.fromEntries(JOB_NAMES.map((name) => [name, JOBS[name].everyMs])),
    keep: { completed: 50, failed: 200 },
    handle: (job) => measured(deps, job),
    log,
  });
}

/** Makes sure that these jobs come again and again. */
export async function scheduleJobs(queue: Queue, names: readonly JobName[]): Promise<void> {
  for (const name of names) await scheduleJob(queue, name, JOBS[name].everyMs);
}

const HANDLERS: Readonly<Record<JobName, (deps: MaintenanceDeps) => Promise<unknown>>> = {
  'expire-contexts': ({ sweeps }) => expireContexts(sweeps),
  'watch-conflicts': ({ conflicts }) => watchConflicts(conflicts),
  'forget-answers': ({ sweeps }) => forgetAnswers(sweeps),
  're-encrypt': ({ rotation, log }) => reEncrypt(rotation, log),
  'mend-search': ({ searchIndex, log }) => mendSearch(searchIndex, log),
  'index-search': ({ searchIndexer }) => searchIndexer.all(),
  'request-audits': ({ audits }) => requestAudits(audits.store, audits.everyMs),
  'tend-tables': async ({ tendTables }) => tendTables?.() ?? { status: 'off' },
  'collect-garbage': ({ retention }) => collectGarbage(retention.store, retention.policy),
};

async function measured(deps: MaintenanceDeps, job: Job): Promise<unknown> {
  const began = performance.now();
  const name = JOB_NAMES.find((known) => known === job.name);
  const tell = (outcome: 'completed' | 'failed'): void => {
    if (name) deps.onJob?.(name, outcome, (performance.now() - began) / 1_000);
  };
  try {
    const result = await run(deps, job);
    tell('completed');
    return result;
  } catch (error) {
    tell('failed');
    throw error;
  }
}

async function run(deps: MaintenanceDeps, job: Job): Promise<unknown> {
  const name = JOB_NAMES.find((known) => known === job.name);
  if (name && JOBS[name].schema.safeParse(job.data).success) return HANDLERS[name](deps);
  throw new UnrecoverableError(`not a job of ours: ${job.name}`);
}
