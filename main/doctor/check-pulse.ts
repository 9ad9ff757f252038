/** Whether the pulse beats, and whether anybody works on what it wakes. */
import { ScheduleNotFoundError, type ScheduleDescription } from '@temporalio/client';
import type { Clock } from '../../domain/clock.ts';
import { pulseScheduleId } from '../../workflows/contract.ts';
import { ensurePulse } from '../pulse-schedule.ts';
import type { Services } from '../services.ts';
import { skewProblem } from './check-servers.ts';
import { problem, type Problem } from './problem.ts';

type Deps = Pick<Services, 'config' | 'client' | 'temporal'> & { readonly clock: Clock };

/** A worker asks for work at least once a minute; Temporal forgets one after five. */
const POLLED_WITHIN_MS = 100_000;

/** The schedule: there, not paused, its next beat where our clock expects it. */
export async function checkPulse(deps: Deps): Promise<readonly Problem[]> {
  const { client, config, clock } = deps;
  const schedule = client.schedule.getHandle(pulseScheduleId(config.temporal.taskQueue));
  const found = await schedule.describe().catch((error: unknown) => {
    if (error instanceof ScheduleNotFoundError) return null;
    throw error;
  });
  if (!found) return [missing(deps)];
  if (found.state.paused) {
    const note = found.state.note ? ` (“${found.state.note}”)` : '';
    return [
      problem(
        {
          code: 'PULSE_PAUSED',
          explanation: `The pulse is paused${note}, so nobody looks at links whose time has come.`,
          advice: 'Let `--fix` go on with it, or unpause the schedule in the Temporal UI.',
        },
        {
          repair: {
            name: 'pulse',
            act: async () => {
              await schedule.unpause('syncline doctor');
              return 'The pulse goes on.';
            },
          },
        },
      ),
    ];
  }
  return skewProblem('Temporal', skewOf(found, clock.now(), config.sync.pulseMs));
}

function missing(deps: Deps): Problem {
  return problem(
    {
      code: 'PULSE_MISSING',
      explanation:
        'The schedule of the pulse is gone, so nobody looks at links whose time has come.',
      advice: 'Let `--fix` make it again; so does every sync worker that starts.',
    },
    {
      repair: {
        name: 'pulse',
        act: async () => {
          await ensurePulse(deps);
          return 'The pulse beats again.';
        },
      },
    },
  );
}

/** The next beat lies within one interval of the server's now; how far off it seems to us is the skew. */
function skewOf({ info }: ScheduleDescription, nowMs: number, pulseMs: number): number {
  const next = info.nextActionTimes[0]?.getTime();
  if (next === undefined) return 0;
  const aheadMs = next - nowMs;
  if (aheadMs > pulseMs) return aheadMs - pulseMs;
  return Math.min(0, aheadMs);
}

/** Whether a sync worker asks for work. */
export async function checkWorkers(deps: Deps): Promise<readonly Problem[]> {
  const { temporal, config, clock } = deps;
  const { namespace, taskQueue } = config.temporal;
  // Without a type, the queue of workflow tasks is meant.
  const { pollers } = await temporal.workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name: taskQueue },
  });
  const isPolled = pollers.some(
    ({ lastAccessTime }) =>
      clock.now() - Number(lastAccessTime?.seconds ?? 0) * 1_000 < POLLED_WITHIN_MS,
  );
  if (isPolled) return [];
  return [
    problem({
      code: 'NO_SYNC_WORKER',
      explanation: `No sync worker asks for work on the task queue “${taskQueue}”, so no link is synced.`,
      advice: 'Start one (`node dist/main/run.js sync-worker`), or see why it stopped in its log.',
    }),
  ];
}
