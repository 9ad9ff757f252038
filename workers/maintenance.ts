/**
 * BullMQ's side of maintenance: one queue, one scheduler per job, idempotent sweeps. A lost Redis
 * loses nothing: the schedulers are set up again and the next sweep does what the lost one would.
 */
import { Queue, UnrecoverableError, Worker, type ConnectionOptions, type Job } from 'bullmq';
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
import { deadline, keepScheduled, scheduleJob } from './keep-scheduled.ts';
import { reEncrypt } from './re-encrypt.ts';
import { mendSearch } from './mend-search.ts';
import { requestAudits } from './request-audits.ts';
import { watchConflicts } from './watch-conflicts.ts';

const CLOSE_DEADLINE_MS = 5_000;

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
  /** Told of each job that ended. Must not throw. */
  readonly onJob?: (job: JobName, outcome: 'completed' | 'failed', seconds: number) => void;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

export interface Maintenance {
  /** For the queue board. */
  readonly queue: Queue;
  stop(): Promise<void>;
}

/** Starts the worker and sets the schedulers; while Redis is out they wait for it, nobody else does. */
export async function startMaintenance(deps: MaintenanceDeps): Promise<Maintenance> {
  const { connection, prefix, log } = deps;
  const queue = new Queue(MAINTENANCE_QUEUE, {
    connection,
    prefix,
    defaultJobOptions: { removeOnComplete: { count: 50 }, removeOnFail: { count: 200 } },
  });
  const worker = new Worker(MAINTENANCE_QUEUE, (job: Job) => measured(deps, job), {
    connection,
    prefix,
  });
  queue.on('error', (error) => log.warn({ error: error.message }, 'maintenance queue'));
  worker.on('error', (error) => log.warn({ error: error.message }, 'maintenance worker'));
  worker.on('failed', (job, error) =>
    log.warn({ job: job?.name, error: error.message }, 'a job failed'),
  );
  const everyMs = Object.fromEntries(JOB_NAMES.map((name) => [name, JOBS[name].everyMs]));
  const kept = keepScheduled(queue, { everyMs, log });
  await kept.started;
  return {
    queue,
    async stop() {
      kept.stop();
      await Promise.race([worker.close(), deadline(CLOSE_DEADLINE_MS)]);
      await Promise.race([queue.close(), deadline(CLOSE_DEADLINE_MS)]);
    },
  };
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
  'request-audits': ({ audits }) => requestAudits(audits.store, audits.everyMs),
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
