import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomUUID } from 'node:crypto';
import type { Caller } from '../../../domain/context.ts';
import { createApiKeys, type ApiKeys } from '../../../store/api-keys.ts';
import { openStore, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
let keys: ApiKeys;
let [acme, other]: Caller[] = [];
beforeAll(async () => {
  under = await openStore();
  keys = createApiKeys(under.database);
  acme = await under.addTenant('acme');
  other = await under.addTenant('other');
});
afterAll(() => under.close());

const ensure = (key: string, caller: Caller, name = 'laptop') =>
  keys.ensure(key, { id: randomUUID(), tenant: caller.tenant, name, scopes: ['read', 'write'] });

describe('an API key', () => {
  it('names its owner and scopes, and is unknown until it is made', async () => {
    expect(await keys.lookup('sk-first')).toBeNull();
    expect(await keys.hasAny(acme!.tenant)).toBe(false);
    await ensure('sk-first', acme!);
    expect(await keys.lookup('sk-first')).toEqual({
      tenant: 'acme',
      name: 'laptop',
      scopes: ['read', 'write'],
    });
    expect(await keys.hasAny(acme!.tenant)).toBe(true);
    expect(await keys.hasAny(other!.tenant)).toBe(false);
  });

  it('is not found by less, more or nothing of it', async () => {
    await ensure('sk-exact', acme!);
    for (const guess of ['sk-exac', 'sk-exact ', 'SK-EXACT', '', 'sk-exact\u0000']) {
      expect(await keys.lookup(guess)).toBeNull();
    }
  });

  it('stays as it was when it is made again, by its owner or another', async () => {
    await ensure('sk-again', acme!, 'first');
    await ensure('sk-again', acme!, 'second');
    await ensure('sk-again', other!, 'third');
    expect(await keys.lookup('sk-again')).toMatchObject({ tenant: 'acme', name: 'first' });
  });

  it('opens nothing once it is revoked', async () => {
    await ensure('sk-revoked', other!);
    await under.admin(`UPDATE api_keys SET revoked_at = now() WHERE tenant_id = 'other'`);
    expect(await keys.lookup('sk-revoked')).toBeNull();
    expect(await keys.hasAny(other!.tenant)).toBe(false);
    await ensure('sk-revoked', other!);
    expect(await keys.lookup('sk-revoked')).toBeNull();
  });

  it('is stored as a hash, with its use noted', async () => {
    await ensure('sk-secret-part', acme!);
    await keys.lookup('sk-secret-part');
    const [row] = await under.admin<{ text: string; prefix: string; used: boolean }>(
      `SELECT k::text AS text, prefix, last_used_at IS NOT NULL AS used FROM api_keys k WHERE prefix = 'sk-secret-'`,
    );
    expect(row).toMatchObject({ prefix: 'sk-secret-', used: true });
    expect(row!.text).not.toContain('sk-secret-part');
  });
});
