/** Requests per caller and window, counted in this process. Probes are not counted. */
import type { Request, RequestHandler, Response } from 'express';
import { ipKeyGenerator, rateLimit as limiter } from 'express-rate-limit';
import { AppError } from '../../domain/errors.ts';
import type { ApiLimits } from '../ports.ts';
import { stateOf } from '../request-state.ts';

/** Sets `RateLimit-*`; past the limit answers RATE_LIMITED with `Retry-After`. */
export function rateLimit(limits: ApiLimits['rateLimit']): RequestHandler {
  if (!limits.enabled) return (_req, _res, next) => next();
  return limiter({
    windowMs: limits.windowMs,
    limit: limits.max,
    standardHeaders: 'draft-6',
    legacyHeaders: false,
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
  return caller?.actor ? `${caller.tenant}/${caller.actor}` : ipKeyGenerator(req.ip ?? 'unknown');
}
