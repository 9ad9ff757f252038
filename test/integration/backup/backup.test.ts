import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../domain/clock.ts';
import type { Caller } from '../../../domain/context.ts';
import { canonicalJson, type Json } from '../../../domain/json.ts';
import { MIGRATION_LOCK } from '../../../main/migrate.ts';
import { SCHEMA_STEPS } from '../../../main/schema-steps.ts';
import { restoreBackup, type RestoreResult } from '../../../store/backup/restore-backup.ts';
import { writeBackup } from '../../../store/backup/write-backup.ts';
import { testDatabase, type TestDatabase } from '../../support/servers.ts';
import { newLink } from '../../support/sample-link.ts';
import {
  asKey,
  codeOf,
  openStore,
  put,
  untilShown,
  type StoreUnderTest,
} from '../store/store-under-test.ts';

let folder: string;
let under: StoreUnderTest;
let anna: Caller;
let otto: Caller;
let file: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-backup-'));
  file = join(folder, 'store.backup');
  under = await openStore();
  anna = await under.addTenant('anna');
  otto = await under.addTenant('otto');
  await fill();
  await backUp(under.url, file);
});
afterAll(async () => {
  await under.close();
  rmSync(folder, { recursive: true, force: true });
});

/** What JSON can hold and careless code loses. */
const ODD = '{"":{},"__proto__":1,"z":[-0,1e+21,"\\u0000 😀 é"]}';

async function fill(): Promise<void> {
  const { contexts, links, runs } = under.store;
  await put(under, anna, 'a/odd', JSON.parse(ODD) as Json);
  await put(under, anna, 'a/long', 'x'.repeat(100_000));
  await put(under, anna, 'a/gone', 1);
  await contexts.delete(anna, { key: asKey('a/gone') });
  for (const n of [1, 2, 3]) await put(under, otto, 'o/counted', n);
  const options = { ttl: 60, tags: ['ä', ',"{}'], metadata: { n: [1, null] } };
  await contexts.store(otto, { key: asKey('o/tagged'), data: [], options });
  const link = await links.create(anna, newLink({ name: 'kept', scope: { prefix: 'a/' } }));
  await runs.request(anna, link.id, 'test');
}

function backUp(url: string, to: string): ReturnType<typeof writeBackup> {
  return writeBackup({ url, file: to, product: '0.0.0-test', clock: systemClock });
}

function restore(
  url: string,
  from = file,
  more: { replace?: boolean; steps?: typeof SCHEMA_STEPS } = {},
): Promise<RestoreResult> {
  const fixed = { lock: MIGRATION_LOCK, clock: systemClock };
  return restoreBackup({ url, file: from, replace: false, steps: SCHEMA_STEPS, ...fixed, ...more });
}

/** Every table's rows as text, for those tables a restore keeps as they were. */
async function contents(url: string): Promise<Record<string, string>> {
  const tables = (
    await rowsOf<{ name: string }>(
      url,
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'context_system'::regnamespace AND relkind = 'r'`,
    )
  ).map((row) => row.name);
  const found: Record<string, string> = {};
  for (const name of tables) {
    const rows = await rowsOf<{ r: string }>(
      url,
      `SELECT t::text AS r FROM context_system.${name} t ORDER BY 1`,
    );
    found[name] = createHash('sha256').update(JSON.stringify(rows)).digest('hex');
  }
  return found;
}

async function rowsOf<Row extends object>(url: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}

const without = (all: Record<string, string>, names: readonly string[]): object =>
  Object.fromEntries(Object.entries(all).filter(([name]) => !names.includes(name)));

/** A database of the test's own, dropped after it. */
async function withDatabase<T>(work: (database: TestDatabase) => Promise<T>): Promise<T> {
  const database = await testDatabase();
  try {
    return await work(database);
  } finally {
    await database.drop();
  }
}

/** What a restore begins anew on purpose. */
const BEGUN_ANEW = ['changes', 'feed_horizons', 'outbox', 'sync_links', 'sync_items', 'sync_runs'];

describe('a backup', () => {
  it('holds every table the schema has, all tenants and every row', async () => {
    const [first = ''] = gunzipSync(readFileSync(file)).toString('utf8').split('\n');
    const manifest = JSON.parse(first) as { tables: { name: string; rows: number }[] };
    const tables = await rowsOf<{ name: string }>(
      under.url,
      `SELECT table_name AS name FROM information_schema.tables
       WHERE table_schema = 'context_system' AND table_type = 'BASE TABLE'`,
    );
    expect(manifest.tables.map(({ name }) => name).sort()).toEqual(
      tables.map(({ name }) => name).sort(),
    );
    for (const { name, rows } of manifest.tables) {
      const [counted] = await rowsOf<{ n: number }>(
        under.url,
        `SELECT count(*)::int AS n FROM context_system.${name}`,
      );
      expect([name, rows]).toEqual([name, counted!.n]);
    }
  });

  it('restores into an empty database, and every table is as it was', async () => {
    await withDatabase(async ({ url }) => {
      const result = await restore(url);
      expect(result.migrated).toEqual([]);
      const [before, after] = [await contents(under.url), await contents(url)];
      expect(without(after, BEGUN_ANEW)).toEqual(without(before, BEGUN_ANEW));
    });
  });

  it('leaves no file behind when it is given up', async () => {
    const abort = new AbortController();
    const before = readdirSync(folder);
    const giveUp = writeBackup({
      url: under.url,
      file: join(folder, 'given-up'),
      product: '0',
      clock: systemClock,
      signal: abort.signal,
      onProgress: () => abort.abort(),
    });
    await expect(giveUp).rejects.toThrow();
    expect(readdirSync(folder)).toEqual(before);
  });

  it('takes one moment: what is written meanwhile is in it whole or not at all', async () => {
    let isWritten = false;
    const to = join(folder, 'moment');
    const writes: Promise<unknown>[] = [];
    await writeBackup({
      url: under.url,
      file: to,
      product: '0',
      clock: systemClock,
      onProgress: () => {
        if (!isWritten) writes.push(put(under, anna, 'late/one', 1));
        isWritten = true;
      },
    });
    await Promise.all(writes);
    expect(isWritten).toBe(true);
    await withDatabase(async ({ url }) => {
      await restore(url, to);
      const late = `SELECT 1 FROM context_system.contexts WHERE key = 'late/one'`;
      expect(await rowsOf(url, late)).toEqual([]);
    });
  });
});

describe('a file that is not a whole backup', () => {
  const whole = (): Buffer => readFileSync(file);
  const lines = (): string[] => gunzipSync(whole()).toString('utf8').split('\n');
  const packed = (text: readonly string[]): Buffer => gzipSync(text.join('\n'));
  const flipped = (at: number): Buffer => {
    const bytes = whole();
    bytes[at]! ^= 0x10;
    return bytes;
  };
  it.each([
    ['that is empty', () => Buffer.alloc(0), /BACKUP_(INVALID|DAMAGED)/],
    ['of text', () => Buffer.from('SELECT 1;'), 'BACKUP_INVALID'],
    ['of something else in gzip', () => gzipSync('{"format":"other"}\n'), 'BACKUP_INVALID'],
    ['cut off in the middle', () => whole().subarray(0, whole().length / 2), 'BACKUP_DAMAGED'],
    ['cut off at its last byte', () => whole().subarray(0, -1), 'BACKUP_DAMAGED'],
    ['without its last line', () => packed([...lines().slice(0, -2), '']), 'BACKUP_DAMAGED'],
    ['with a bit flipped', () => flipped(Math.floor(whole().length / 2)), 'BACKUP_DAMAGED'],
    [
      'with a row changed and packed again',
      () => packed(lines().map((line) => line.replace('"a/long"', '"a/wrong"'))),
      'BACKUP_DAMAGED',
    ],
    [
      'with a row left out',
      () => packed(lines().filter((line) => !line.includes('"o/tagged"'))),
      'BACKUP_DAMAGED',
    ],
    [
      'with something after its end',
      () => packed([...lines().slice(0, -1), '["more"]', '']),
      'BACKUP_DAMAGED',
    ],
    [
      'of a newer format',
      () => packed(lines().map((line) => line.replace('"formatVersion":1', '"formatVersion":2'))),
      'BACKUP_TOO_NEW',
    ],
  ])('%s is refused and the store untouched', async (_name, make, code) => {
    const wrong = join(folder, 'wrong');
    writeFileSync(wrong, make());
    const before = await contents(under.url);
    expect(await codeOf(restore(under.url, wrong, { replace: true }))).toMatch(code);
    expect(await contents(under.url)).toEqual(before);
  });

  it('that is not there is told', async () => {
    expect(await codeOf(restore(under.url, join(folder, 'nowhere')))).toBe('NOT_FOUND');
  });

  it('of a newer schema is refused', async () => {
    const steps = SCHEMA_STEPS.slice(0, -1);
    const before = await contents(under.url);
    const code = await codeOf(restore(under.url, file, { replace: true, steps }));
    expect(code).toBe('BACKUP_TOO_NEW');
    expect(await contents(under.url)).toEqual(before);
  });
});

describe('a restore', () => {
  it('into a store that holds data is refused unless told to replace it', async () => {
    const other = await openStore();
    try {
      const caller = await other.addTenant('other');
      await put(other, caller, 'mine', 1);
      expect(await codeOf(restore(other.url))).toBe('STORE_NOT_EMPTY');
      expect(await other.store.contexts.get(caller, asKey('mine'))).toMatchObject({ data: 1 });
      await restore(other.url, file, { replace: true });
      expect(await other.store.contexts.get(caller, asKey('mine'))).toBeNull();
      expect(await other.store.contexts.get(otto, asKey('o/counted'))).toMatchObject({
        data: 3,
        version: 3,
      });
    } finally {
      await other.close();
    }
  });

  it('goes on where the store was: writes, versions, numbers that count by themselves', async () => {
    const other = await openStore();
    try {
      await restore(other.url);
      const { envelope } = await put(other, otto, 'o/counted', 4);
      expect(envelope.version).toBe(4);
      const odd = await other.store.contexts.get(anna, asKey('a/odd'));
      expect(canonicalJson(odd!.data)).toBe(ODD);
    } finally {
      await other.close();
    }
  });

  it('of an older schema is brought up to date', async () => {
    const older = SCHEMA_STEPS.slice(0, 6);
    await withDatabase(async (old) => {
      await buildSchema(old.url, older);
      await rowsOf(
        old.url,
        `INSERT INTO context_system.tenants (id, name) VALUES ('old', 'Old');
         INSERT INTO context_system.changes (tenant_id, key, version, change_type, changed_at)
         VALUES ('old', 'k', 1, 'create', now())`,
      );
      const from = join(folder, 'older');
      await backUp(old.url, from);
      await withDatabase(async ({ url }) => {
        const { migrated } = await restore(url, from);
        expect(migrated).toEqual(SCHEMA_STEPS.slice(6).map((step) => step.name));
        expect(await rowsOf(url, `SELECT key FROM context_system.changes`)).toEqual([{ key: 'k' }]);
        const names = await rowsOf<{ name: string }>(
          url,
          'SELECT name FROM syncline_migrations ORDER BY id',
        );
        expect(names.map((row) => row.name)).toEqual(SCHEMA_STEPS.map((step) => step.name));
      });
    });
  });

  it('that fails at its last step leaves the store as it was', async () => {
    const before = await contents(under.url);
    const broken = {
      name: 'Broken9999999999999',
      timestamp: 9_999_999_999_999,
      up: async () => {
        throw new Error('this step fails');
      },
    };
    const steps = [...SCHEMA_STEPS, broken];
    await expect(restore(under.url, file, { replace: true, steps })).rejects.toThrow('this step');
    expect(await contents(under.url)).toEqual(before);
  });
});

describe('a restore that is killed', () => {
  it('in its middle leaves the store as it was', async () => {
    const before = await contents(under.url);
    const script = fileURLToPath(new URL('../../support/restore-child.ts', import.meta.url));
    const child = spawn(
      process.execPath,
      ['--import', import.meta.resolve('tsx'), script, under.url, file],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const ended = once(child, 'exit');
    const [said] = (await once(child.stdout, 'data')) as [Buffer];
    expect(said.toString()).toContain('loaded');
    child.kill('SIGKILL');
    await ended;
    expect(await contents(under.url)).toEqual(before);
    expect(await under.store.contexts.get(otto, asKey('o/counted'))).toMatchObject({ data: 3 });
  });
});

async function buildSchema(url: string, steps: typeof SCHEMA_STEPS): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(
      'CREATE TABLE syncline_migrations (id serial PRIMARY KEY, "timestamp" bigint NOT NULL, name varchar NOT NULL)',
    );
    for (const step of steps) {
      await client.query('BEGIN');
      await step.up({
        query: async <Row extends object>(sql: string, values?: readonly unknown[]) =>
          (await client.query<Row>(sql, values as unknown[] | undefined)).rows,
      });
      await client.query('COMMIT');
      await client.query('INSERT INTO syncline_migrations ("timestamp", name) VALUES ($1, $2)', [
        step.timestamp,
        step.name,
      ]);
    }
  } finally {
    await client.end();
  }
}

describe('the change feed after a restore into a cluster that counts lower', () => {
  it('shows what was kept in its order, refuses every cursor from before, and skips nothing new', async () => {
    const from = join(folder, 'high');
    const old = await openStore();
    const kept: string[] = [];
    let cursorAfterBackup = '';
    try {
      await restore(old.url);
      // The old cluster was far ahead of this one.
      await old.admin(
        `UPDATE changes SET xid = (xid::text::bigint + 5000000000000000000)::text::xid8 WHERE tenant_id = 'otto'`,
      );
      await backUp(old.url, from);
      const rows = await old.admin<{ key: string; version: number }>(
        `SELECT key, version FROM changes WHERE tenant_id = 'otto' ORDER BY xid, seq`,
      );
      kept.push(...rows.map((row) => `${row.key} ${row.version}`));
      const [last] = await old.admin<{ position: string }>(
        `SELECT max(xid::text::bigint) + 77 || '.9' AS position FROM changes`,
      );
      cursorAfterBackup = last!.position;
    } finally {
      await old.close();
    }
    const fresh = await openStore();
    try {
      await restore(fresh.url, from);
      await untilShown(fresh);
      const { changes, cursor } = await fresh.store.contexts.changes(otto, {
        since: null,
        limit: 100,
      });
      expect(changes.map((change) => `${change.key} ${change.version}`)).toEqual(kept);
      for (const since of [cursorAfterBackup, '1.1']) {
        const asked = fresh.store.contexts.changes(otto, { since, limit: 10 });
        expect(await codeOf(asked)).toBe('CURSOR_EXPIRED');
      }
      await put(fresh, otto, 'o/new', 1);
      await untilShown(fresh);
      const next = await fresh.store.contexts.changes(otto, { since: cursor, limit: 10 });
      expect(next.changes.map((change) => change.key)).toEqual(['o/new']);
    } finally {
      await fresh.close();
    }
  });

  it('gives a tenant without any change a cursor that holds', async () => {
    const fresh = await openStore();
    try {
      await restore(fresh.url);
      const caller = { tenant: 'default', actor: null } as unknown as Caller;
      for (const since of [null, 'now']) {
        const { cursor } = await fresh.store.contexts.changes(caller, { since, limit: 10 });
        const again = await fresh.store.contexts.changes(caller, { since: cursor, limit: 10 });
        expect(again).toEqual({ changes: [], cursor });
      }
    } finally {
      await fresh.close();
    }
  });
});

describe('links after a restore', () => {
  it('begin anew: a new epoch, no base, no run, a fence above every old one, and a wake', async () => {
    const fresh = await openStore();
    try {
      await restore(fresh.url);
      const [before] = await under.admin<{ epoch: number; fence: string }>(
        'SELECT epoch, fence FROM sync_links',
      );
      const [after] = await fresh.admin(
        'SELECT epoch, fence::float8 AS fence, hub_cursor, look_whole, state FROM sync_links',
      );
      expect(after).toMatchObject({
        epoch: before!.epoch + 1,
        hub_cursor: null,
        look_whole: true,
        state: 'active',
      });
      expect(after!['fence']).toBeGreaterThan(1e12);
      expect(await fresh.admin(`SELECT 1 FROM sync_runs WHERE status = 'running'`)).toEqual([]);
      expect(await fresh.admin('SELECT topic FROM outbox')).toEqual([{ topic: 'link.wake' }]);
    } finally {
      await fresh.close();
    }
  });
});
