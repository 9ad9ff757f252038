/**
 * Wakes due links. A schedule starts it every few seconds; one small activity does it all, inside
 * the workflow task: on the queue it would wait behind large passes, and cost the server twice as much.
 */
import { proxyLocalActivities } from '@temporalio/workflow';
import type { SyncActivities } from '../activities/contract.ts';

const { pulse: wakeDueLinks } = proxyLocalActivities<SyncActivities>({
  startToCloseTimeout: '30 seconds',
  retry: { maximumAttempts: 1 },
});

export async function pulse(): Promise<{ woken: number }> {
  return wakeDueLinks();
}
