/**
 * The pulse: who is due is woken, and who has nothing to do is not. A workflow costs about 35 ms of
 * the server's CPU, so a link for which Postgres knows of no work is looked at right here, with one
 * call to its remote; only if something is new does its workflow start. A remote that answers slowly
 * holds up nobody: its look goes on while the pulse ends.
 */
import { messageOf, retryAfterMsOf, toAppError } from '../domain/errors.ts';
import type { DueLink, LinkRef, LinkRest, PulseBounds, Sweeps } from '../store/contract.ts';
import type { ConnectorPool, ObservePage } from '../connectors/contract.ts';

export interface PulsePace extends PulseBounds {
  /** Longest rest of a link without changes whose remote nothing watches, ms. */
  readonly maxPolledRestMs: number;
  /** The same for one whose remote is watched: a hint ends the rest. */
  readonly maxWatchedRestMs: number;
  /** How long a pulse waits for its looks, ms. */
  readonly lookWithinMs: number;
}

export const DEFAULT_PACE: PulsePace = {
  limit: 200,
  maxLive: 200,
  maxPolledRestMs: 30_000,
  maxWatchedRestMs: 60_000,
  lookWithinMs: 1_000,
};

/** A look that takes longer is left to the link's workflow, ms. */
const LOOK_TIMEOUT_MS = 20_000;

export interface PulseDeps {
  readonly sweeps: Sweeps;
  readonly pool: ConnectorPool;
  readonly wake: (link: LinkRef, reason: string) => Promise<void>;
  readonly pace?: PulsePace;
  /** Whether somebody listens to the link's remote. */
  readonly isWatched?: (link: LinkRef) => boolean;
  readonly log?: { warn(fields: object, message: string): void };
}

/** One pulse; answers how many workflows it woke. @throws AppError UNAVAILABLE */
export async function runPulse(deps: PulseDeps): Promise<{ woken: number }> {
  const { sweeps, pace = DEFAULT_PACE } = deps;
  const due = await sweeps.takeDueLinks(pace);
  const state: PulseState = { isOver: false, woken: 0, rests: [] };
  const dealt = due.map((link) =>
    deal(deps, state, link).catch((error: unknown) =>
      deps.log?.warn(
        { linkId: link.linkId, error: messageOf(error) },
        'a due link could not be woken; a later pulse does it',
      ),
    ),
  );
  await within(pace.lookWithinMs, Promise.all(dealt));
  state.isOver = true;
  await sweeps.restLinks(state.rests);
  return { woken: state.woken };
}

interface PulseState {
  isOver: boolean;
  woken: number;
  /** Links found quiet while the pulse lasts; recorded at once at its end. */
  readonly rests: LinkRest[];
}

async function deal(deps: PulseDeps, state: PulseState, due: DueLink): Promise<void> {
  const rest = due.hasWork ? null : await look(deps, due);
  if (!rest) {
    state.woken += 1;
    await wake(deps, due);
  } else if (state.isOver) {
    await deps.sweeps.restLinks([rest]);
  } else {
    state.rests.push(rest);
  }
}

async function wake({ sweeps, wake: send }: PulseDeps, due: DueLink): Promise<void> {
  try {
    await send({ tenant: due.tenant, linkId: due.linkId, name: due.link.name }, 'interval');
  } catch (error) {
    await sweeps.returnLinks([due]);
    throw error;
  }
}

/** Asks the remote whether anything is new; null: it is, or the link's workflow must find out. */
async function look(deps: PulseDeps, due: DueLink): Promise<LinkRest | null> {
  const { pool, pace = DEFAULT_PACE, isWatched } = deps;
  const maxMs = isWatched?.(due) ? pace.maxWatchedRestMs : pace.maxPolledRestMs;
  try {
    const connector = await pool.get(due.tenant, due.link);
    const signal = AbortSignal.timeout(LOOK_TIMEOUT_MS);
    const page = await connector.observe({ since: due.remoteCursor, page: null, signal });
    return isQuiet(page) ? { due, maxMs } : null;
  } catch (error) {
    const heldMs = retryAfterMsOf(toAppError(error));
    // Anything else that goes wrong is a failed run, which is the workflow's to record.
    return heldMs === null ? null : { due, maxMs, heldMs };
  }
}

function isQuiet({
  mode,
  entries,
  nextPage,
  isComplete,
}: Omit<ObservePage, 'entries'> & { readonly entries: readonly unknown[] }): boolean {
  return mode !== 'scan' && entries.length === 0 && nextPage === null && isComplete;
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, over]);
  clearTimeout(timer);
}
