/** Role `sync-worker`: Temporal's workflows and activities, the pulse, the watchers of remotes. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { NativeConnection, Runtime, Worker, type WorkerOptions } from '@temporalio/worker';
import { v7 as newId } from 'uuid';
import { createConflictActivities } from '../activities/conflicts.ts';
import { createActivities } from '../activities/create-activities.ts';
import { createThreads } from '../activities/compute/threads.ts';
import type { PassOutcome, PassToken } from '../activities/contract.ts';
import { DEFAULT_PACE, type PulsePace } from '../activities/pulse.ts';
import { ensureSearchAttributes } from '../dev/search-attributes.ts';
import { systemClock } from '../domain/clock.ts';
import { messageOf } from '../domain/errors.ts';
import { startRemoteWatcher, type RemoteWatcher } from '../workers/watch-remotes.ts';
import type { Lifecycle } from './lifecycle.ts';
import { keepTrying } from './keep-trying.ts';
import { isBuilt, packageRoot } from './package-root.ts';
import { ensurePulse } from './pulse-schedule.ts';
import type { Services } from './services.ts';
import { temporalAccess } from './temporal-connection.ts';

const SHUTDOWN_GRACE = '20 seconds';
const STOP_DEADLINE_MS = 25_000;
/** Between two attempts to reach a Temporal that is out. */
const RETRY_MS = 3_000;
/** How long a task waits for the worker that has the workflow cached, which may be dead. */
const STICKY_TIMEOUT = '2 seconds';

/** Workflow tasks beside those that do a pass: starts, wakes, ends, the pulse. */
const QUICK_TASKS = 10;

export type PassListener = (pass: PassToken, outcome: PassOutcome) => void;

/**
 * Starts a sync worker. While Temporal is out it keeps trying, and says so; whoever started it goes
 * on. `onPass` hears of every pass that did or wanted something.
 */
export async function startSyncWorker(
  services: Services,
  lifecycle: Lifecycle,
  onPass?: PassListener,
): Promise<void> {
  const { config, log, store, pool, wake, committed } = services;
  const watching: { current: RemoteWatcher | null } = { current: null };
  const threads = createThreads();
  lifecycle.add({ name: 'threads', stop: () => threads.close() });
  const activities = createActivities({
    sync: store.sync,
    sweeps: store.sweeps,
    pool,
    threads,
    clock: systemClock,
    newId,
    wake,
    log,
    pace: { ...DEFAULT_PACE, ...paceOf(config) },
    isWatched: (link) => watching.current?.isWatched(link) ?? false,
    onPass(pass, outcome) {
      services.metrics.pass(outcome.status);
      logPass(log, pass, outcome);
      onPass?.(pass, outcome);
    },
  });
  const conflictActivities = createConflictActivities({
    watch: store.conflictWatch,
    conflicts: store.conflicts,
    clock: systemClock,
  });
  installRuntime(services);
  const sync = keepTrying({
    start: () => runWorker(services, { ...activities, ...conflictActivities }),
    log,
    everyMs: RETRY_MS,
  });
  lifecycle.add({ name: 'sync worker', deadlineMs: STOP_DEADLINE_MS, stop: () => sync.stop() });
  await sync.first;
  const watcher = startRemoteWatcher({
    sweeps: store.sweeps,
    linkOf: async (ref) => (await store.sync.linkOfPass(ref))?.link ?? null,
    pool,
    wake,
    maxWatched: config.connectors.maxWatched,
    log,
  });
  watching.current = watcher;
  committed.add(refreshOnLinkChange(watcher.refresh));
  lifecycle.add({ name: 'watchers', stop: () => watcher.stop() });
}

/** Runs Temporal's worker. @throws where Temporal does not answer, or does not know the namespace */
async function runWorker(
  services: Services,
  activities: NonNullable<WorkerOptions['activities']>,
): Promise<{ stop(): Promise<void> }> {
  const { config, log } = services;
  const connection = await NativeConnection.connect(temporalAccess(config.temporal));
  try {
    await ensureAttributes(services);
    await ensurePulse(services);
    const worker = await Worker.create({
      connection,
      namespace: config.temporal.namespace,
      taskQueue: config.temporal.taskQueue,
      ...workflowSource(),
      activities,
      maxCachedWorkflows: config.temporal.maxCachedWorkflows,
      // A small pass is a local activity inside its workflow's task, a large one goes step by step.
      maxConcurrentLocalActivityExecutions: config.sync.maxLivePerProcess,
      maxConcurrentActivityTaskExecutions: config.sync.maxLivePerProcess,
      maxConcurrentWorkflowTaskExecutions: config.sync.maxLivePerProcess + QUICK_TASKS,
      shutdownGraceTime: SHUTDOWN_GRACE,
      stickyQueueScheduleToStartTimeout: STICKY_TIMEOUT,
    });
    const running = worker.run();
    running.catch((error: unknown) =>
      log.error({ error: messageOf(error) }, 'the Temporal worker broke'),
    );
    return {
      async stop() {
        worker.shutdown();
        await running.catch(() => undefined);
        await connection.close();
      },
    };
  } catch (error) {
    await connection.close().catch(() => undefined);
    throw error;
  }
}

function paceOf({ sync }: Services['config']): Partial<PulsePace> {
  const { maxLive, maxPolledRestMs, maxWatchedRestMs } = sync;
  return { maxLive, limit: maxLive, maxPolledRestMs, maxWatchedRestMs };
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
async function ensureAttributes({ config, log, temporal }: Services): Promise<void> {
  const { namespace, apiKey } = config.temporal;
  // Temporal Cloud has another door for that.
  if (apiKey !== null) return;
  try {
    await ensureSearchAttributes(temporal, namespace);
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
