/**
 * The I/O side of `resolveConflict`. Postgres decides everything: these only look, and pass on what
 * was decided, by choice and hash. Nothing they answer holds content.
 */
import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/errors.ts';
import type { ConflictFallback } from '../domain/link.ts';
import type {
  ConflictRef,
  ConflictStore,
  ConflictWatch,
  Resolution,
  WatchedConflict,
} from '../store/contract.ts';
import { decideConflict } from '../sync/decide-conflict.ts';
import { asFailure } from './as-failure.ts';
import type { ConflictActivities, ConflictView, FallbackEnd } from './contract.ts';

export interface ConflictActivityDeps {
  readonly watch: ConflictWatch;
  readonly conflicts: ConflictStore;
  readonly clock: Clock;
}

/** The steps as Temporal activities. */
export function createConflictActivities(deps: ConflictActivityDeps): ConflictActivities {
  const steps = createConflictSteps(deps);
  return {
    lookAtConflict: (ref) => asFailure(() => steps.lookAtConflict(ref), ALWAYS),
    // A person waits for the answer: only a server of ours that is out is waited for.
    resolveConflict: (ref, decision) => asFailure(() => steps.resolveConflict(ref, decision)),
    applyFallback: (ref) => asFailure(() => steps.applyFallback(ref), ALWAYS),
  };
}

/** The workflow lives for days: whatever stands in its way now may be gone tomorrow. */
const ALWAYS = (): boolean => true;

/** The same, callable without Temporal. */
export function createConflictSteps({
  watch,
  conflicts,
  clock,
}: ConflictActivityDeps): ConflictActivities {
  async function look(ref: ConflictRef): Promise<ConflictView> {
    return viewOf(await watch.look(ref), clock.now());
  }

  return {
    lookAtConflict: look,

    async resolveConflict(ref, decision) {
      const by = decision.by ?? 'temporal';
      const resolution = { ...decision, by } as Resolution;
      await conflicts.resolve({ tenant: ref.tenant, actor: by }, ref.conflictId, resolution);
      return look(ref);
    },

    async applyFallback(ref) {
      const found = await watch.look(ref);
      if (found?.status !== 'open') return { status: 'ended' };
      const { fallback, dueAt, revision } = found;
      if (!fallback || !dueAt || dueAt.getTime() > clock.now() || isHeld(found)) {
        return { status: 'not-yet' };
      }
      const resolution = await fallbackResolution(watch, ref, fallback);
      if (!resolution) return { status: 'undecided' };
      return decided(async () => {
        const caller = { tenant: ref.tenant, actor: resolution.by };
        await conflicts.resolve(caller, ref.conflictId, { ...resolution, ifRevision: revision });
      });
    },
  };
}

/** The fallback's decision in the terms of a person's; null when it decides nothing. */
async function fallbackResolution(
  watch: ConflictWatch,
  ref: ConflictRef,
  { strategy }: ConflictFallback,
): Promise<Resolution | null> {
  const sides = await watch.sides(ref);
  const decision = sides ? decideConflict(sides, strategy) : null;
  if (!sides || decision?.status !== 'decided') return null;
  const by = `fallback:${strategy}`;
  if (decision.value !== undefined) return { choice: 'value', value: decision.value, by };
  return { choice: sides.hub === undefined ? 'hub' : 'remote', by };
}

/** Two answers of the store are no failures: somebody was quicker, or the sides have moved on. */
async function decided(resolve: () => Promise<void>): Promise<FallbackEnd> {
  try {
    await resolve();
    return { status: 'resolved' };
  } catch (thrown) {
    if (!(thrown instanceof AppError)) throw thrown;
    if (thrown.code === 'CONFLICT_MOVED') return { status: 'moved' };
    if (thrown.code === 'CONFLICT_NOT_FOUND') return { status: 'ended' };
    if (thrown.code === 'VALIDATION') return { status: 'undecided' };
    throw thrown;
  }
}

function viewOf(found: WatchedConflict | null, nowMs: number): ConflictView {
  if (!found) {
    return {
      status: 'gone',
      linkName: null,
      reason: null,
      places: 0,
      revision: 0,
      dueAt: null,
      dueInMs: null,
      fallback: null,
      isHeld: false,
    };
  }
  const { status, linkId, linkName, reason, places, revision, dueAt, fallback } = found;
  return {
    status,
    linkId,
    linkName,
    reason,
    places,
    revision,
    dueAt: dueAt?.toISOString() ?? null,
    dueInMs: dueAt && Math.max(0, dueAt.getTime() - nowMs),
    fallback: fallback?.strategy ?? null,
    isHeld: isHeld(found),
  };
}

/** A paused link is left alone: its conflicts are decided once it goes on. */
const isHeld = ({ linkState }: WatchedConflict): boolean => linkState === 'paused';
