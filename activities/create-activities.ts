/** Makes the activities from their dependencies; each is thin: open the scope, do the step, translate errors. */
import { Context } from '@temporalio/activity';
import type { Clock } from '../domain/clock.ts';
import type { IdSource, RunId } from '../domain/ids.ts';
import type { LinkRef, Sweeps, SyncStore } from '../store/contract.ts';
import type { ConnectorPool } from '../connectors/contract.ts';
import type { PassOutcome, PassRequest, PassToken, SyncActivities } from './contract.ts';
import { asFailure } from './as-failure.ts';
import { observeAnew } from './audit.ts';
import { execute, finishIntents } from './execute.ts';
import { createBodyWork } from './compute/body-work.ts';
import type { Threads } from './compute/threads.ts';
import { observe } from './observe.ts';
import { createOpenPasses, openScope } from './pass-scope.ts';
import { plan } from './plan.ts';
import { runPulse, type PulseDeps } from './pulse.ts';
import { runSmallPass } from './small-pass.ts';
import { planUndo } from './undo.ts';

const HEARTBEAT_EVERY_MS = 1_000;

export interface ActivityDeps extends Pick<PulseDeps, 'pace' | 'isWatched' | 'log'> {
  readonly sync: SyncStore;
  readonly sweeps: Sweeps;
  readonly pool: ConnectorPool;
  /** Where large bodies are worked on; without them, on the event loop. */
  readonly threads?: Threads;
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
  const deps = { ...given, openPasses, work: createBodyWork(given.threads ?? null) };
  return {
    async begin(link: PassRequest) {
      const newRunId = deps.newId() as RunId;
      const connectorVersion = (kind: string) => versionOf(deps.pool, kind);
      const result = await deps.sync.beginPass({ ...link, newRunId, connectorVersion });
      if (result.status === 'refused') return result;
      openPasses.keep(result.pass);
      const { ref, trigger, mode, isRequested, othersWait, remoteCursor, mustLookWhole } =
        result.pass;
      const pass: PassToken = {
        ...ref,
        linkName: result.pass.link.name,
        trigger,
        mode,
        isRequested,
        othersWait,
        ...(result.pass.link.trigger === 'manual' && { isManual: true }),
        isBaseline: remoteCursor === null || mustLookWhole,
        startedAtMs: deps.clock.now(),
      };
      return { status: 'begun' as const, pass };
    },
    async observe(pass: PassToken, life: StepLife) {
      const scope = await openScope(deps, pass, life);
      openPasses.doubt(pass);
      return pass.mode === 'audit' ? observeAnew(scope) : observe(scope);
    },
    async plan(pass: PassToken, life: StepLife) {
      const scope = await openScope(deps, pass, life);
      return pass.mode === 'undo' ? planUndo(scope) : plan(scope, pass);
    },
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
      if (pass.mode === 'audit' && outcome.status === 'settled') {
        await deps.sync.proveEqual({ tenant, linkId, runId, fence }, deps.clock.now());
      }
      const { openConflicts } = await deps.sync.finishPass(
        { tenant, linkId, runId, fence },
        { ...outcome, mode: pass.mode, trigger: pass.trigger, isNotable },
      );
      openPasses.forget(pass);
      if (outcome.error?.code === 'CONNECTOR_UNREACHABLE') await deps.pool.drop(tenant, linkId);
      if (isNotable) deps.onPass?.(pass, outcome);
      return { openConflicts };
    },
    takeOver: (pass: PassToken) => deps.sync.takeOver(pass),
    async pulse() {
      return runPulse(deps);
    },
  };
}

/** Version of a connector's mapping; null where this process does not have the connector. */
function versionOf(pool: ConnectorPool, kind: string): number | null {
  try {
    return pool.typeOf(kind).version;
  } catch {
    return null;
  }
}

function hasNews({ counters }: PassOutcome): boolean {
  const { planned, applied, conflicts, quarantined } = counters;
  return planned + applied + conflicts + quarantined > 0;
}

/** The steps as Temporal activities: errors become failures typed by their code. */
export function createActivities(deps: ActivityDeps): SyncActivities {
  const steps = createSteps(deps);
  return {
    pass: (link) => asFailure(() => alive((life) => runSmallPass(steps, link, { life }))),
    begin: (link) => asFailure(() => steps.begin(link)),
    observe: (pass) => asFailure(() => alive((life) => steps.observe(pass, life))),
    plan: (pass) => asFailure(() => alive((life) => steps.plan(pass, life))),
    execute: (pass) =>
      asFailure(() =>
        alive(async (life) => {
          // A second attempt must not race the first, which may still be running somewhere.
          if (Context.current().info.attempt === 1) return steps.execute(pass, life);
          const { fence } = await steps.takeOver(pass);
          return steps.resumeExecution({ ...pass, fence }, life);
        }),
      ),
    settle: (pass, outcome) => asFailure(() => steps.settle(pass, outcome)),
    pulse: () => asFailure(() => steps.pulse()),
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
