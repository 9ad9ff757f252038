/**
 * One open conflict, for as long as it is open: days, if nobody decides. It keeps no truth and no
 * content: Postgres does, and a look reads how things stand. It brings a timer (the fallback's), an
 * Update for decisions, and a place in the Temporal UI where an operator sees what waits.
 */
import {
  ActivityFailure,
  ApplicationFailure,
  allHandlersFinished,
  condition,
  continueAsNew,
  defineSignal,
  defineUpdate,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { defineSearchAttributeKey } from '@temporalio/common';
import type { ConflictActivities, ConflictDecision, ConflictView } from '../activities/contract.ts';
import { LOOK_SIGNAL, RESOLVE_UPDATE, type ResolveConflictInput } from './contract.ts';

/** Looks by itself this often, in case a message got lost. */
const MAX_REST_MS = 24 * 3_600_000;
/** A paused link, or a strategy that leaves a place open: nothing to do but look now and then. */
const HELD_MS = 3_600_000;
/** The sides moved and no pass has looked yet: tried again this much later, doubling up to an hour. */
const FIRST_RETRY_MS = 2_000;
const MAX_HISTORY_EVENTS = 1_000;
const MAX_BY_LENGTH = 256;

const lookSignal = defineSignal(LOOK_SIGNAL);
const resolveUpdate = defineUpdate<ConflictView, [decision: ConflictDecision]>(RESOLVE_UPDATE);
const syncPhase = defineSearchAttributeKey('SyncPhase', 'KEYWORD');
const linkIdKey = defineSearchAttributeKey('LinkId', 'KEYWORD');

const { lookAtConflict, applyFallback } = proxyActivities<ConflictActivities>({
  startToCloseTimeout: '1 minute',
  retry: { initialInterval: '500ms', maximumInterval: '5 minutes' },
});
const { resolveConflict: decide } = proxyActivities<ConflictActivities>({
  startToCloseTimeout: '1 minute',
  retry: { initialInterval: '500ms', maximumInterval: '5s', maximumAttempts: 8 },
});

interface State {
  isToLook: boolean;
  isOver: boolean;
  /** Fallbacks in a row that came too early or too late. */
  misses: number;
}

export async function resolveConflict(input: ResolveConflictInput): Promise<void> {
  const state: State = { isToLook: false, isOver: false, misses: 0 };
  setHandler(lookSignal, () => void (state.isToLook = true));
  setHandler(resolveUpdate, (decision) => resolve(input, decision, state), {
    validator: checkDecision,
    description: 'Decide the conflict; a value is named by the hash it is stored under.',
  });

  // Handlers change it while this waits.
  const isOver = (): boolean => state.isOver;
  while (!isOver()) {
    state.isToLook = false;
    const restMs = await step(input, state);
    if (restMs === null) break;
    await condition(() => state.isToLook || isOver(), restMs);
    if (!isOver() && isLong()) {
      await condition(allHandlersFinished);
      if (!isOver()) await continueAsNew<typeof resolveConflict>(input);
    }
  }
  await condition(allHandlersFinished);
}

function isLong(): boolean {
  const { continueAsNewSuggested, historyLength } = workflowInfo();
  return continueAsNewSuggested || historyLength > MAX_HISTORY_EVENTS;
}

/** Looks, and lets the fallback decide where it is due. Answers how long to rest; null: it is over. */
async function step(input: ResolveConflictInput, state: State): Promise<number | null> {
  const view = await lookAtConflict(input);
  tell(view);
  if (view.status !== 'open') return null;
  if (view.isHeld) return HELD_MS;
  if (view.dueInMs === null) return MAX_REST_MS;
  if (view.dueInMs > 0) return Math.min(view.dueInMs, MAX_REST_MS);
  // Whoever decides first wins; Postgres refuses the other.
  const { status } = await applyFallback(input);
  switch (status) {
    case 'resolved':
    case 'ended':
      tell(await lookAtConflict(input));
      return null;
    case 'undecided':
      return HELD_MS;
    case 'not-yet':
    case 'moved':
      state.misses += 1;
      return Math.min(FIRST_RETRY_MS * 2 ** Math.min(state.misses - 1, 20), HELD_MS);
  }
}

async function resolve(
  input: ResolveConflictInput,
  decision: ConflictDecision,
  state: State,
): Promise<ConflictView> {
  try {
    const view = await decide(input, decision);
    state.isOver = true;
    tell(view);
    return view;
  } catch (error) {
    // The caller reads the store's code, not that some activity failed.
    if (error instanceof ActivityFailure && error.cause instanceof ApplicationFailure) {
      throw error.cause;
    }
    throw error;
  }
}

const CHOICES: readonly string[] = ['hub', 'remote', 'base', 'merged', 'value'];
const MEMBERS: readonly string[] = ['choice', 'valueHash', 'by', 'ifRevision'];

/** Runs before anything enters the history: what is refused here leaves no trace in it. */
function checkDecision(decision: ConflictDecision): void {
  // Whoever sends an Update may send anything.
  const given = decision as unknown;
  if (typeof given !== 'object' || given === null) throw refusal('a decision is an object');
  const { choice, valueHash, by, ifRevision, ...rest } = given as Record<string, unknown>;
  if (typeof choice !== 'string' || !CHOICES.includes(choice)) {
    throw refusal(`choice must be one of ${CHOICES.join(', ')}`);
  }
  if (Object.keys(rest).length > 0) throw refusal(`only ${MEMBERS.join(', ')} may be given`);
  const hasHash = typeof valueHash === 'string' && /^[0-9a-f]{64}$/.test(valueHash);
  if (hasHash !== (choice === 'value') || (!hasHash && valueHash !== undefined)) {
    throw refusal('choice "value", and no other, needs a valueHash of 64 lower-case hex digits');
  }
  if (by !== undefined && (typeof by !== 'string' || !by || by.length > MAX_BY_LENGTH)) {
    throw refusal(`by must be a text of 1 to ${MAX_BY_LENGTH} characters`);
  }
  if (ifRevision !== undefined && !Number.isSafeInteger(ifRevision)) {
    throw refusal('ifRevision must be a whole number');
  }
}

const refusal = (message: string): ApplicationFailure =>
  ApplicationFailure.nonRetryable(message, 'VALIDATION');

/** What the Temporal UI shows: how it stands and what can be done, never content. */
function tell(view: ConflictView): void {
  const { status, linkId } = view;
  upsertSearchAttributes([
    { key: syncPhase, value: status },
    ...(linkId === undefined ? [] : [{ key: linkIdKey, value: linkId }]),
  ]);
  setCurrentDetails(detailsOf(view));
}

function detailsOf(view: ConflictView): string {
  if (view.status === 'gone') return 'The conflict is gone: its link was removed.';
  const head = `**${view.linkName}** · ${view.reason} · ${view.places} contested place(s) · ${view.status}`;
  if (view.status !== 'open') return head;
  const due = view.dueAt
    ? `Due ${view.dueAt}; then \`${view.fallback}\` decides${view.isHeld ? ', once the link is resumed' : ''}.`
    : 'It waits for a person, however long.';
  return `${head}\n\n${due}\n\nThe item rests on both sides; everything else goes on. See it with \`syncline conflicts show\`.`;
}
