/**
 * A BullMQ queue with its worker and its schedulers. A lost Redis loses nothing: the schedulers are
 * set up again, and jobs are idempotent, so the next one does what the lost one would have.
 */
import { Queue, Worker, type ConnectionOptions, type Job } from 'bullmq';
import { deadline, keepScheduled } from './keep-scheduled.ts';

const CLOSE_DEADLINE_MS = 5_000;

export interface JobQueueOptions {
  readonly name: string;
  readonly connection: ConnectionOptions;
  /** Redis key prefix; apart per installation and per test. */
  readonly prefix: string;
  /** Name of a job → how often it comes, ms. */
  readonly everyMs: Readonly<Record<string, number>>;
  /** Ended jobs that stay to be looked at, at most. */
  readonly keep: { readonly completed: number; readonly failed: number };
  /** Does one job; what it answers is kept with the job. */
  readonly handle: (job: Job) => Promise<unknown>;
  /** How often somebody looks whether the schedulers are still in Redis, ms. */
  readonly lookEveryMs?: number | undefined;
  readonly log: { warn(fields: object, message: string): void };
}

export interface JobQueue {
  /** For the queue board and its measures. */
  readonly queue: Queue;
  stop(): Promise<void>;
}

/** Starts the worker and sets the schedulers; while Redis is out they wait for it, nobody else does. */
export async function startJobQueue(options: JobQueueOptions): Promise<JobQueue> {
  const { name, connection, prefix, keep, log } = options;
  const queue = new Queue(name, {
    connection,
    prefix,
    defaultJobOptions: {
      removeOnComplete: { count: keep.completed },
      removeOnFail: { count: keep.failed },
    },
  });
  const worker = new Worker(name, options.handle, { connection, prefix });
  queue.on('error', (error) => log.warn({ queue: name, error: error.message }, 'a queue'));
  worker.on('error', (error) => log.warn({ queue: name, error: error.message }, 'a queue worker'));
  worker.on('failed', (job, error) =>
    log.warn({ job: job?.name, error: error.message }, 'a job failed'),
  );
  const { everyMs, lookEveryMs } = options;
  const kept = keepScheduled(queue, {
    everyMs,
    log,
    ...(lookEveryMs === undefined ? {} : { lookEveryMs }),
  });
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
