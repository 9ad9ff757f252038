/** Makes the activities from their dependencies; each is thin: open the scope, do the step, translate errors. */
import { ApplicationFailure, Context } from '@temporalio/activity';
import type { Clock } from '../domain/clock.ts';
import { toAppError } from '../domain/errors.ts';
import type { IdSource, RunId } from '../domain/ids.ts';
import type { LinkRef, Sweeps, SyncStore } from '../store/contract.ts';
import type { ConnectorPool } from '../connectors/contract.ts';
import type { PassOutcome, PassToken, SyncActivities } from './contract.ts';
import { execute, finishIntents } from './execute.ts';
import { observe } from './observe.ts';
import { createOpenPasses, openScope } from './pass-scope.ts';
import { plan } from './plan.ts';
import { runSmallPass } from './small-pass.ts';

/** Links one pulse wakes at most; the rest is due at the next. */
const MAX_DUE = 200;
const HEARTBEAT_EVERY_MS = 1_000;

export interface ActivityDeps {
  readonly sync: SyncStore;
  readonly sweeps: Sweeps;
  readonly pool: ConnectorPool;
  readonly clock: Clock;
  readonly newId: IdSource;
  /** Makes a link's workflow look, now. */
  readonly wake: (link: LinkRef, reason: string) => Promise<void>;
  /** Told of every pass that did or wanted something. */
  readonly onPass?: (pass: PassToken, outcome: PassOutcome) => void;
}

/** How a step reports that it lives; Temporal's inside a worker, nothing outside of one. */
export interface StepLife {
  readonly heartbeat: () => void;
  readonly signal: AbortSignal;
}

/** The engine's steps, callable with or without Temporal (tests and benchmarks call them directly). */
export function createSteps(given: ActivityDeps) {
  const openPasses = createOpenPasses();
  const deps = { ...given, openPasses };
  return {
    async begin(link: LinkRef & { trigger: string }) {
      const newRunId = deps.newId() as RunId;
      const result = await deps.sync.beginPass({ ...link, newRunId });
      if (result.status === 'refused') return result;
      openPasses.keep(result.pass);
      const { ref, trigger, mode, isRequested, remoteCursor } = result.pass;
      const pass: PassToken = {
        ...ref,
        linkName: result.pass.link.name,
        trigger,
        mode,
        isRequested,
        isBaseline: remoteCursor === null,
        startedAtMs: deps.clock.now(),
      };
      return { status: 'begun' as const, pass };
    },
    observe: async (pass: PassToken, life: StepLife) => observe(await openScope(deps, pass, life)),
    plan: async (pass: PassToken, life: StepLife) => plan(await openScope(deps, pass, life), pass),
    async execute(pass: PassToken, life: StepLife) {
      return execute(await openScope(deps, pass, life));
    },
    /** Goes on where another attempt was cut off: its open intents come first. */
    async resumeExecution(pass: PassToken, life: StepLife) {
      const scope = await openScope(deps, pass, life);
      await finishIntents(scope);
      return execute(scope);
    },
    async settle(pass: PassToken, outcome: PassOutcome) {
      const { tenant, linkId, runId, fence } = pass;
      const isNotable = pass.isRequested || outcome.status !== 'settled' || hasNews(outcome);
      await deps.sync.finishPass(
        { tenant, linkId, runId, fence },
        { ...outcome, trigger: pass.trigger, isNotable },
      );
      openPasses.forget(pass);
      if (outcome.error?.code === 'CONNECTOR_UNREACHABLE') await deps.pool.drop(tenant, linkId);
      if (isNotable) deps.onPass?.(pass, outcome);
    },
    takeOver: (pass: PassToken) => deps.sync.takeOver(pass),
    async pulse() {
      const due = await deps.sweeps.takeDueLinks(MAX_DUE);
      await Promise.all(due.map((link) => deps.wake(link, 'interval')));
      return { woken: due.length };
    },
  };
}

function hasNews({ counters }: PassOutcome): boolean {
  const { planned, applied, conflicts, quarantined } = counters;
  return planned + applied + conflicts + quarantined > 0;
}

/** The steps as Temporal activities: errors become failures typed by their code. */
export function createActivities(deps: ActivityDeps): SyncActivities {
  const steps = createSteps(deps);
  return {
    pass: (link) => translated(() => alive((life) => runSmallPass(steps, link, { life }))),
    begin: (link) => translated(() => steps.begin(link)),
    observe: (pass) => translated(() => alive((life) => steps.observe(pass, life))),
    plan: (pass) => translated(() => alive((life) => steps.plan(pass, life))),
    execute: (pass) =>
      translated(() =>
        alive(async (life) => {
          // A second attempt must not race the first, which may still be running somewhere.
          if (Context.current().info.attempt === 1) return steps.execute(pass, life);
          const { fence } = await steps.takeOver(pass);
          return steps.resumeExecution({ ...pass, fence }, life);
        }),
      ),
    settle: (pass, outcome) => translated(() => steps.settle(pass, outcome)),
    pulse: () => translated(() => steps.pulse()),
  };
}

/**
 * Heartbeats by the clock, so that one slow call to a remote is not taken for a dead worker. Local
 * activities have none: their workflow task is the sign of life.
 */
async function alive<T>(step: (life: StepLife) => Promise<T>): Promise<T> {
  const context = Context.current();
  if (context.info.isLocal) {
    return step({ heartbeat: () => undefined, signal: context.cancellationSignal });
  }
  const heartbeat = (): void => context.heartbeat();
  const timer = setInterval(heartbeat, HEARTBEAT_EVERY_MS);
  try {
    return await step({ heartbeat, signal: context.cancellationSignal });
  } finally {
    clearInterval(timer);
  }
}

async function translated<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    const { code, message } = toAppError(error);
    // Only a server of ours that is out is worth the same call again; the rest is the run's to judge.
    throw ApplicationFailure.create({ type: code, message, nonRetryable: code !== 'UNAVAILABLE' });
  }
}
