/** Who is calling, and may they. Keys are looked up, never logged. */
import type { Request, RequestHandler, Response } from 'express';
import type { Caller } from '../../domain/context.ts';
import { AppError, toAppError } from '../../domain/errors.ts';
import type { TenantId } from '../../domain/ids.ts';
import { SCOPES, type Scope } from '../call.ts';
import { stateOf } from '../request-state.ts';
import type { KeyDoor } from './key-door.ts';
import { addressOf } from './rate-limit.ts';

/** The tenant of everybody while keys are off. */
export const DEFAULT_TENANT = 'default' as TenantId;

/**
 * Fills in the caller, or why there is none; refuses nobody (health and docs need no key).
 * @param door null: keys are off, everybody is the tenant `default` with all scopes
 */
export function authenticate(door: KeyDoor | null): RequestHandler {
  return async (req, res, next) => {
    const state = stateOf(res);
    if (door === null) {
      state.caller = { tenant: DEFAULT_TENANT, actor: null };
      state.scopes = SCOPES;
      next();
      return;
    }
    try {
      const { tenant, name, scopes } = await door.admit(bearerKey(req), addressOf(req));
      state.caller = { tenant, actor: name };
      state.scopes = scopes;
    } catch (error) {
      state.authError = toAppError(error);
    }
    next();
  };
}

/** @throws AppError UNAUTHENTICATED */
function bearerKey(req: Request): string {
  const key = /^Bearer +(\S+) *$/i.exec(req.get('authorization') ?? '')?.[1];
  if (key) return key;
  throw new AppError('UNAUTHENTICATED', 'The request has no api key.');
}

/** Whether these scopes hold that one: `root` holds all, `admin` all but `root`. */
export function holds(scopes: readonly Scope[], scope: Scope): boolean {
  if (scopes.includes('root')) return true;
  return scopes.includes(scope) || (scope !== 'root' && scopes.includes('admin'));
}

/** Lets a caller whose scopes hold this one (or the other) pass; null lets everybody pass. */
export function requireScope(scope: Scope | null, orScope?: Scope): RequestHandler {
  return (_req, res, next) => {
    const isOther = orScope !== undefined && holds(stateOf(res).scopes, orScope);
    if (scope !== null) checkScope(res, isOther ? orScope : scope);
    next();
  };
}

/** @throws AppError UNAUTHENTICATED, FORBIDDEN, or why the key could not be looked up */
export function checkScope(res: Response, scope: Scope): void {
  callerOf(res);
  if (holds(stateOf(res).scopes, scope)) return;
  throw new AppError('FORBIDDEN', `This needs a key with the scope \`${scope}\`.`);
}

/** The accepted caller. @throws AppError UNAUTHENTICATED, or why the key could not be looked up */
export function callerOf(res: Response): Caller {
  const { caller, authError } = stateOf(res);
  if (caller) return caller;
  const error = authError ?? new AppError('UNAUTHENTICATED', 'The request has no api key.');
  if (error.code === 'UNAUTHENTICATED') res.setHeader('WWW-Authenticate', 'Bearer');
  throw error;
}
