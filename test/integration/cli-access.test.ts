import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContextClient } from '../../client/index.ts';
import { runTestCli, type CliRun } from '../support/cli-under-test.ts';
import { startKeyedApi, type KeyedApi } from '../support/keyed-api.ts';

let api: KeyedApi;
beforeAll(async () => {
  api = await startKeyedApi();
  await api.under.addTenant('acme');
});
afterAll(() => api.stop());

/** Runs one command line; the key comes from the environment, as with SYNCLINE_API_KEY. */
function cli(
  args: string,
  given: { key?: string | null; confirm?: boolean } = {},
): Promise<CliRun> {
  const { key = api.rootKey, confirm } = given;
  return runTestCli(args.split(' '), {
    ...(confirm === undefined ? {} : { confirm: async () => confirm }),
    environment: { url: api.url, apiKey: key },
  });
}

describe('syncline keys', () => {
  it('makes a key that works, alone on standard output', async () => {
    const made = await cli('keys create laptop --scope read,write --tenant acme --days 1');
    expect(made).toMatchObject({ code: 0, stderr: 'Keep it: it is not shown again.\n' });
    expect(made.stdout).toMatch(/^sk_[\w-]{43}\n$/);
    const client = new ContextClient({ url: api.url, apiKey: made.stdout.trim() });
    await client.store('from/cli', 1);
    expect((await client.get('from/cli'))?.updatedBy).toBe('laptop');
    client.close();
  });

  it('lists keys without their secrets, and revokes them by name', async () => {
    const { stdout } = await cli('keys create phone --tenant acme --expires 2099-01-01T00:00:00Z');
    const list = await cli('keys list --tenant acme');
    const row = list.stdout.split('\n').find((line) => line.startsWith('phone'));
    expect(row).toMatch(
      /^phone\tsk_\S{7}\tread\tnever\t2099-01-01T00:00:00\.000Z\t-\t[0-9a-f-]{36}$/,
    );
    expect(list.stdout).not.toContain(stdout.trim());
    expect((await cli('keys revoke phone --tenant acme')).stdout).toBe('phone is revoked\n');
    expect((await cli('keys list --tenant acme')).stdout).not.toContain('phone');
    expect((await cli('keys list --tenant acme --all')).stdout).toContain('phone');
  });

  it('prints JSON when asked to', async () => {
    const json = async (args: string): Promise<unknown> =>
      JSON.parse((await cli(`${args} --json`)).stdout);
    const made = await json('keys create json');
    expect(made).toMatchObject({ name: 'json', tenant: 'default', scopes: ['read'] });
    expect(await json('keys list')).toHaveLength(2);
    expect(await json('keys revoke json')).toMatchObject({ name: 'json' });
    expect(await json('tenants create in-json')).toMatchObject({ id: 'in-json' });
    expect(await json('tenants list')).toContainEqual(expect.objectContaining({ id: 'in-json' }));
    expect(await json('tenants remove in-json')).toMatchObject({ removed: true });
    expect(await json('audit --limit 1')).toMatchObject([{ action: 'tenant.removed' }]);
  });

  it('refuses with words what makes no sense, and without a key', async () => {
    const unknown = await cli('keys create x --scope everything');
    expect([unknown.code, unknown.stderr]).toEqual([
      2,
      'error: everything is not a scope; there are read, write, sync, admin, root\n',
    ]);
    expect((await cli('keys create x --days 1 --expires 2099-01-01')).code).toBe(2);
    expect((await cli('keys create x --expires never')).code).toBe(2);
    const missing = await cli('keys revoke nobody');
    expect([missing.code, missing.stderr]).toEqual([
      1,
      'error KEY_NOT_FOUND: there is no key "nobody"\n',
    ]);
    const anonymous = await cli('keys list', { key: null });
    expect([anonymous.code, anonymous.stderr]).toEqual([
      1,
      'error UNAUTHENTICATED: The request has no api key. Name one with --api-key or SYNCLINE_API_KEY.\n',
    ]);
    const option = await cli(`keys list --api-key ${api.rootKey}`, { key: null });
    expect([option.code, option.stderr]).toEqual([0, '']);
  });
});

describe('syncline tenants', () => {
  it('makes, lists and removes tenants', async () => {
    expect((await cli('tenants create shop --name Shop')).stdout).toContain('shop is there');
    expect((await cli('tenants list')).stdout).toMatch(/^shop\tShop\t/m);
    expect((await cli('tenants remove shop')).stdout).toBe('shop is removed (0 rows)\n');
    expect((await cli('tenants remove shop')).code).toBe(1);
  });

  it('asks before it removes data, and does nothing without a yes', async () => {
    await cli('tenants create full');
    await cli('keys create one --tenant full');
    const no = await cli('tenants remove full --force', { confirm: false });
    expect([no.code, no.stderr]).toEqual([2, 'error: nothing was removed\n']);
    expect((await cli('tenants list')).stdout).toContain('full');
  });

  it('goes on until a tenant with data is gone', async () => {
    const client = new ContextClient({
      url: api.url,
      apiKey: await api.keyFor('goes', ['write']),
    });
    await client.store('a', 1);
    client.close();
    expect((await cli('tenants remove goes')).stderr).toContain('TENANT_NOT_EMPTY');
    const first = await new ContextClient({ url: api.url, apiKey: api.rootKey }).tenants.remove(
      'goes',
      { force: true },
    );
    expect(first.removed).toBe(false);
    await api.under.admin(
      `UPDATE tenants SET removing_at = removing_at - interval '1 minute' WHERE id = 'goes'`,
    );
    const done = await cli('tenants remove goes --force', { confirm: true });
    expect(done.stdout).toBe('goes is removed (0 rows)\n');
  });
});

describe('syncline audit', () => {
  it('shows who did what', async () => {
    await cli('keys create traced --tenant acme');
    const { stdout } = await cli('audit --tenant acme --action key.create --limit 1');
    expect(stdout.split('\n')[0]).toBe('WHEN\tWHO\tWHAT\tTARGET\tDETAIL');
    expect(stdout.split('\n')[1]).toMatch(/\tdefault\/root\tkey\.create\t\S+\t.*"name":"traced"/);
    expect((await cli('audit --actor nobody')).stdout).toBe('Nothing was changed.\n');
  });
});
