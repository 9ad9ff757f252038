/**
 * Scheduled backups: whether they come, how old the newest is, and whether the next can be written.
 * Another process may make them, on another machine: what its jobs told, Redis knows.
 */
import { access, constants } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Queue } from 'bullmq';
import { z } from 'zod';
import type { Clock } from '../../domain/clock.ts';
import { messageOf } from '../../domain/errors.ts';
import { listBackups } from '../../store/backup/backup-files.ts';
import { BACKUP_JOB, BACKUP_LOOK_EVERY_MS, BACKUP_QUEUE } from '../../workers/backup-schedule.ts';
import { scheduleJob } from '../../workers/keep-scheduled.ts';
import { withQueue, type QueueDeps } from './check-queues.ts';
import { problem, span, type Problem } from './problem.ts';

/** What a backup job answers, as far as it is of use here. */
const outcomeSchema = z.object({ newestAt: z.number(), intervalMs: z.number() });

interface QueueSight {
  readonly isScheduled: boolean;
  readonly workers: number;
  /** Of the job that ended well last. */
  readonly told: z.output<typeof outcomeSchema> | null;
  /** Why the last job failed; null: it did not. */
  readonly failure: string | null;
}

/** Nothing to say where no backups are scheduled. Without Redis only our own folder is looked at. */
export async function checkBackups(
  deps: QueueDeps & { readonly clock: Clock },
  { isRedisUp }: { readonly isRedisUp: boolean },
): Promise<readonly Problem[]> {
  const { directory } = deps.config.backup;
  const queue = isRedisUp ? await withQueue(deps, BACKUP_QUEUE, lookAt) : null;
  if (directory === null && !queue?.isScheduled) return [];
  const fault = directory === null ? null : await folderFault(directory);
  return [
    ...(directory !== null && fault !== null ? [folderProblem(directory, fault)] : []),
    ...(queue ? judgeQueue(deps, queue) : []),
    ...(await judgeAge(deps, queue)),
  ];
}

async function lookAt(queue: Queue): Promise<QueueSight> {
  const [schedulers, workers, [completed], [failed]] = await Promise.all([
    queue.getJobSchedulers(),
    queue.getWorkersCount(),
    queue.getCompleted(0, 0),
    queue.getFailed(0, 0),
  ]);
  const told = outcomeSchema.safeParse(completed?.returnvalue);
  const isFailing = failed && (failed.finishedOn ?? 0) > (completed?.finishedOn ?? 0);
  return {
    isScheduled: schedulers.some(({ key }) => key === BACKUP_JOB),
    workers,
    told: told.success ? told.data : null,
    failure: isFailing ? failed.failedReason : null,
  };
}

function judgeQueue(deps: QueueDeps, queue: QueueSight): readonly Problem[] {
  const { isScheduled, workers, failure } = queue;
  return [
    ...(isScheduled ? [] : [unscheduled(deps)]),
    ...(workers === 0 ? [noWorker(deps)] : []),
    ...(failure === null ? [] : [failing(failure)]),
  ];
}

/** The newest that is known of, in our own folder or from another process. */
async function judgeAge(
  { config, clock }: QueueDeps & { readonly clock: Clock },
  queue: QueueSight | null,
): Promise<readonly Problem[]> {
  const { directory, intervalMs: own } = config.backup;
  const files = directory === null ? [] : await listBackups(directory).catch(() => []);
  const newestAt = Math.max(files.at(-1)?.at ?? 0, queue?.told?.newestAt ?? 0);
  const intervalMs = directory === null ? (queue?.told?.intervalMs ?? own) : own;
  const ageMs = clock.now() - newestAt;
  // Where there is none yet, that nobody makes one is said already.
  if (newestAt === 0 || ageMs <= 2 * intervalMs) return [];
  return [
    problem({
      code: 'BACKUP_OLD',
      explanation: `The newest backup is ${span(ageMs)} old, though one is due every ${span(intervalMs)}.`,
      advice:
        'Make one now (`syncline backup`), then see the log of the job worker or of the role `backup` for why none was made.',
    }),
  ];
}

function unscheduled(deps: QueueDeps): Problem {
  return problem(
    {
      code: 'BACKUP_UNSCHEDULED',
      explanation: 'A folder for backups is set, and Redis holds no schedule for them.',
      advice: 'Let `--fix` put it back; so does every job worker that has the folder.',
    },
    {
      repair: {
        name: 'backups',
        act: async () => {
          await withQueue(deps, BACKUP_QUEUE, (queue) =>
            scheduleJob(queue, BACKUP_JOB, BACKUP_LOOK_EVERY_MS),
          );
          return 'Scheduled backups again.';
        },
      },
    },
  );
}

function noWorker({ config }: QueueDeps): Problem {
  return problem({
    code: 'NO_BACKUP_WORKER',
    explanation: 'Backups are scheduled, and no process makes them.',
    advice: `Start the role \`backup\`, or a job worker, with BACKUP_DIRECTORY. If none are wanted any more, delete the keys \`${config.redis.prefix}-queue:${BACKUP_QUEUE}:*\` in Redis.`,
  });
}

function failing(reason: string): Problem {
  return problem({
    code: 'BACKUP_FAILS',
    explanation: `The last backup failed: ${reason}`,
    advice: 'Mend the cause; it is tried again each minute. docs/backup.md says what it needs.',
  });
}

function folderProblem(directory: string, fault: string): Problem {
  return problem({
    code: 'BACKUP_FOLDER',
    explanation: `No backup can be written to ${directory}: ${fault}.`,
    advice: 'Make the folder writable for this user, or set BACKUP_DIRECTORY to another one.',
  });
}

/** Why nothing can be written there, or null. A folder that is not there yet is made when it is needed. */
async function folderFault(directory: string): Promise<string | null> {
  try {
    await access(directory, constants.W_OK | constants.X_OK);
    await listBackups(directory);
    return null;
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    const parent = dirname(directory);
    return isMissing && parent !== directory ? folderFault(parent) : messageOf(error);
  }
}
