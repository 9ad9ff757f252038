/** Hints from another hub: a long poll of its change feed, which our own writes do not end. */
import type { ConnectorLog } from '../connector.ts';
import { AppError, messageOf, retryAfterMsOf } from '../../domain/errors.ts';
import { idUnder, type HubSide } from './observe-hub.ts';

const WAIT_S = 25;
const LIMIT = 200;
const FIRST_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 30_000;

export interface HubWatch extends HubSide {
  readonly log: ConnectorLog;
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Watches until the answer is called; resolves once no later change can be missed. */
export async function watchHub(watch: HubWatch, onHint: () => void): Promise<() => Promise<void>> {
  const ending = new AbortController();
  const first = await headOf(watch, ending.signal);
  const done = follow(watch, { since: first, onHint, signal: ending.signal });
  return async () => {
    ending.abort();
    await done;
  };
}

async function headOf({ api }: HubWatch, signal: AbortSignal): Promise<string> {
  const head = await api.changes({ since: 'now', limit: 1 }, signal);
  if (head === 'expired') throw new TypeError('a head cannot be expired');
  return head.cursor;
}

async function follow(
  watch: HubWatch,
  from: { since: string; onHint: () => void; signal: AbortSignal },
): Promise<void> {
  const { onHint, signal } = from;
  let { since } = from;
  let failures = 0;
  const isOver = (): boolean => signal.aborted;
  while (!isOver()) {
    try {
      const seen = await watch.api.changes({ since, limit: LIMIT, waitS: WAIT_S }, signal);
      if (seen === 'expired') {
        since = await headOf(watch, signal);
        onHint();
        continue;
      }
      since = seen.cursor;
      // After a failure nobody knows what was missed.
      if (failures > 0 || seen.changes.some((change) => isForeign(watch, change))) onHint();
      failures = 0;
    } catch (error) {
      if (isOver()) return;
      failures += 1;
      watch.log.debug({ error: messageOf(error) }, 'the other hub cannot be watched now');
      await watch.wait(pauseMs(failures, error), signal);
    }
  }
}

function isForeign(
  { prefix, own }: HubWatch,
  { key, version }: { key: string; version: number },
): boolean {
  const id = idUnder(prefix, key);
  return id !== null && own.find(id, version) === null;
}

function pauseMs(failures: number, error: unknown): number {
  const asked = error instanceof AppError ? retryAfterMsOf(error) : null;
  return Math.max(asked ?? 0, Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1)));
}
