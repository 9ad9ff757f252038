/** Wakes due links. A schedule starts it every few seconds; one tiny activity does it all. */
import { proxyActivities } from '@temporalio/workflow';
import type { SyncActivities } from '../activities/contract.ts';

const { pulse: wakeDueLinks } = proxyActivities<SyncActivities>({
  startToCloseTimeout: '30 seconds',
  retry: { maximumAttempts: 1 },
});

export async function pulse(): Promise<{ woken: number }> {
  return wakeDueLinks();
}
