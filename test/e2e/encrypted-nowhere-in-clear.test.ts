/**
 * An encrypted body appears nowhere in clear. A canary goes every way a body can go, through the real
 * product; then everything that was written anywhere is searched for it, in whatever spelling.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Redis } from 'ioredis';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../domain/clock.ts';
import { hashJson } from '../../domain/hash.ts';
import type { Json } from '../../domain/json.ts';
import { writeBackup } from '../../store/backup/write-backup.ts';
import { newMasterKey, spellingsOf } from '../support/encryption.ts';
import { testRedis } from '../support/servers.ts';
import { startSyncline, type SynclineProcess } from '../support/syncline-process.ts';
import { historyText } from '../support/temporal-history.ts';

const CANARY = `canary${randomBytes(12).toString('hex')}`;
const MASTER = newMasterKey();
const SOON = { timeout: 20_000, interval: 50 };
/** Large enough to be compressed, so that neither can hide the other. */
const LARGE = { word: CANARY, text: `${CANARY} `.repeat(200) };

let syncline: SynclineProcess;
let redis: Redis;
let linkId: string;
/** What the process said before it was killed. */
let saidBefore = '';
/** Every body that was ever sent: nothing kept may be guessed from. */
const sent: Json[] = [];

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly replayed: boolean;
}

async function send(
  method: string,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const isText = typeof body === 'string';
  const response = await fetch(`${syncline.url}${path}`, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: isText ? body : JSON.stringify(body) }),
  });
  const replayed = response.headers.get('idempotency-replayed') === 'true';
  return { status: response.status, text: await response.text(), replayed };
}

function store(key: string, data: Json, options: object = {}, headers = {}): Promise<Answer> {
  sent.push(data);
  const body = { key, data, options: { encrypt: true, ttl: null, ...options } };
  return send('POST', '/api/context/store', body, headers);
}

function update(key: string, data: Json, options: object = {}, headers = {}): Promise<Answer> {
  sent.push(data);
  const path = `/api/context/update/${encodeURIComponent(key)}`;
  return send('PUT', path, { data, options }, headers);
}

const read = async (key: string): Promise<unknown> => {
  const { text } = await send('GET', `/api/context/get/${encodeURIComponent(key)}`, undefined);
  return (JSON.parse(text) as { data: unknown }).data;
};

/** Names that anybody could compute who guesses a body. */
function guesses(): string[] {
  return sent.flatMap((body) => {
    const hash = hashJson(body);
    return [hash, Buffer.from(hash, 'hex').toString('base64')];
  });
}

function expectNothingIn(text: string, where: string): void {
  expect(text.length, `${where} is empty`).toBeGreaterThan(0);
  for (const spelling of [...spellingsOf(CANARY), ...guesses(), MASTER]) {
    expect(text.includes(spelling), `${spelling} is in ${where}`).toBe(false);
  }
}

beforeAll(async () => {
  redis = new Redis(testRedis().url);
  syncline = await startSyncline({
    config: { log: { level: 'trace' }, security: { encryption: { key: MASTER } } },
  });
}, 120_000);
afterAll(async () => {
  redis.disconnect();
  await syncline.close();
});

describe('a canary in encrypted contexts', () => {
  it('is stored, updated, merged, appended, rolled back, batched, deleted, and comes back', async () => {
    expect((await store('s/one', { word: CANARY })).status).toBe(201);
    expect((await store('s/large', LARGE)).status).toBe(201);
    expect(await read('s/large')).toEqual(LARGE);
    expect((await update('s/one', { more: CANARY }, { changeType: 'merge' })).status).toBe(200);
    expect(await read('s/one')).toEqual({ word: CANARY, more: CANARY });
    expect((await update('s/one', { list: [CANARY] }, { changeType: 'append' })).status).toBe(200);
    const rolled = await send('POST', '/api/context/rollback/s%2Fone', { version: 1 });
    expect(rolled.status).toBe(200);
    const operations = [
      { op: 'store', key: 's/batch', data: { word: CANARY }, options: { encrypt: true } },
      { op: 'get', key: 's/large' },
      { op: 'update', key: 's/one', data: { word: CANARY, nth: 2 } },
    ];
    const headers = { 'idempotency-key': randomUUID() };
    const batch = await send('POST', '/api/context/batch', { operations }, headers);
    expect([batch.status, batch.replayed]).toEqual([200, false]);
    expect(batch.text).toContain(CANARY);
    const again = await send('POST', '/api/context/batch', { operations }, headers);
    expect(again).toEqual({ ...batch, replayed: true });
    expect((await store('s/gone', { word: CANARY })).status).toBe(201);
    expect((await send('DELETE', '/api/context/delete/s%2Fgone', undefined)).status).toBe(200);
  });

  it('is answered again, refused as another request, and refused at another version', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const first = await store('s/twice', { word: CANARY }, {}, headers);
    expect(first).toMatchObject({ status: 201, replayed: false });
    expect(await store('s/twice', { word: CANARY }, {}, headers)).toEqual({
      ...first,
      replayed: true,
    });
    const other = await store('s/twice', { word: CANARY, other: 1 }, {}, headers);
    expect(other.status).toBe(409);
    expect(other.text).toContain('IDEMPOTENCY_MISMATCH');
    const conflict = { 'idempotency-key': randomUUID() };
    const stale = await update('s/twice', { word: CANARY, stale: 1 }, { ifVersion: 7 }, conflict);
    expect([stale.status, stale.text.includes(CANARY)]).toEqual([409, false]);
  });

  it('is in no error about it: bad fields, broken JSON, wrong numbers, too deep, too large', async () => {
    const body = { key: 's/bad', data: { word: CANARY }, options: { encrypt: true } };
    const nested = JSON.stringify(CANARY).padStart(300, '[').padEnd(600, ']');
    const bad: [unknown, number][] = [
      [{ ...body, unknown: 1 }, 400],
      [{ ...body, options: { encrypt: 'yes' } }, 400],
      [JSON.stringify(body).slice(0, -1), 400],
      [JSON.stringify(body).replace(CANARY, `${CANARY}\\ud800`), 400],
      [JSON.stringify(body).replace(`"${CANARY}"`, `"${CANARY}" ${CANARY}`), 400],
      [JSON.stringify(body).replace(`"${CANARY}"`, `["${CANARY}",1e999]`), 400],
      [JSON.stringify(body).replace(`"${CANARY}"`, nested), 400],
      [{ ...body, data: LARGE.text.repeat(3_000) }, 413],
    ];
    for (const [given, status] of bad) {
      const answer = await send('POST', '/api/context/store', given);
      expect([answer.status, answer.text.includes(CANARY)]).toEqual([status, false]);
    }
  });

  it('is found by no search, and in no export, but for what is not encrypted', async () => {
    for (const [query, hits] of [
      [CANARY, []],
      ['s/large', ['s/large']],
    ] as const) {
      const { status, text } = await send('POST', '/api/context/search', { query });
      expect(status).toBe(200);
      const { results } = JSON.parse(text) as { results: { key: string }[] };
      expect(results.map(({ key }) => key).filter((key) => key === 's/large')).toEqual(hits);
      if (hits.length === 0) expect(results).toEqual([]);
    }
    const exported = await send('GET', '/api/context/export', undefined);
    expect(exported.status).toBe(200);
    expectNothingIn(exported.text, 'the export');
  });

  it('rests beside what a link carries, through runs and plans', async () => {
    const root = join(syncline.folder, 'project');
    mkdirSync(join(root, '.factory'), { recursive: true });
    const link = await syncline.client.links.create({
      name: 'project',
      connector: 'factory-files',
      config: { root },
      scope: { prefix: 'm/' },
    });
    linkId = link.id;
    const memory = (name: string, observations: string[]): Json => {
      return { name, type: 'note', observations, relations: [] };
    };
    const plain = memory('Open', ['everybody may know']);
    const options = { kind: 'memory', ttl: null };
    await syncline.client.store('m/open', plain, options);
    const secret = memory('Secret', [`the word is ${CANARY}`]);
    expect((await store('m/secret', secret, { kind: 'memory' })).status).toBe(201);
    const filed = (): string =>
      readdirSync(join(root, '.factory'), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
        .join('\n');
    await vi.waitFor(() => expect(filed()).toContain('everybody may know'), SOON);
    await vi.waitFor(async () => {
      const items = await syncline.client.links.quarantined(link.id);
      expect(items).toMatchObject([{ key: 'm/secret', code: 'ITEM_ENCRYPTED' }]);
    }, SOON);
    await syncline.client.runs.plan(link.id);
    const later = memory('Secret', [`the word is still ${CANARY}`]);
    expect((await update('m/secret', later)).status).toBe(200);
    const run = await syncline.client.runs.start(link.id, 'look');
    await vi.waitFor(async () => {
      expect((await syncline.client.runs.get(run.runId)).status).toBe('settled');
    }, SOON);
    expect(filed()).not.toContain(CANARY);
  });

  it('is sealed anew by a rotation in the background, also when it is killed in between', async () => {
    const many = Array.from({ length: 900 }, (_, nth) => ({
      op: 'store',
      key: `k/${nth}`,
      data: { word: CANARY, nth },
      options: { encrypt: true },
    }));
    sent.push(...many.map(({ data }) => data));
    expect((await send('POST', '/api/context/batch', { operations: many })).status).toBe(200);
    const begun = await syncline.client.encryption.rotate();
    expect(begun).toMatchObject({ state: 'running' });
    saidBefore = syncline.log();
    await syncline.kill();
    await syncline.start();
    await vi.waitFor(async () => {
      expect(await syncline.client.encryption.rotation()).toMatchObject({ state: 'idle' });
    }, SOON);
    expect(await read('s/large')).toEqual(LARGE);
    expect(await read('k/899')).toEqual({ word: CANARY, nth: 899 });
  }, 60_000);
});

describe('what was written of it', () => {
  it('is in no table, and no compressed body', async () => {
    const client = new pg.Client({ connectionString: syncline.databaseUrl });
    await client.connect();
    try {
      const tables = await client.query<{ name: string }>(
        `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`,
      );
      let all = '';
      for (const { name } of tables.rows) {
        const rows = await client.query<{ text: string }>(`SELECT t::text AS text FROM ${name} t`);
        all += rows.rows.map((row) => row.text).join('\n');
      }
      expectNothingIn(all, 'Postgres');
      // What is not encrypted is found this way.
      expect(all).toContain('m/secret');
      expect(all).toContain(Buffer.from('everybody may know').toString('hex'));
      const packed = await client.query<{ body: Buffer }>(
        `SELECT body FROM context_system.blobs WHERE codec = 'gzip' AND key_id IS NULL`,
      );
      for (const { body } of packed.rows) {
        expect(gunzipSync(body).toString().includes(CANARY)).toBe(false);
      }
      const sealed = await client.query(
        'SELECT 1 FROM context_system.blobs WHERE key_id IS NOT NULL',
      );
      expect(sealed.rowCount).toBeGreaterThan(8);
    } finally {
      await client.end();
    }
  });

  it('is not in Redis, the queues of jobs included', async () => {
    let all = '';
    for await (const keys of redis.scanStream({ count: 500 })) {
      for (const key of keys as string[]) all += `${key}\n${await valueOf(key)}\n`;
    }
    expect(all).toContain('re-encrypt');
    expectNothingIn(all, 'Redis');
  });

  async function valueOf(key: string): Promise<string> {
    switch (await redis.type(key)) {
      case 'string':
        return (await redis.get(key)) ?? '';
      case 'hash':
        return JSON.stringify(await redis.hgetall(key));
      case 'list':
        return JSON.stringify(await redis.lrange(key, 0, -1));
      case 'set':
        return JSON.stringify(await redis.smembers(key));
      case 'zset':
        return JSON.stringify(await redis.zrange(key, '0', '-1'));
      case 'stream':
        return JSON.stringify(await redis.xrange(key, '-', '+'));
      default:
        return '';
    }
  }

  it('is not in a backup', async () => {
    const file = join(syncline.folder, 'all.backup');
    const url = syncline.databaseUrl;
    await writeBackup({ url, file, product: '0.0.0', clock: systemClock });
    const all = gunzipSync(readFileSync(file)).toString();
    expect(all).toContain('encryption_keys');
    expectNothingIn(all, 'the backup');
  });

  it('is not in the histories of Temporal', async () => {
    const { workflows, temporal } = syncline;
    let all = '';
    for await (const { workflowId, runId } of workflows.workflow.list({
      query: `TaskQueue = '${temporal.taskQueue}'`,
    })) {
      all += historyText(await workflows.workflow.getHandle(workflowId, runId).fetchHistory());
    }
    expect(all).toContain(linkId);
    expectNothingIn(all, 'Temporal');
  });

  it('is not in the log, at its most talkative', () => {
    const log = saidBefore + syncline.log();
    expect(log).toContain('/api/context/store');
    expectNothingIn(log, 'the log');
  });
});
