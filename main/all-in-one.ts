/** Role `all-in-one`: API, sync worker and job worker in one process. */
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import type { Router } from 'express';
import type { JobQueue } from '../workers/start-job-queue.ts';
import { startApi } from './api.ts';
import { startJobWorker } from './job-worker.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Services } from './services.ts';
import { startSyncWorker, type PassListener } from './sync-worker.ts';

export const QUEUES_PATH = '/admin/queues';

/** Starts every role. Nobody waits for a Redis or a Temporal that is out, the API least of all. */
export async function startAllInOne(
  services: Services,
  lifecycle: Lifecycle,
  onPass?: PassListener,
): Promise<{ url: string }> {
  const maintenance = await startJobWorker(services, lifecycle);
  const { queueBoard: hasBoard } = services.config.features;
  const board = hasBoard ? [[QUEUES_PATH, queueBoard(maintenance)] as const] : [];
  const api = await startApi(services, lifecycle, board);
  await startSyncWorker(services, lifecycle, onPass);
  return api;
}

function queueBoard({ queue }: JobQueue): Router {
  const adapter = new ExpressAdapter();
  adapter.setBasePath(QUEUES_PATH);
  createBullBoard({ queues: [new BullMQAdapter(queue)], serverAdapter: adapter });
  return adapter.getRouter() as Router;
}
