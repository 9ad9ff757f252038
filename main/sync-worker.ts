/** Role `sync-worker`: Temporal's workflows and activities, the pulse, the watchers of remotes. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ScheduleAlreadyRunning, ScheduleOverlapPolicy } from '@temporalio/client';
import { NativeConnection, Runtime, Worker, type WorkerOptions } from '@temporalio/worker';
import { v7 as newId } from 'uuid';
import { createActivities } from '../activities/create-activities.ts';
import type { PassOutcome, PassToken } from '../activities/contract.ts';
import { ensureSearchAttributes } from '../dev/search-attributes.ts';
import { systemClock } from '../domain/clock.ts';
import { messageOf } from '../domain/errors.ts';
import { startRemoteWatcher } from '../workers/watch-remotes.ts';
import { PULSE, pulseScheduleId } from '../workflows/contract.ts';
import type { Lifecycle } from './lifecycle.ts';
import { isBuilt, packageRoot } from './package-root.ts';
import type { Services } from './services.ts';

const SHUTDOWN_GRACE = '20 seconds';
const STOP_DEADLINE_MS = 25_000;
/** How long a task waits for the worker that has the workflow cached, which may be dead. */
const STICKY_TIMEOUT = '2 seconds';

export type PassListener = (pass: PassToken, outcome: PassOutcome) => void;

/** Starts a sync worker. `onPass` hears of every pass that did or wanted something. */
export async function startSyncWorker(
  services: Services,
  lifecycle: Lifecycle,
  onPass?: PassListener,
): Promise<void> {
  const { config, log, store, pool, wake, committed } = services;
  const activities = createActivities({
    sync: store.sync,
    sweeps: store.sweeps,
    pool,
    clock: systemClock,
    newId,
    wake,
    onPass(pass, outcome) {
      logPass(log, pass, outcome);
      onPass?.(pass, outcome);
    },
  });
  installRuntime(services);
  await ensureAttributes(services);
  const connection = await NativeConnection.connect(nativeOptions(services));
  const worker = await Worker.create({
    connection,
    namespace: config.temporal.namespace,
    taskQueue: config.temporal.taskQueue,
    ...workflowSource(),
    activities,
    maxCachedWorkflows: config.temporal.maxCachedWorkflows,
    shutdownGraceTime: SHUTDOWN_GRACE,
    stickyQueueScheduleToStartTimeout: STICKY_TIMEOUT,
  });
  const running = worker.run();
  running.catch((error: unknown) =>
    log.error({ error: messageOf(error) }, 'the Temporal worker broke'),
  );
  lifecycle.add({
    name: 'sync worker',
    deadlineMs: STOP_DEADLINE_MS,
    async stop() {
      worker.shutdown();
      await running.catch(() => undefined);
      await connection.close();
    },
  });
  await ensurePulse(services);
  const watcher = startRemoteWatcher({
    sweeps: store.sweeps,
    linkOf: async (ref) => (await store.sync.linkOfPass(ref))?.link ?? null,
    pool,
    wake,
    log,
  });
  committed.add(refreshOnLinkChange(watcher.refresh));
  lifecycle.add({ name: 'watchers', stop: () => watcher.stop() });
}

/** One line per pass that did or wanted something: ids, counts and times, never content. */
function logPass(log: Services['log'], pass: PassToken, outcome: PassOutcome): void {
  const { tenant, linkId, runId, linkName, trigger } = pass;
  const { status, counters, phases, guard, error } = outcome;
  const level = status === 'settled' ? 'info' : 'warn';
  log[level](
    {
      tenant,
      linkId,
      runId,
      link: linkName,
      trigger,
      status,
      counters,
      phases,
      guard: guard?.code,
      error,
    },
    'run',
  );
}

/** A Temporal of the user's own may not know our search attributes yet; without them nothing starts. */
async function ensureAttributes({ config, log }: Services): Promise<void> {
  const { address, namespace, apiKey } = config.temporal;
  if (address === null || apiKey !== null) return;
  try {
    await ensureSearchAttributes(address, namespace);
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'the search attributes could not be registered');
  }
}

/** Commits come in bursts; a new link should be watched soon, not once per commit. */
function refreshOnLinkChange(refresh: () => void): () => void {
  let timer: NodeJS.Timeout | null = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      refresh();
    }, 500).unref();
  };
}

/** The bundle made by the build, else the sources (bundled now, which takes some seconds). */
function workflowSource(): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'> {
  const bundle = `${packageRoot}/dist/workflow-bundle.js`;
  if (isBuilt && existsSync(bundle)) return { workflowBundle: { codePath: bundle } };
  return {
    workflowsPath: fileURLToPath(
      new URL(isBuilt ? '../workflows/index.js' : '../workflows/index.ts', import.meta.url),
    ),
  };
}

function nativeOptions({ config }: Services) {
  const apiKey = config.temporal.apiKey?.reveal();
  return { address: config.temporal.address ?? '', ...(apiKey ? { apiKey, tls: true } : {}) };
}

/** Temporal's own log lines go where ours go; its runtime is one per process. */
function installRuntime({ log }: Services): void {
  try {
    Runtime.install({
      // Our own lifecycle decides who stops when.
      shutdownSignals: [],
      logger: {
        log: (level, message, meta) => forward(log, level, { message, meta }),
        trace: (message, meta) => log.trace(meta ?? {}, message),
        debug: (message, meta) => log.debug(meta ?? {}, message),
        info: (message, meta) => log.debug(meta ?? {}, message),
        warn: (message, meta) => log.warn(meta ?? {}, message),
        error: (message, meta) => log.error(meta ?? {}, message),
      },
      telemetryOptions: { logging: { forward: {}, filter: 'WARN' } },
    });
  } catch (error) {
    log.debug({ error: messageOf(error) }, 'the Temporal runtime was installed before');
  }
}

function forward(
  log: Services['log'],
  level: string,
  line: { message: string; meta: object | undefined },
): void {
  const method = level === 'ERROR' ? 'error' : level === 'WARN' ? 'warn' : 'debug';
  log[method](line.meta ?? {}, line.message);
}

/** One schedule for all links. Creating it twice is fine; a changed interval is carried over. */
async function ensurePulse({ client, config }: Services): Promise<void> {
  const spec = { intervals: [{ every: config.sync.pulseMs }] };
  const scheduleId = pulseScheduleId(config.temporal.taskQueue);
  try {
    await client.schedule.create({
      scheduleId,
      spec,
      action: {
        type: 'startWorkflow',
        workflowType: PULSE,
        workflowId: scheduleId,
        taskQueue: config.temporal.taskQueue,
        workflowExecutionTimeout: '1 minute',
        staticSummary: 'wakes links whose time has come',
      },
      policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '10s' },
    });
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    await client.schedule.getHandle(scheduleId).update((previous) => ({ ...previous, spec }));
  }
}
