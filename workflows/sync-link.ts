/**
 * One link's wake-up workflow: look, do what there is to do, linger for the next wake, end.
 * It keeps no truth: Postgres does, and the first step of every pass reads it anew. So a wake may
 * come twice, late or for nothing, and the workflow may end or start over at any time.
 */
import {
  ActivityFailure,
  ApplicationFailure,
  TimeoutFailure,
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
  PassFault,
  PassOutcome,
  PassRequest,
  PassToken,
  SmallPass,
  SyncActivities,
} from '../activities/contract.ts';
import {
  LOOK_AGAIN_MS,
  NOTHING_YET,
  runPass,
  type PassEnd,
  type PassParts,
} from '../activities/run-pass.ts';
import { PROGRESS_QUERY, WAKE_SIGNAL, type SyncLinkInput, type SyncProgress } from './contract.ts';

/** How long a quiet workflow stays, so that the next wake finds it warm. */
const LINGER_MS = 45_000;
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

const wakeSignal = defineSignal<[reason: string]>(WAKE_SIGNAL);
const progressQuery = defineQuery<SyncProgress>(PROGRESS_QUERY);
const syncPhase = defineSearchAttributeKey('SyncPhase', 'KEYWORD');
const conflictCount = defineSearchAttributeKey('ConflictCount', 'INT');
const paused = defineSearchAttributeKey('Paused', 'BOOL');

// Inside the workflow task. Failures are the run's to handle (back-off by link); but a restart of our
// own Postgres is waited for, not failed on: each of these steps may simply be done again.
const IN_TASK = {
  scheduleToCloseTimeout: '2 minutes',
  retry: { initialInterval: '500ms', maximumInterval: '5s', maximumAttempts: 8 },
} as const;
const ON_QUEUE = {
  startToCloseTimeout: '6 hours',
  // Short, because a dead worker is noticed no sooner; a wrong guess costs a fenced attempt.
  heartbeatTimeout: '5 seconds',
  retry: { initialInterval: '100ms', maximumInterval: '10s', maximumAttempts: 20 },
} as const;

/** The activities, inside the workflow task or on the queue, each with a line for the Temporal UI. */
const inTask = (summary: string): SyncActivities =>
  proxyLocalActivities<SyncActivities>({ ...IN_TASK, summary });
const onQueue = (summary: string): SyncActivities =>
  proxyActivities<SyncActivities>({ ...ON_QUEUE, summary });

/** What the link's search attributes say, as far as this run has set them. */
interface Shown {
  phase: string;
  conflicts: number;
}

interface State {
  readonly shown: Partial<Shown>;
  phase: string;
  passes: number;
  wakes: string[];
}

export async function syncLink(input: SyncLinkInput): Promise<void> {
  const state: State = { shown: {}, phase: 'starting', passes: 0, wakes: [] };
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
async function drain(input: SyncLinkInput, trigger: string, state: State): Promise<boolean> {
  for (let restless = 0; ; restless += 1) {
    const request = { ...input, trigger, ...(restless > 0 && { follows: true }) };
    const end = await onePass(request, state);
    if (end.next !== 'again' || restless === MAX_PASSES) return end.next === 'stop';
    await sleep(restless >= MAX_RESTLESS_PASSES ? RESTLESS_PAUSE_MS : end.pauseMs);
  }
}

type Next =
  | { readonly next: 'rest' }
  | { readonly next: 'stop' }
  | { readonly next: 'again'; readonly pauseMs: number };

async function onePass(request: PassRequest, state: State): Promise<Next> {
  state.phase = 'pass';
  const begun = await beginPass(request, state);
  // Our own Postgres has been out for long: the pulse wakes us once it is back.
  if (!begun) return { next: 'rest' };
  if (begun.status === 'refused') {
    describe(state, `${begun.why}: nothing runs`, begun.why);
    upsertSearchAttributes([{ key: paused, value: begun.why === 'paused' }]);
    return { next: 'stop' };
  }
  state.passes += 1;
  const end = begun.status === 'done' ? begun : await largePass(begun, state);
  if (end.status === 'handed-over') throw new Error('a large pass has nobody to hand over to');
  const { outcome, parts } = end;
  if (outcome.error) {
    const { linkId, runId } = begun.pass;
    log.warn('pass failed', { linkId, runId, code: outcome.error.code });
  }
  tell(state, begun.pass, end);
  if (outcome.error) return { next: 'rest' };
  // A run that was asked for meanwhile has its turn even when this one was parked.
  if (begun.pass.othersWait) return { next: 'again', pauseMs: 0 };
  if (outcome.status === 'planned') return { next: 'rest' };
  return outcome.status === 'parked' ? { next: 'stop' } : nextOf(begun.pass, parts);
}

/** The pass in one activity; where that takes too long, only its beginning. */
async function beginPass(link: PassRequest, state: State): Promise<SmallPass | null> {
  try {
    return await inTask(link.trigger).pass(link);
  } catch (error) {
    const failure = failureOf(error);
    if (!failure) throw error;
    describe(state, `failed: ${failure.code}`, 'failed');
    if (!isTimeout(error)) return null;
    const begun = await inTask(link.trigger).begin(link);
    return begun.status === 'refused'
      ? begun
      : { status: 'handed-over', pass: begun.pass, parts: NOTHING_YET };
  }
}

/** An activity on the queue for each step: it may take hours, heartbeats, and survives its worker. */
function largePass(
  { pass, parts }: { pass: PassToken; parts: PassParts },
  state: State,
): Promise<PassEnd> {
  const summary = `${pass.linkName} · ${pass.trigger}`;
  return runPass(
    {
      observe: (token) => onQueue(summary).observe(token),
      plan: (token) => onQueue(summary).plan(token),
      execute: (token, writes) =>
        onQueue(`${summary} · ${writes === Infinity ? 'approved plan' : `${writes} ops`}`).execute(
          token,
        ),
      settle: (token, outcome) => inTask(`${summary} · ${outcome.status}`).settle(token, outcome),
      pause: (ms) => sleep(ms),
      enter: (phase) => void (state.phase = phase),
      faultOf: failureOf,
      mayExecute: () => true,
    },
    pass,
    parts,
  );
}

function nextOf({ mode, isManual }: PassToken, { observed, executed }: PassParts): Next {
  // Who approved a plan (or asked for an undo) asked for that and for nothing after it.
  if (isManual && (mode === 'approved' || mode === 'undo')) return { next: 'rest' };
  if (observed && observed.inDoubt > 0) return { next: 'again', pauseMs: LOOK_AGAIN_MS };
  if (executed && executed.stale > 0) return { next: 'again', pauseMs: 0 };
  // What the look before an approved plan found beside it is still to be planned.
  if (mode === 'approved' && observed?.hasWork) return { next: 'again', pauseMs: 0 };
  if (observed?.heldBack) return { next: 'again', pauseMs: HELD_BACK_MS };
  return { next: 'rest' };
}

function failureOf(error: unknown): PassFault | null {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (cause instanceof ApplicationFailure) {
    const [more] = (cause.details ?? []) as { retryAfterMs?: number | null }[];
    const retryAfterMs = more?.retryAfterMs ?? null;
    return {
      code: cause.type ?? 'INTERNAL',
      detail: cause.message,
      ...(retryAfterMs === null ? {} : { retryAfterMs }),
    };
  }
  return error instanceof ActivityFailure ? { code: 'UNAVAILABLE', detail: error.message } : null;
}

function isTimeout(error: unknown): boolean {
  return error instanceof ActivityFailure && error.cause instanceof TimeoutFailure;
}

type Done = Extract<PassEnd, { status: 'done' }>;

/** Shows in the Temporal UI how the link stands after a pass: counts and phases, never content. */
function tell(state: State, pass: PassToken, { outcome, parts, openConflicts }: Done): void {
  const { error, status } = outcome;
  const isQuiet = !error && !parts.planned && !parts.executed;
  if (openConflicts === undefined) {
    // A worker of before counted none. What it made this run's history of must be repeated exactly.
    if (error) describe(state, `failed: ${error.code}`, 'failed');
    else if (!isQuiet) tellAsBefore(state, pass, outcome);
    return;
  }
  const { shown } = state;
  // Our own echo brings a quiet pass right after one that did something: that one stays to be read.
  if (!isQuiet || shown.phase !== status || shown.conflicts !== openConflicts) {
    const told = error ? `failed: ${error.code}` : detailsOf(pass, outcome);
    setCurrentDetails(`${told}\n\n${openConflicts} open conflict(s)`);
  }
  // Each is a command, and a write of the server's: only what has changed.
  const news = [
    ...(shown.phase === status ? [] : [{ key: syncPhase, value: status }]),
    ...(shown.conflicts === openConflicts ? [] : [{ key: conflictCount, value: openConflicts }]),
  ];
  if (news.length > 0) upsertSearchAttributes(news);
  Object.assign(shown, { phase: status, conflicts: openConflicts } satisfies Shown);
}

function tellAsBefore(state: State, pass: PassToken, outcome: PassOutcome): void {
  describe(state, detailsOf(pass, outcome), outcome.status);
  upsertSearchAttributes([{ key: conflictCount, value: outcome.counters.conflicts }]);
}

function detailsOf({ linkName, trigger }: PassToken, outcome: PassOutcome): string {
  const { counters, guard, status } = outcome;
  const told = Object.entries(counters)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} ${count}`)
    .join(' · ');
  const parked = guard ? `\n\n**Parked** (${guard.code}): ${guard.reason}` : '';
  return `**${linkName}** · ${trigger} · ${status}\n\n${told}${parked}`;
}

function describe({ shown }: State, details: string, phase: string): void {
  setCurrentDetails(details);
  upsertSearchAttributes([{ key: syncPhase, value: phase }]);
  shown.phase = phase;
}
