/** The schedule that makes the pulse beat: made by every sync worker, and put back by the doctor. */
import { ScheduleAlreadyRunning, ScheduleOverlapPolicy } from '@temporalio/client';
import { PULSE, pulseScheduleId } from '../workflows/contract.ts';
import type { Services } from './services.ts';

/** One schedule for all links. Creating it twice is fine; what has changed is carried over. */
export async function ensurePulse({
  client,
  config,
}: Pick<Services, 'client' | 'config'>): Promise<void> {
  const spec = { intervals: [{ every: config.sync.pulseMs }] };
  const scheduleId = pulseScheduleId(config.temporal.taskQueue);
  const action = {
    type: 'startWorkflow' as const,
    workflowType: PULSE,
    workflowId: scheduleId,
    taskQueue: config.temporal.taskQueue,
    workflowExecutionTimeout: '1 minute' as const,
    staticSummary: 'wakes links whose time has come',
    // However long the queue is: without the pulse nobody's turn would come.
    priority: { priorityKey: 1 },
  };
  try {
    await client.schedule.create({
      scheduleId,
      spec,
      action,
      policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '10s' },
    });
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    await client.schedule
      .getHandle(scheduleId)
      .update((previous) => ({ ...previous, spec, action }));
  }
}
