/** Who is calling, and may they. Keys are looked up, never logged. */
import type { Request, RequestHandler, Response } from 'express';
import type { Caller } from '../../domain/context.ts';
import { AppError } from '../../domain/errors.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { Scope } from '../call.ts';
import type { AuthConfig } from '../ports.ts';
import { stateOf } from '../request-state.ts';

/** The tenant of everybody while keys are off. */
export const DEFAULT_TENANT = 'default' as TenantId;
const ALL_SCOPES: readonly Scope[] = ['read', 'write', 'sync', 'admin'];
const MAX_KEY_LENGTH = 512;

/** Fills in the caller, or why there is none; refuses nobody (health and docs need no key). */
export function authenticate(auth: AuthConfig): RequestHandler {
  return async (req, res, next) => {
    const state = stateOf(res);
    if (auth.mode === 'off') {
      state.caller = { tenant: DEFAULT_TENANT, actor: null };
      state.scopes = ALL_SCOPES;
      next();
      return;
    }
    const key = bearerKey(req);
    const owner = key === null ? null : await auth.lookup(key);
    if (owner) {
      state.caller = { tenant: owner.tenant, actor: owner.name };
      state.scopes = owner.scopes;
    } else {
      const detail = key === null ? 'The request has no api key.' : 'The api key is not valid.';
      state.authError = new AppError('UNAUTHENTICATED', detail);
    }
    next();
  };
}

function bearerKey(req: Request): string | null {
  const header = req.get('authorization');
  const key = header === undefined ? null : /^Bearer +(\S+) *$/i.exec(header)?.[1];
  return key && key.length <= MAX_KEY_LENGTH ? key : null;
}

/** Lets a caller with the scope (or `admin`) pass; null lets everybody pass. */
export function requireScope(scope: Scope | null): RequestHandler {
  return (_req, res, next) => {
    if (scope !== null) checkScope(res, scope);
    next();
  };
}

/** @throws AppError UNAUTHENTICATED, FORBIDDEN */
export function checkScope(res: Response, scope: Scope): void {
  const state = stateOf(res);
  if (!state.caller) {
    res.setHeader('WWW-Authenticate', 'Bearer');
    throw state.authError ?? new AppError('UNAUTHENTICATED', 'The request has no api key.');
  }
  if (!state.scopes.includes(scope) && !state.scopes.includes('admin')) {
    throw new AppError('FORBIDDEN', `This needs a key with the scope \`${scope}\`.`);
  }
}

/** The accepted caller. @throws AppError UNAUTHENTICATED */
export function callerOf(res: Response): Caller {
  const { caller, authError } = stateOf(res);
  if (caller) return caller;
  throw authError ?? new AppError('UNAUTHENTICATED', 'The request has no api key.');
}
