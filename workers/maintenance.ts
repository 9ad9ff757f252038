/**
 * BullMQ's side of maintenance: one queue, one scheduler per job, idempotent sweeps. A lost Redis
 * loses nothing: the schedulers are set up again and the next sweep does what the lost one would.
 */
import { Queue, UnrecoverableError, Worker, type ConnectionOptions, type Job } from 'bullmq';
import type { Sweeps } from '../store/contract.ts';
import { JOBS, JOB_NAMES, MAINTENANCE_QUEUE, type JobName } from './contract.ts';
import { expireContexts } from './expire-contexts.ts';

const CLOSE_DEADLINE_MS = 5_000;

export interface MaintenanceDeps {
  readonly connection: ConnectionOptions;
  /** Redis key prefix; apart per installation and per test. */
  readonly prefix: string;
  readonly sweeps: Sweeps;
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

/** Starts the worker and upserts the schedulers. @throws when Redis does not answer at first */
export async function startMaintenance(deps: MaintenanceDeps): Promise<Maintenance> {
  const { connection, prefix, log } = deps;
  const queue = new Queue(MAINTENANCE_QUEUE, {
    connection,
    prefix,
    defaultJobOptions: { removeOnComplete: { count: 50 }, removeOnFail: { count: 200 } },
  });
  const worker = new Worker(MAINTENANCE_QUEUE, (job: Job) => run(deps, job), {
    connection,
    prefix,
  });
  queue.on('error', (error) => log.warn({ error: error.message }, 'maintenance queue'));
  worker.on('error', (error) => log.warn({ error: error.message }, 'maintenance worker'));
  worker.on('failed', (job, error) =>
    log.warn({ job: job?.name, error: error.message }, 'a job failed'),
  );
  for (const name of JOB_NAMES) {
    await queue.upsertJobScheduler(name, { every: JOBS[name].everyMs }, { name, data: {} });
  }
  return {
    queue,
    async stop() {
      await Promise.race([worker.close(), deadline(CLOSE_DEADLINE_MS)]);
      await queue.close();
    },
  };
}

const HANDLERS: Readonly<Record<JobName, (deps: MaintenanceDeps) => Promise<unknown>>> = {
  'expire-contexts': ({ sweeps }) => expireContexts(sweeps),
};

async function run(deps: MaintenanceDeps, job: Job): Promise<unknown> {
  const name = JOB_NAMES.find((known) => known === job.name);
  if (name && JOBS[name].schema.safeParse(job.data).success) return HANDLERS[name](deps);
  throw new UnrecoverableError(`not a job of ours: ${job.name}`);
}

function deadline(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
