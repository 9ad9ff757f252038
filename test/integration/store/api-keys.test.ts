import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomUUID } from 'node:crypto';
import type { Caller } from '../../../domain/context.ts';
import type { ApiKeyRow, ApiKeys } from '../../../store/contract.ts';
import { codeOf, openStore, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
let keys: ApiKeys;
let [acme, other]: Caller[] = [];
beforeAll(async () => {
  under = await openStore();
  keys = under.store.keys;
  acme = await under.addTenant('acme');
  other = await under.addTenant('other');
});
afterAll(() => under.close());

const owned = (caller: Caller, name: string, scopes: readonly string[] = ['read', 'write']) => ({
  id: randomUUID(),
  tenant: caller.tenant,
  name,
  scopes,
});
const ensure = (key: string, caller: Caller, name: string): Promise<void> =>
  keys.ensure(key, owned(caller, name));
const make = (secret: string, caller: Caller, name: string, expiresAt: Date | null = null) =>
  keys.create(caller, { id: randomUUID(), secret, name, scopes: ['read'], expiresAt });
const revoke = (caller: Caller, idOrName: string): Promise<ApiKeyRow> =>
  keys.revoke(caller, idOrName, () => undefined);
const auditOf = (caller: Caller) =>
  under.store.auditLog.list(caller.tenant, { limit: 100, action: 'key' });

describe('an API key', () => {
  it('names its owner and scopes, and is unknown until it is made', async () => {
    expect(await keys.lookup('sk-first')).toBeNull();
    await ensure('sk-first', acme!, 'laptop');
    const owner = { tenant: 'acme', name: 'laptop', scopes: ['read', 'write'], expiresAt: null };
    expect(await keys.lookup('sk-first')).toEqual(owner);
  });

  it('is not found by less, more or nothing of it', async () => {
    await ensure('sk-exact', acme!, 'exact');
    for (const guess of ['sk-exac', 'sk-exact ', 'SK-EXACT', '', 'sk-exact\u0000']) {
      expect(await keys.lookup(guess)).toBeNull();
    }
  });

  it('stays as it was when it is made again, by its owner or another', async () => {
    await ensure('sk-again', acme!, 'again');
    await ensure('sk-again', acme!, 'second');
    await ensure('sk-again', other!, 'third');
    expect(await keys.lookup('sk-again')).toMatchObject({ tenant: 'acme', name: 'again' });
  });

  it('opens nothing once it is revoked, by id or name, and stays so', async () => {
    const made = await make('sk-revoked', other!, 'old');
    const revoked = await revoke(other!, 'old');
    expect(revoked).toMatchObject({ id: made.id, name: 'old' });
    expect(await keys.lookup('sk-revoked')).toBeNull();
    await ensure('sk-revoked', other!, 'old');
    expect(await keys.lookup('sk-revoked')).toBeNull();
    expect((await revoke(other!, made.id)).revokedAt).toBe(revoked.revokedAt);
    expect(await codeOf(revoke(other!, 'old'))).toBe('KEY_NOT_FOUND');
  });

  it('opens nothing from the moment it expires, and gives its name back', async () => {
    await make('sk-short', other!, 'short', new Date(Date.now() + 3_600_000));
    expect(await keys.lookup('sk-short')).toMatchObject({ name: 'short' });
    await under.admin(
      `UPDATE api_keys SET expires_at = now() WHERE tenant_id = 'other' AND name = 'short'`,
    );
    expect(await keys.lookup('sk-short')).toBeNull();
    await make('sk-short-2', other!, 'short');
    expect(await keys.lookup('sk-short-2')).toMatchObject({ expiresAt: null });
  });

  it('is stored as a hash, with its use noted and a quarter of it shown at most', async () => {
    await make(`sk_secret-part-${'x'.repeat(30)}`, acme!, 'secret');
    await make('sk_secret-short', acme!, 'short secret');
    await keys.lookup(`sk_secret-part-${'x'.repeat(30)}`);
    const rows = await under.admin<{ text: string; prefix: string; used: boolean }>(
      `SELECT k::text AS text, prefix, last_used_at IS NOT NULL AS used FROM api_keys k
       WHERE name LIKE '%secret' ORDER BY name`,
    );
    expect(rows).toMatchObject([
      { prefix: 'sk_secret-', used: true },
      { prefix: 'sk_', used: false },
    ]);
    for (const { text } of rows) expect(text).not.toContain('sk_secret-part');
  });
});

describe('keys of a tenant', () => {
  it('have names of their own while they live', async () => {
    await make('sk-n1', acme!, 'same name');
    expect(await codeOf(make('sk-n2', acme!, 'same name'))).toBe('VALIDATION');
    expect(await keys.lookup('sk-n2')).toBeNull();
    await make('sk-n3', other!, 'same name');
    await revoke(acme!, 'same name');
    await make('sk-n4', acme!, 'same name');
    expect(await keys.lookup('sk-n4')).toMatchObject({ tenant: 'acme' });
  });

  it('are nothing to another tenant', async () => {
    const { id } = await make('sk-mine', acme!, 'only mine');
    expect(await codeOf(revoke(other!, id))).toBe('KEY_NOT_FOUND');
    expect(await codeOf(revoke(other!, 'only mine'))).toBe('KEY_NOT_FOUND');
    const seen = await keys.list(other!.tenant, { limit: 100, withRevoked: true });
    expect(seen.items.map((row) => row.tenant)).not.toContain('acme');
    expect(await keys.lookup('sk-mine')).not.toBeNull();
  });

  it('are listed newest first, page by page, the revoked ones when asked for', async () => {
    const pager = await under.addTenant('pager');
    for (const name of ['a', 'b', 'c']) await make(`sk-page-${name}`, pager, name);
    await revoke(pager, 'b');
    const first = await keys.list(pager.tenant, { limit: 1 });
    const next = await keys.list(pager.tenant, { limit: 1, cursor: first.nextCursor! });
    expect([...first.items, ...next.items].map((row) => row.name)).toEqual(['c', 'a']);
    expect(next.nextCursor).toBeNull();
    const all = await keys.list(pager.tenant, { limit: 10, withRevoked: true });
    expect(all.items.map((row) => row.name)).toEqual(['c', 'b', 'a']);
    expect(await codeOf(keys.list(pager.tenant, { limit: 1, cursor: 'nonsense' }))).toBe(
      'INVALID_CURSOR',
    );
  });

  it('leave a trace when they are made and revoked, without the key', async () => {
    const audited = await under.addTenant('audited');
    const { id } = await make('sk-trace-me', audited, 'traced');
    await revoke(audited, id);
    await revoke(audited, id);
    const { items } = await auditOf(audited);
    expect(items).toMatchObject([
      { action: 'key.revoke', target: id, actor: 'actor of audited', detail: { name: 'traced' } },
      { action: 'key.create', target: id, detail: { name: 'traced', scopes: ['read'] } },
    ]);
    expect(JSON.stringify(items)).not.toContain('sk-trace');
  });

  it('that could not be made leave no trace', async () => {
    const failing = await under.addTenant('failing');
    await make('sk-there', failing, 'there');
    expect(await codeOf(make('sk-twin', failing, 'there'))).toBe('VALIDATION');
    const forbidden = keys.revoke(failing, 'there', () => {
      throw new Error('may not');
    });
    await expect(forbidden).rejects.toThrow('may not');
    expect((await auditOf(failing)).items.map((row) => row.action)).toEqual(['key.create']);
  });

  it('cannot be made for a tenant that is not there', async () => {
    const nobody = { tenant: 'nobody', actor: null } as unknown as Caller;
    expect(await codeOf(make('sk-nobody', nobody, 'x'))).toBe('TENANT_NOT_FOUND');
    expect(await keys.lookup('sk-nobody')).toBeNull();
  });
});

describe('the way in', () => {
  const configured = (key: string): Promise<boolean> =>
    keys.ensureConfigured(key, owned(acme!, 'root (configured)', ['root']));

  it('is the configured key: another one replaces it, and may be replaced by it again', async () => {
    for (const [now, before] of [
      ['configured-1', 'configured-2'],
      ['configured-2', 'configured-1'],
      ['configured-1', 'configured-2'],
    ] as const) {
      expect(await configured(now)).toBe(true);
      expect(await configured(now)).toBe(true);
      expect(await keys.lookup(now)).toMatchObject({ scopes: ['root'] });
      expect(await keys.lookup(before)).toBeNull();
    }
  });

  it('stays shut when the configured key was revoked', async () => {
    expect(await configured('configured-3')).toBe(true);
    await revoke(acme!, 'root (configured)');
    expect(await configured('configured-3')).toBe(false);
    expect(await keys.lookup('configured-3')).toBeNull();
    expect(await configured('configured-4')).toBe(true);
    // Not even after another one was configured in between.
    expect(await configured('configured-3')).toBe(false);
    expect(await keys.lookup('configured-3')).toBeNull();
    expect(await keys.lookup('configured-4')).toBeNull();
  });

  it('is made once, however many processes start at the same time', async () => {
    const starting = await under.addTenant('starting');
    const first = (nth: number): Promise<boolean> =>
      keys.ensureFirst(`sk-root-${nth}`, owned(starting, 'root', ['root', 'admin']));
    const made = await Promise.all([1, 2, 3, 4].map(first));
    expect(made.filter(Boolean)).toHaveLength(1);
    expect(await first(5)).toBe(false);
    await revoke(starting, 'root');
    // A key of that name without the scope is no way in.
    await make('sk-not-root', starting, 'root');
    expect(await first(6)).toBe(true);
    expect(await keys.lookup('sk-root-6')).toMatchObject({ scopes: ['root', 'admin'] });
  });
});
