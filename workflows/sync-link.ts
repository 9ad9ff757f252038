/**
 * One link's wake-up workflow: look, do what there is to do, linger for the next wake, end.
 * It keeps no truth: Postgres does, and the first step of every pass reads it anew. So a wake may
 * come twice, late or for nothing, and the workflow may end or start over at any time.
 */
import {
  ActivityFailure,
  ApplicationFailure,
  allHandlersFinished,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  log,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  sleep,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { defineSearchAttributeKey } from '@temporalio/common';
import type {
  Executed,
  Observed,
  PassOutcome,
  PassToken,
  Planned,
  SyncActivities,
} from '../activities/contract.ts';
import { PROGRESS_QUERY, WAKE_SIGNAL, type SyncLinkInput, type SyncProgress } from './contract.ts';

/** How long a quiet workflow stays, so that the next wake finds it warm. */
const LINGER_MS = 45_000;
/** A grade-C item missing from one scan is looked for again this much later (03-sync). */
const LOOK_AGAIN_MS = 400;
/** A committed change waits for an older transaction; most last a few milliseconds. */
const HELD_BACK_MS = 30;
/** Passes in a row that may follow each other at once when sides keep moving. */
const MAX_RESTLESS_PASSES = 5;
const RESTLESS_PAUSE_MS = 1_000;
/** After this many the next wake or pulse goes on. */
const MAX_PASSES = 30;
/**
 * A worker that does not have the workflow cached replays all of it within one workflow task, which
 * must not take long: Temporal's own suggestion comes at four times as many events.
 */
const MAX_HISTORY_EVENTS = 1_000;
/** Up to this many writes run inside the workflow task: 20 ms sooner than an activity of their own. */
const SMALL_PLAN = 25;

const wakeSignal = defineSignal<[reason: string]>(WAKE_SIGNAL);
const progressQuery = defineQuery<SyncProgress>(PROGRESS_QUERY);
const syncPhase = defineSearchAttributeKey('SyncPhase', 'KEYWORD');
const conflictCount = defineSearchAttributeKey('ConflictCount', 'INT');
const paused = defineSearchAttributeKey('Paused', 'BOOL');

const ONCE = { maximumAttempts: 1 };
// Failures are the run's to handle (back-off by link); only a lost worker is Temporal's.
const IN_TASK = { startToCloseTimeout: '2 minutes', retry: ONCE } as const;
const WHILE_OUT = { initialInterval: '500ms', maximumInterval: '5s', maximumAttempts: 8 } as const;
const ON_QUEUE = {
  startToCloseTimeout: '6 hours',
  // Short, because a dead worker is noticed no sooner; a wrong guess costs a fenced attempt.
  heartbeatTimeout: '5 seconds',
  retry: { initialInterval: '100ms', maximumInterval: '10s', maximumAttempts: 20 },
} as const;

/** The activities, inside the workflow task or on the queue, each with a line for the Temporal UI. */
const inTask = (summary: string): SyncActivities =>
  proxyLocalActivities<SyncActivities>({ ...IN_TASK, summary });
/** Beginning and settling touch only Postgres; a restart of it is waited for, not failed on. */
const bookkeeping = (summary: string): SyncActivities =>
  proxyLocalActivities<SyncActivities>({ ...IN_TASK, retry: WHILE_OUT, summary });
const onQueue = (summary: string): SyncActivities =>
  proxyActivities<SyncActivities>({ ...ON_QUEUE, summary });

export async function syncLink(input: SyncLinkInput): Promise<void> {
  const state = { phase: 'starting', passes: 0, wakes: [] as string[] };
  setHandler(wakeSignal, (reason) => void state.wakes.push(reason));
  setHandler(progressQuery, () => ({
    phase: state.phase,
    passes: state.passes,
    pendingWakes: state.wakes.length,
  }));

  for (let isFirst = true; ; isFirst = false) {
    const isAwake = isFirst || (await condition(() => state.wakes.length > 0, LINGER_MS));
    if (!isAwake && state.wakes.length === 0) break;
    // Before the look, in a task of a few milliseconds: in the task that ran the steps, the wake our
    // own write causes would have arrived, and the server refuses to close a run over its head. The
    // new run looks at once, which answers what woke this one.
    if (!isFirst && isLong()) await continueAsNew<typeof syncLink>(input);
    // All waiting wakes are answered by one look.
    const trigger = state.wakes[0] ?? 'start';
    state.wakes = [];
    const isOver = await drain(input, trigger, state);
    state.phase = 'idle';
    // A wake that came while we were ending is in this run's history: no new run would answer it.
    if (isOver && state.wakes.length === 0) break;
  }
  // A wake that arrives from here on starts the workflow again (signal with start).
  await condition(allHandlersFinished);
}

/** Whether the next pass belongs into a history of its own. */
function isLong(): boolean {
  const { continueAsNewSuggested, historyLength } = workflowInfo();
  return continueAsNewSuggested || historyLength > MAX_HISTORY_EVENTS;
}

/** Passes until the link is at rest. Answers whether the workflow has nothing to stay for. */
async function drain(
  input: SyncLinkInput,
  trigger: string,
  state: { phase: string; passes: number; wakes: string[] },
): Promise<boolean> {
  for (let restless = 0; ; restless += 1) {
    state.phase = 'begin';
    const begun = await bookkeeping(trigger).begin({ ...input, trigger });
    if (begun.status === 'refused') {
      describe(`${begun.why}: nothing runs`, begun.why);
      upsertSearchAttributes([{ key: paused, value: begun.why === 'paused' }]);
      return true;
    }
    state.passes += 1;
    const end = await onePass(begun.pass, state);
    if (end.next !== 'again' || restless === MAX_PASSES) return end.next === 'stop';
    await sleep(restless >= MAX_RESTLESS_PASSES ? RESTLESS_PAUSE_MS : end.pauseMs);
  }
}

type Next =
  | { readonly next: 'rest' }
  | { readonly next: 'stop' }
  | { readonly next: 'again'; readonly pauseMs: number };

async function onePass(first: PassToken, state: { phase: string }): Promise<Next> {
  let pass = first;
  const summary = `${first.linkName} · ${first.trigger}`;
  const baseline = first.isBaseline ? onQueue(summary) : inTask(summary);
  const marks: { phase: string; at: number }[] = [];
  const enter = (phase: string): void => {
    state.phase = phase;
    marks.push({ phase, at: Date.now() });
  };
  let observed: Observed | null = null;
  let planned: Planned | null = null;
  let executed: Executed | null = null;
  try {
    if (pass.mode === 'look') {
      enter('observe');
      observed = await baseline.observe(pass);
      if (observed.hasWork) {
        enter('plan');
        planned = await baseline.plan(pass);
      }
    }
    const writes = pass.mode === 'approved' ? Infinity : (planned?.planned ?? 0);
    if (writes > 0 && !planned?.guard) {
      enter('execute');
      const told = `${summary} · ${pass.mode === 'approved' ? 'approved plan' : `${writes} ops`}`;
      executed = await (writes <= SMALL_PLAN ? inTask(told) : onQueue(told)).execute(pass);
      pass = { ...pass, fence: executed.fence };
    }
    enter('settle');
    const outcome = outcomeOf({ observed, planned, executed }, marks);
    await bookkeeping(`${summary} · ${outcome.status}`).settle(pass, outcome);
    if (planned ?? executed) report(pass, outcome);
    if (outcome.status === 'parked') return { next: 'stop' };
    return nextOf(observed, executed);
  } catch (error) {
    return failed(pass, error, { observed, planned, executed, marks });
  }
}

function nextOf(observed: Observed | null, executed: Executed | null): Next {
  if (observed && observed.inDoubt > 0) return { next: 'again', pauseMs: LOOK_AGAIN_MS };
  if (executed && executed.stale > 0) return { next: 'again', pauseMs: 0 };
  if (observed?.heldBack) return { next: 'again', pauseMs: HELD_BACK_MS };
  return { next: 'rest' };
}

interface Parts {
  readonly observed: Observed | null;
  readonly planned: Planned | null;
  readonly executed: Executed | null;
}

function outcomeOf(parts: Parts, marks: readonly { phase: string; at: number }[]): PassOutcome {
  const { observed, planned, executed } = parts;
  return {
    status: planned?.guard ? 'parked' : 'settled',
    counters: {
      observed: observed?.observed ?? 0,
      changedHub: observed?.changedHub ?? 0,
      changedRemote: observed?.changedRemote ?? 0,
      planned: planned?.planned ?? 0,
      applied: executed?.applied ?? 0,
      echo: observed?.echo ?? 0,
      merged: planned?.merged ?? 0,
      conflicts: planned?.conflicts ?? 0,
      quarantined: (planned?.quarantined ?? 0) + (executed?.failed ?? 0),
      deletedHub: executed?.deletedHub ?? 0,
      deletedRemote: executed?.deletedRemote ?? 0,
      skipped: (planned?.skipped ?? 0) + (executed?.stale ?? 0),
    },
    phases: phasesOf(marks),
    guard: planned?.guard ?? null,
    error: null,
  };
}

function phasesOf(marks: readonly { phase: string; at: number }[]): Record<string, number> {
  const ends = [...marks.slice(1).map((mark) => mark.at), Date.now()];
  return Object.fromEntries(marks.map((mark, nth) => [mark.phase, ends[nth]! - mark.at]));
}

async function failed(
  pass: PassToken,
  error: unknown,
  parts: Parts & { marks: readonly { phase: string; at: number }[] },
): Promise<Next> {
  const failure = failureOf(error);
  if (!failure) throw error;
  const code = failure.type ?? 'INTERNAL';
  log.warn('pass failed', { linkId: pass.linkId, runId: pass.runId, code });
  describe(`failed: ${code}`, 'failed');
  // Whoever took over the link closes the run; we have lost the right to.
  if (code === 'FENCED') return { next: 'rest' };
  const outcome: PassOutcome = {
    ...outcomeOf(parts, parts.marks),
    status: 'failed',
    guard: null,
    error: { code, detail: failure.message },
  };
  try {
    await bookkeeping(`failed: ${code}`).settle(pass, outcome);
  } catch (settleError) {
    if (failureOf(settleError)?.type !== 'FENCED') throw settleError;
  }
  return { next: 'rest' };
}

function failureOf(error: unknown): ApplicationFailure | null {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (cause instanceof ApplicationFailure) return cause;
  return error instanceof ActivityFailure
    ? ApplicationFailure.create({ type: 'UNAVAILABLE', message: error.message })
    : null;
}

/** What the Temporal UI shows of the last pass: counts and phases, never content. */
function report(pass: PassToken, outcome: PassOutcome): void {
  const { counters, guard } = outcome;
  const told = Object.entries(counters)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} ${count}`)
    .join(' · ');
  const parked = guard ? `\n\n**Parked** (${guard.code}): ${guard.reason}` : '';
  describe(
    `**${pass.linkName}** · ${pass.trigger} · ${outcome.status}\n\n${told}${parked}`,
    outcome.status,
  );
  upsertSearchAttributes([{ key: conflictCount, value: counters.conflicts }]);
}

function describe(details: string, phase: string): void {
  setCurrentDetails(details);
  upsertSearchAttributes([{ key: syncPhase, value: phase }]);
}
