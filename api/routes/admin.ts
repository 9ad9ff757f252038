/** Keys, tenants and the audit log. A key rules its own tenant with `admin`, all with `root`. */
import type { Response } from 'express';
import { v7 as uuidV7 } from 'uuid';
import type { Caller } from '../../domain/context.ts';
import { AppError } from '../../domain/errors.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { ApiKeyRow, Store } from '../../store/contract.ts';
import { SCOPES, type Scope } from '../call.ts';
import { ADMIN_CALLS } from '../contract.ts';
import { holds } from '../middleware/authenticate.ts';
import { newApiKey } from '../new-api-key.ts';
import type { ApiDeps } from '../ports.ts';
import { stateOf } from '../request-state.ts';
import { route, type Route } from './route.ts';

/** How long one call removes rows of a tenant. */
const REMOVE_FOR_MS = 10_000;

type AdminDeps = Pick<ApiDeps, 'store' | 'clock' | 'ids' | 'newApiKey'>;

export function adminRoutes(deps: AdminDeps): readonly Route[] {
  const { keys, tenants, auditLog } = deps.store;
  return [
    ...keyRoutes(keys, deps),
    route(ADMIN_CALLS.listTenants, async ({ query }) => ({
      status: 200,
      body: await tenants.list(query),
    })),
    route(ADMIN_CALLS.createTenant, async ({ body, caller }) => {
      const { id, name = id } = body;
      return { status: 201, body: await tenants.create(caller, { id, name }) };
    }),
    route(ADMIN_CALLS.removeTenant, async ({ params, query, caller }) => {
      const how = { force: query.force === 'true', forMs: REMOVE_FOR_MS };
      const removal = await tenants.remove(caller, params.id, how);
      return { status: 200, body: { id: params.id, ...removal } };
    }),
    route(ADMIN_CALLS.listAudit, async ({ query: { tenant, ...query }, caller, res }) => ({
      status: 200,
      body: await auditLog.list(ruled(res, caller, tenant).tenant, query),
    })),
  ];
}

function keyRoutes(keys: Store['keys'], deps: AdminDeps): readonly Route[] {
  const newId = deps.ids ?? uuidV7;
  const newSecret = deps.newApiKey ?? newApiKey;
  return [
    route(ADMIN_CALLS.listKeys, async ({ query, caller, res }) => {
      const { tenant, revoked, ...page } = query;
      const rows = { ...page, withRevoked: revoked === 'true' };
      return { status: 200, body: await keys.list(ruled(res, caller, tenant).tenant, rows) };
    }),
    route(ADMIN_CALLS.createKey, async ({ body, caller, res }) => {
      const { name, tenant, expiresAt } = body;
      const scopes = SCOPES.filter((scope) => body.scopes.includes(scope));
      refuseMore(res, scopes, 'make a key with');
      if (expiresAt) refusePast(expiresAt, deps.clock.now());
      const secret = newSecret();
      const row = await keys.create(ruled(res, caller, tenant), {
        id: newId(),
        secret,
        name,
        scopes,
        expiresAt: expiresAt ? new Date(expiresAt) : null,
      });
      // What is kept for a request sent again must not hold the key.
      return { status: 201, body: { ...row, key: secret }, kept: { ...row, key: null } };
    }),
    route(ADMIN_CALLS.revokeKey, async ({ params, query, caller, res }) => {
      const may = (key: ApiKeyRow): void =>
        refuseMore(res, key.scopes as readonly Scope[], 'revoke a key with');
      const row = await keys.revoke(ruled(res, caller, query.tenant), params.id, may);
      return { status: 200, body: row };
    }),
  ];
}

/** @throws AppError VALIDATION */
function refusePast(expiresAt: string, nowMs: number): void {
  if (Date.parse(expiresAt) > nowMs) return;
  const detail = 'must be in the future';
  const errors = [{ pointer: '/expiresAt', detail }];
  throw new AppError('VALIDATION', `body /expiresAt: ${detail}`, { errors });
}

/**
 * The caller, acting in the tenant that was named.
 * @throws AppError TENANT_NOT_FOUND for who may not, whether there is such a tenant or not
 */
export function ruled(res: Response, caller: Caller, tenant: TenantId | undefined): Caller {
  if (tenant === undefined || tenant === caller.tenant) return caller;
  if (!holds(stateOf(res).scopes, 'root'))
    throw new AppError('TENANT_NOT_FOUND', `there is no tenant ${tenant}`);
  const actor = caller.actor === null ? null : `${caller.tenant}/${caller.actor}`;
  return { tenant, actor };
}

/** @throws AppError FORBIDDEN where the caller does not hold one of the scopes */
function refuseMore(res: Response, scopes: readonly Scope[], act: string): void {
  const more = scopes.find((scope) => !holds(stateOf(res).scopes, scope));
  if (more === undefined) return;
  throw new AppError('FORBIDDEN', `Only a key with the scope \`${more}\` can ${act} it.`);
}
