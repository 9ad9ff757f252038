/**
 * Ends requests that would go on for ever: a body that trickles in (408) and an answer that does not
 * begin (503). A body we are too slow to read is not the sender's fault, and has all its time.
 */
import type { Request, RequestHandler, Response } from 'express';
import { AppError } from '../../domain/errors.ts';
import type { TimeLimits } from '../time-limits.ts';

/** A sender may still hear the answer it got early before the connection is cut, ms. */
const LINGER_MS = 2_000;

/** Answers REQUEST_TIMEOUT or UNAVAILABLE when the time is over. */
export function timeLimit(limits: TimeLimits): RequestHandler {
  return (req, res, next) => {
    let seen: Look = { bytes: req.socket.bytesRead, answerMs: 0 };
    const timer = setInterval(() => {
      const { bytes, answerMs, fault } = look(req, limits, seen);
      seen = { bytes, answerMs };
      if (res.headersSent) clearInterval(timer);
      else if (fault) next(fault);
    }, limits.lookMs);
    res.once('close', () => clearInterval(timer));
    res.once('finish', () => cutWhatTrickles(req, res));
    next();
  };
}

interface Look {
  /** Bytes the connection had brought. */
  readonly bytes: number;
  /** How long the whole request had been here. */
  readonly answerMs: number;
}

function look(req: Request, limits: TimeLimits, seen: Look): Look & { fault?: AppError } {
  const bytes = req.socket.bytesRead;
  if (!req.complete) {
    const isEnough = bytes - seen.bytes >= (limits.minBodyBytesPerSecond * limits.lookMs) / 1000;
    const isOurs = req.readableLength > 0;
    return { bytes, answerMs: 0, ...(isEnough || isOurs ? {} : { fault: tooSlow() }) };
  }
  const answerMs = seen.answerMs + limits.lookMs;
  return { bytes, answerMs, ...(answerMs < limits.answerMs ? {} : { fault: noAnswer() }) };
}

const tooSlow = (): AppError =>
  new AppError('REQUEST_TIMEOUT', 'The body did not arrive in time.', { retryable: true });

const noAnswer = (): AppError =>
  new AppError(
    'UNAVAILABLE',
    'There was no answer in time. What was asked may still be done; ask again with the same `Idempotency-Key`.',
    { retryable: true },
  );

/** A body nobody waits for any more must not hold its connection. */
function cutWhatTrickles(req: Request, res: Response): void {
  if (req.complete) return;
  const { socket } = req;
  const timer = setTimeout(() => {
    if (!req.complete) socket.destroy();
  }, LINGER_MS);
  res.once('close', () => timer.unref());
}
