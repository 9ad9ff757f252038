/** Requests per caller and window. Probes are not counted. */
import type { Request, RequestHandler, Response } from 'express';
import { ipKeyGenerator, rateLimit as limiter } from 'express-rate-limit';
import { AppError } from '../../domain/errors.ts';
import type { ApiLimits } from '../ports.ts';
import { stateOf } from '../request-state.ts';
import type { SharedCounts } from './shared-counts.ts';

/** Sets `RateLimit-*`; past the limit answers RATE_LIMITED with `Retry-After`. */
export function rateLimit(limits: ApiLimits['rateLimit'], counts: SharedCounts): RequestHandler {
  if (!limits.enabled) return (_req, _res, next) => next();
  return limiter({
    windowMs: limits.windowMs,
    limit: limits.max,
    standardHeaders: 'draft-6',
    legacyHeaders: false,
    store: counts,
    // Its checks of the set-up print on the console at the first request; ours is tested.
    validate: false,
    keyGenerator: callerKey,
    skip: (req) => req.path.startsWith('/api/context/health'),
    handler: (_req, _res, next) => {
      next(
        new AppError('RATE_LIMITED', 'Too many requests; see `Retry-After`.', { retryable: true }),
      );
    },
  });
}

function callerKey(req: Request, res: Response): string {
  const { caller } = stateOf(res);
  return caller?.actor ? `key:${caller.tenant}/${caller.actor}` : `ip:${addressOf(req)}`;
}

/** Who sent a request, as far as addresses tell: of IPv6 the network, not the machine. */
export function addressOf(req: Pick<Request, 'ip'>): string {
  return ipKeyGenerator(req.ip ?? 'unknown');
}
