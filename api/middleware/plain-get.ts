/** What pages and documents outside the contract's calls have in common with them. */
import type { Application, RequestHandler } from 'express';
import { z } from 'zod';
import { AppError } from '../../domain/errors.ts';
import { parseQuery } from '../query.ts';
import { stateOf } from '../request-state.ts';
import { validate } from '../validate.ts';

const ALLOW = 'GET, HEAD, OPTIONS';
const NO_QUERY = z.strictObject({});

/**
 * Lets GET and HEAD without a query pass, and answers OPTIONS.
 * @throws AppError METHOD_NOT_ALLOWED (with `Allow`), VALIDATION
 */
export function plainGet(): RequestHandler {
  return (req, res, next) => {
    if (req.method !== 'GET' && req.method !== 'HEAD') {
      res.setHeader('Allow', ALLOW);
      if (req.method !== 'OPTIONS') {
        throw new AppError(
          'METHOD_NOT_ALLOWED',
          `${req.method} is not allowed here; ${ALLOW} are.`,
        );
      }
      res.status(204).end();
      return;
    }
    validate(NO_QUERY, parseQuery(req.originalUrl), 'query');
    next();
  };
}

const TAKES_UPGRADES = 'takesUpgrades';

/** Notes that an API takes WebSockets: it then says so to those who come without asking for one. */
export function noteUpgrades(app: Application): void {
  app.locals[TAKES_UPGRADES] = true;
}

/** For the path of the WebSocket. @throws AppError VALIDATION, with status 426 and `Upgrade` */
export function upgradeRequired(): RequestHandler {
  return (_req, res, next) => {
    if (res.app.locals[TAKES_UPGRADES] !== true) {
      next();
      return;
    }
    res.setHeader('Upgrade', 'websocket');
    stateOf(res).problemStatus = 426;
    throw new AppError('VALIDATION', 'This is a WebSocket; ask for it with `Upgrade: websocket`.');
  };
}
