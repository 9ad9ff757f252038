/**
 * Encrypted bodies through backup and restore, and through an export in clear and its import: what
 * opens, with which key, and where nothing may be seen.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Scope } from '../../../api/contract.ts';
import { systemClock } from '../../../domain/clock.ts';
import type { TenantId } from '../../../domain/ids.ts';
import { MIGRATION_LOCK } from '../../../main/migrate.ts';
import { SCHEMA_STEPS } from '../../../main/schema-steps.ts';
import { restoreBackup } from '../../../store/backup/restore-backup.ts';
import { writeBackup } from '../../../store/backup/write-backup.ts';
import type { EncryptionDeps } from '../../../store/create-store.ts';
import {
  callApi,
  startTestApi,
  testApiDeps,
  type TestAnswer,
} from '../../support/api-under-test.ts';
import { runTestCli, type CliRun } from '../../support/cli-under-test.ts';
import { encryptionWith, newMasterKey, spellingsOf } from '../../support/encryption.ts';
import { asKey, openStore, otherStore, type StoreUnderTest } from '../store/store-under-test.ts';

const CANARY = `canary${randomBytes(12).toString('hex')}`;
const MASTER = newMasterKey();
const SMALL = { word: CANARY };
/** Large enough to be compressed first. */
const LARGE = { text: `${CANARY} `.repeat(300) };

/** A key of each scope, all of tenant `default`. */
const auth = {
  mode: 'keys' as const,
  lookup: async (key: string) =>
    ['read', 'write', 'admin'].includes(key)
      ? { tenant: 'default' as TenantId, name: key, scopes: ['read', 'write', key] as Scope[] }
      : null,
};

interface Installation {
  readonly under: StoreUnderTest;
  call(target: string, body?: unknown): Promise<TestAnswer>;
  cli(key: string, ...args: string[]): Promise<CliRun>;
  stop(): Promise<void>;
}

const running: Installation[] = [];
let folder: string;
let file: string;
let source: Installation;

/** A store with an API of its own; null: without a master key. */
async function install(encryption: EncryptionDeps | null): Promise<Installation> {
  const under = await openStore({ encryption });
  const server = await startTestApi(testApiDeps(under.store, { auth }));
  const headers = { authorization: 'Bearer write' };
  const installation: Installation = {
    under,
    call: (target, body) =>
      callApi(server.url, target, { headers, ...(body === undefined ? {} : { body }) }),
    cli: (apiKey, ...args) => runTestCli(args, { environment: { url: server.url, apiKey } }),
    async stop() {
      await server.stop(1000);
      await under.close();
    },
  };
  running.push(installation);
  return installation;
}

const store = (key: string, data: unknown, encrypt: boolean, on = source): Promise<TestAnswer> =>
  on.call('POST /api/context/store', { key, data, options: { encrypt, ttl: null } });

const read = (on: Installation, key: string, query = ''): Promise<TestAnswer> =>
  on.call(`GET /api/context/get/${encodeURIComponent(key)}${query}`);

async function restoredWith(encryption: EncryptionDeps | null): Promise<Installation> {
  const installation = await install(encryption);
  const fixed = { steps: SCHEMA_STEPS, lock: MIGRATION_LOCK, clock: systemClock };
  await restoreBackup({ url: installation.under.url, file, replace: false, ...fixed });
  return installation;
}

const expectNothingIn = (text: string): void =>
  expect(spellingsOf(CANARY).filter((spelling) => text.includes(spelling))).toEqual([]);

/** Every row of every table of a store, as text. */
async function everything({ under }: Installation): Promise<string> {
  const tables = await under.admin<{ name: string }>(
    `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
     WHERE schemaname = 'context_system'`,
  );
  const rows = await Promise.all(
    tables.map(({ name }) =>
      under.admin<{ text: string }>(`SELECT t::text AS text FROM ${name} t`),
    ),
  );
  return rows
    .flat()
    .map(({ text }) => text)
    .join('\n');
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-encrypted-'));
  file = join(folder, 'all.backup');
  source = await install(encryptionWith(MASTER));
  await store('s/small', { word: 'first', also: CANARY }, true);
  await store('s/small', SMALL, true);
  await store('s/large', LARGE, true);
  await store('s/open', { everybody: 'may know' }, false);
  await writeBackup({ url: source.under.url, file, product: '0', clock: systemClock });
});
afterAll(async () => {
  await Promise.all(running.map((each) => each.stop()));
  rmSync(folder, { recursive: true, force: true });
});

describe('a backup with encrypted bodies', () => {
  it('has nothing of them in clear, whatever the spelling, and no master key', () => {
    const text = gunzipSync(readFileSync(file)).toString('utf8');
    expect(text).toContain('s/small');
    expect(text).toContain(Buffer.from('{"everybody":"may know"}').toString('hex'));
    expectNothingIn(text);
    expect(text).not.toContain(MASTER);
    expect(text).not.toContain(Buffer.from(MASTER, 'base64').toString('hex'));
  });

  it('restored under the same master key reads as it was, every version, and goes on', async () => {
    const same = await restoredWith(encryptionWith(MASTER));
    expect((await read(same, 's/small')).body).toMatchObject({ data: SMALL, encrypted: true });
    expect((await read(same, 's/small', '?version=1')).body['data']).toMatchObject({
      also: CANARY,
    });
    expect((await read(same, 's/large')).body['data']).toEqual(LARGE);
    expect((await store('s/small', { more: CANARY }, true, same)).body['version']).toBe(3);
    expectNothingIn(await everything(same));
  });

  it.each([
    ['under another master key', () => encryptionWith(newMasterKey())],
    ['without a master key', () => null],
  ])('restored %s refuses what it cannot open with a code, and nothing else', async (_n, key) => {
    const other = await restoredWith(key());
    for (const query of ['', '?version=1']) {
      const refused = await read(other, 's/small', query);
      expect(refused.body['code']).toBe('ENCRYPTION_NOT_CONFIGURED');
      expectNothingIn(refused.text);
    }
    expect((await store('s/new', SMALL, true, other)).body['code']).toBe(
      'ENCRYPTION_NOT_CONFIGURED',
    );
    expect((await read(other, 's/open')).body['data']).toEqual({ everybody: 'may know' });
    expect((await read(other, 's/new')).status).toBe(404);
    const to = join(folder, 'cannot.ndjson');
    const exported = await other.cli('admin', 'export', to, '--decrypt');
    expect([exported.code, exported.stderr]).toEqual([
      1,
      expect.stringContaining('error ENCRYPTION_NOT_CONFIGURED'),
    ]);
    expect(existsSync(to)).toBe(false);
    expectNothingIn(await everything(other));
  });

  it('restored under another master key opens once the old one is named beside it', async () => {
    const { under } = await restoredWith(encryptionWith(newMasterKey()));
    const named = encryptionWith(newMasterKey(), { oldKeys: [MASTER] });
    const caller = { tenant: 'default' as TenantId, actor: 'ann' };
    const reader = otherStore(under, { encryption: named });
    const found = await reader.contexts.get(caller, asKey('s/small'));
    expect(found).toMatchObject({ data: SMALL });
  });
});

describe('an export of encrypted bodies', () => {
  const inClear = (): string => join(folder, 'clear.ndjson');

  it('leaves them out and says how many, unless told', async () => {
    const to = join(folder, 'without.ndjson');
    const { stdout } = await source.cli('read', 'export', to);
    expect(stdout).toBe(
      `Exported 1 version(s) to ${to}.\n3 encrypted version(s) are not in it; see --decrypt.\n`,
    );
    expectNothingIn(readFileSync(to, 'utf8'));
  });

  it('in clear needs the scope admin', async () => {
    const to = join(folder, 'refused.ndjson');
    const refused = await source.cli('write', 'export', to, '--decrypt');
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('error FORBIDDEN')]);
    expect(existsSync(to)).toBe(false);
    expect(await source.cli('admin', 'export', inClear(), '--decrypt')).toMatchObject({ code: 0 });
    expect(readFileSync(inClear(), 'utf8')).toContain(CANARY);
  });

  it('is imported encrypted again, under the key of that store', async () => {
    const other = await install(encryptionWith(newMasterKey()));
    const { stdout } = await other.cli('write', 'import', inClear());
    expect(stdout).toBe('Imported 4 version(s), skipped 0, failed 0.\n');
    expect((await read(other, 's/small')).body).toMatchObject({ data: SMALL, encrypted: true });
    expect((await read(other, 's/large')).body['data']).toEqual(LARGE);
    expect((await read(other, 's/open')).body).toMatchObject({ encrypted: false });
    expectNothingIn(await everything(other));
  });

  it('is refused line by line where there is no key, and the other lines are taken', async () => {
    const plain = await install(null);
    const run = await plain.cli('write', 'import', inClear());
    expect([run.code, run.stdout]).toEqual([
      1,
      expect.stringContaining('Imported 1 version(s), skipped 0, failed 3.'),
    ]);
    expect(run.stdout).toContain('ENCRYPTION_NOT_CONFIGURED');
    expectNothingIn(run.stdout + (await everything(plain)));
  });
});
