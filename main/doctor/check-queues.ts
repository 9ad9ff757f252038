/** The maintenance queue, and the outbox with its relay. */
import { Queue } from 'bullmq';
import type { DoctorReport } from '../../api/contract.ts';
import type { OutboxCondition } from '../../store/contract.ts';
import { JOB_NAMES, MAINTENANCE_QUEUE, type JobName } from '../../workers/contract.ts';
import { scheduleJobs } from '../../workers/maintenance.ts';
import { queueConnection, queuePrefix } from '../redis.ts';
import type { Services } from '../services.ts';
import { problem, span, type Problem } from './problem.ts';

/** What a look into a queue needs. */
export type QueueDeps = Pick<Services, 'redisUrl' | 'config'>;

/** The relay looks each second; a message that waits longer than this has nobody. */
const UNTAKEN_MS = 10_000;
/** A message is sent within seconds; older than this, sending it keeps failing. */
const UNSENT_MS = 60_000;

/** Schedulers and workers of the maintenance queue; asked only when Redis answers. */
export async function checkQueues(services: QueueDeps): Promise<readonly Problem[]> {
  return withQueue(services, MAINTENANCE_QUEUE, async (queue) => {
    const [schedulers, workers] = await Promise.all([
      queue.getJobSchedulers(),
      queue.getWorkersCount(),
    ]);
    const there = new Set<string>(schedulers.map(({ key }) => key));
    const missing = JOB_NAMES.filter((name) => !there.has(name));
    return [
      ...(missing.length > 0 ? [jobsMissing(services, missing)] : []),
      ...(workers === 0 ? [noJobWorker()] : []),
    ];
  });
}

function jobsMissing(services: QueueDeps, missing: readonly JobName[]): Problem {
  return problem(
    {
      code: 'JOBS_MISSING',
      explanation: `Redis has lost the scheduler(s) of ${missing.join(', ')}, so that maintenance rests.`,
      advice: 'Let `--fix` put them back; so does every job worker that starts.',
    },
    {
      repair: {
        name: 'jobs',
        act: async () => {
          await withQueue(services, MAINTENANCE_QUEUE, (queue) => scheduleJobs(queue, missing));
          return `Scheduled ${missing.join(', ')} again.`;
        },
      },
    },
  );
}

function noJobWorker(): Problem {
  return problem({
    code: 'NO_JOB_WORKER',
    explanation:
      'No job worker listens to the maintenance queue, so nothing expires or is collected.',
    advice: 'Start one (`node dist/main/run.js job-worker`), or see why it stopped in its log.',
  });
}

/** Does something with a queue of this installation, on a connection of its own. */
export async function withQueue<T>(
  services: QueueDeps,
  name: string,
  work: (queue: Queue) => Promise<T>,
): Promise<T> {
  const { redisUrl, config } = services;
  // An examination must end: nothing waits for a Redis that comes back.
  const { connection, close } = queueConnection(redisUrl, { maxRetriesPerRequest: 1 });
  const queue = new Queue(name, { connection, prefix: queuePrefix(config) });
  queue.on('error', () => undefined);
  try {
    return await work(queue);
  } finally {
    void queue
      .close()
      .catch(() => undefined)
      .finally(close);
  }
}

/** What the outbox's messages tell of the relay. */
export function judgeOutbox(
  { waiting, oldestMs, untakenMs, maxAttempts }: OutboxCondition,
  isTemporalUp: boolean,
): readonly Problem[] {
  const stuck = `${waiting} message(s) wait in the outbox, the oldest for ${span(oldestMs)}`;
  if (untakenMs > UNTAKEN_MS) {
    return [
      problem({
        code: 'OUTBOX_STUCK',
        explanation: `${stuck}, and no relay takes them: changes are seen only at the next pulse.`,
        advice: 'Start a job worker (`node dist/main/run.js job-worker`), or see its log.',
      }),
    ];
  }
  // While Temporal is out the messages wait as they should; that it is out is said already.
  if (oldestMs <= UNSENT_MS || !isTemporalUp) return [];
  return [
    problem({
      code: 'OUTBOX_STUCK',
      explanation: `${stuck} and ${maxAttempts} attempt(s): the relay takes them and cannot send them.`,
      advice: 'The log of the job worker says why; they are tried again every 30 s and not lost.',
    }),
  ];
}

/** The outbox as the report shows it. */
export function outboxOf({ waiting, oldestMs }: OutboxCondition): DoctorReport['outbox'] {
  return { waiting, oldestMs: Math.round(oldestMs) };
}
