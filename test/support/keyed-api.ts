/** The API with keys on, on the real store, as main/ puts it together; and a root key to begin with. */
import { randomUUID } from 'node:crypto';
import { createKeyLookup } from '../../api/middleware/key-lookup.ts';
import { SCOPES, type ApiDeps, type Scope } from '../../api/contract.ts';
import { systemClock, type Clock } from '../../domain/clock.ts';
import type { TenantId } from '../../domain/ids.ts';
import { openStore, type StoreUnderTest } from '../integration/store/store-under-test.ts';
import {
  callApi,
  startTestApi,
  testApiDeps,
  type TestAnswer,
  type TestRequest,
} from './api-under-test.ts';

export interface KeyedApi {
  readonly url: string;
  readonly under: StoreUnderTest;
  readonly rootKey: string;
  /** Time of the API, moved by tests; the store's and the database's stay. */
  readonly clock: { offsetMs: number };
  /** Calls with a key; the answer is held against the contract. */
  call(key: string, target: string, request?: TestRequest): Promise<TestAnswer>;
  /** Makes a tenant where it is missing, and a key for it. */
  keyFor(tenant: string, scopes: readonly Scope[]): Promise<string>;
  stop(): Promise<void>;
}

/** The look-up of `main/api-auth.ts`, on a clock of the test's. */
export function keysOn(under: StoreUnderTest, clock: Clock): ApiDeps['auth'] {
  const lookup = createKeyLookup({
    clock,
    async lookup(key) {
      const owner = await under.store.keys.lookup(key);
      return owner && { ...owner, scopes: SCOPES.filter((scope) => owner.scopes.includes(scope)) };
    },
  });
  return { mode: 'keys', lookup };
}

/** Starts it; call `stop` in `afterAll`. */
export async function startKeyedApi(overrides: Partial<ApiDeps> = {}): Promise<KeyedApi> {
  const under = await openStore();
  const offset = { offsetMs: 0 };
  const clock: Clock = { now: () => systemClock.now() + offset.offsetMs };
  const deps = testApiDeps(under.store, { auth: keysOn(under, clock), clock, ...overrides });
  const server = await startTestApi(deps);
  const rootKey = `sk_root_${randomUUID()}`;
  const tenant = 'default' as TenantId;
  const owner = { id: randomUUID(), tenant, name: 'root', scopes: [...SCOPES].reverse() };
  await under.store.keys.ensureFirst(rootKey, owner);
  const call: KeyedApi['call'] = (key, target, { headers, ...request } = {}) =>
    callApi(server.url, target, {
      ...request,
      headers: { authorization: `Bearer ${key}`, ...headers },
    });
  return {
    url: server.url,
    under,
    rootKey,
    clock: offset,
    call,
    async keyFor(id, scopes) {
      const known = await under.admin('SELECT 1 FROM tenants WHERE id = $1', [id]);
      if (known.length === 0) await under.addTenant(id);
      const body = { name: `key ${randomUUID()}`, scopes, tenant: id };
      return String((await call(rootKey, 'POST /api/admin/keys', { body })).body['key']);
    },
    async stop() {
      await server.stop(1000);
      await under.close();
    },
  };
}
