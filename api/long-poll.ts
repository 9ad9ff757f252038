/** Waiting for something to be committed: until it is there, a deadline, a gone caller or a stop. */
import type { Response } from 'express';
import type { Clock } from '../domain/clock.ts';
import type { TenantId } from '../domain/ids.ts';
import { stoppingOf } from './request-state.ts';

/** A wake-up may get lost, so a waiting call also looks by itself this often. */
const LOOK_AGAIN_MS = 1000;

export interface Poll<Found> {
  readonly clock: Clock;
  readonly res: Response;
  readonly tenant: TenantId;
  /** The clock's time at which it is given up. */
  readonly untilMs: number;
  /** Resolves when it is worth looking again. */
  readonly wait: (tenant: TenantId, timeoutMs: number, signal: AbortSignal) => Promise<void>;
  /** Null: not there yet. */
  readonly look: () => Promise<Found | null>;
}

/** Answers what was found, or null when it was given up. */
export async function longPoll<Found>(poll: Poll<Found>): Promise<Found | null> {
  const ended = new AbortController();
  const stopping = stoppingOf(poll.res.app).signal;
  const end = (): void => ended.abort();
  stopping.addEventListener('abort', end);
  poll.res.once('close', end);
  if (stopping.aborted) end();
  try {
    return await untilFound(poll, ended.signal);
  } finally {
    stopping.removeEventListener('abort', end);
    poll.res.off('close', end);
  }
}

async function untilFound<Found>(poll: Poll<Found>, signal: AbortSignal): Promise<Found | null> {
  for (;;) {
    const leftMs = poll.untilMs - poll.clock.now();
    if (leftMs <= 0 || signal.aborted) return null;
    await poll.wait(poll.tenant, Math.min(leftMs, LOOK_AGAIN_MS), signal);
    const found = await poll.look();
    if (found !== null) return found;
  }
}
