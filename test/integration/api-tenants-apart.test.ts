/**
 * Two tenants, every call of the contract, every kind of id: with an id of the other tenant a call
 * answers exactly as with one that never was, and the other tenant's rows stay as they are.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CALLS, type Call } from '../../api/contract.ts';
import type { TestAnswer } from '../support/api-under-test.ts';
import { startKeyedApi, type KeyedApi } from '../support/keyed-api.ts';
import { MINE, SAME, seedTenant, type Seeded } from './store/seeded-tenants.ts';

/** In everything the victim ever wrote, and nowhere else. */
const VICTIM = 'victim-of-leaks';
/** Members and parameters that name something of ours. */
const ID_MEMBERS =
  /^(key|keys|linkId|link|runId|planId|conflictId|parentId|parent|tenant|prefix|name)$/;

let api: KeyedApi;
let victim: Seeded;
let thief: string;
/** Key of a third tenant, which never named anything of the victim's. */
let bystander: string;
/** Id of the victim → one of the same form that never was. */
let ids: ReadonlyMap<string, string>;

beforeAll(async () => {
  api = await startKeyedApi();
  victim = await seedTenant(api.under, VICTIM);
  thief = await api.keyFor('thief', ['admin']);
  bystander = await api.keyFor('bystander', ['admin']);
  const [key] = await api.under.admin<{ id: string; name: string }>(
    'SELECT id, name FROM api_keys WHERE tenant_id = $1',
    [VICTIM],
  );
  const uuids = [victim.link.id, victim.runId, victim.conflictId, key!.id];
  const names = [victim.link.name, key!.name, MINE, SAME];
  ids = new Map([
    ...uuids.map((id) => [id, randomUUID()] as const),
    ...names.map((name) => [name, `${randomUUID().slice(0, 6)}${name}`] as const),
  ]);
});
afterAll(() => api.stop());

const steal = (target: string, body?: unknown, headers: Record<string, string> = {}) =>
  api.call(thief, target, { ...(body === undefined ? {} : { body }), headers });

/** Every row of the victim, as text, past all policies. */
async function everything(): Promise<string[]> {
  const tables = await api.under.admin<{ name: string }>(
    `SELECT c.relname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
     WHERE c.relnamespace = 'context_system'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1`,
  );
  const rows: string[] = [];
  for (const { name } of tables) {
    const sql = `SELECT t::text AS row FROM ${name} t WHERE tenant_id = $1 ORDER BY 1`;
    const found = await api.under.admin<{ row: string }>(sql, [VICTIM]);
    rows.push(...found.map(({ row }) => `${name} ${row}`));
  }
  return rows;
}

/** The call's example with one id wherever it names something. */
function requestWith(call: Call, id: string): { target: string; body?: unknown } {
  const path = call.path.replace(/\{\w+\}/g, encodeURIComponent(id));
  const target = `${call.method.toUpperCase()} ${path}`;
  if (call.bodyIs === 'none' || call.example?.body === undefined) return { target };
  return { target, body: withId(call.example.body, id) };
}

function withId(value: unknown, id: string): unknown {
  if (Array.isArray(value)) return value.map((each) => withId(each, id));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      ID_MEMBERS.test(name) && typeof member === 'string' ? id : withId(member, id),
    ]),
  );
}

/** An answer without what differs from request to request. */
function shapeOf({ status, text, headers }: TestAnswer, id: string): object {
  const parts = [encodeURIComponent(id), JSON.stringify(id).slice(1, -1), id];
  const plain = parts.reduce((all, part) => all.replaceAll(part, 'ID'), text);
  return {
    status,
    type: headers.get('content-type'),
    text: status >= 400 ? plain.replace(/"requestId":"[^"]+"/, '') : '',
  };
}

/** What an answer shows of the victim, beside the id it was asked for. */
function leaksOf({ text }: TestAnswer, id: string): string[] {
  const marks = [VICTIM, victim.apiKey, ...[...ids.keys()].filter((each) => each.length === 36)];
  return marks.filter((mark) => mark !== id && text.includes(mark));
}

describe('with an id of another tenant', () => {
  const named = CALLS.filter(
    (call) => call.scope !== null && (call.path.includes('{') || call.example?.body !== undefined),
  );

  it('every call answers as with one that never was, and changes nothing there', async () => {
    const before = await everything();
    expect(before.length).toBeGreaterThan(15);
    for (const call of named) {
      for (const [theirs, none] of ids) {
        const [found, missing] = [requestWith(call, theirs), requestWith(call, none)];
        const one = await steal(found.target, found.body);
        const two = await steal(missing.target, missing.body);
        expect({ call: call.id, theirs, ...shapeOf(one, theirs) }).toEqual({
          call: call.id,
          theirs,
          ...shapeOf(two, none),
        });
        expect([call.id, leaksOf(one, theirs)]).toEqual([call.id, []]);
      }
    }
    expect(await everything()).toEqual(before);
  }, 120_000);

  it('calls about links, runs, plans, conflicts and keys say 404', async () => {
    const uuids = [...ids.keys()].filter((id) => id.length === 36);
    for (const call of named.filter((each) => /\{id\}/.test(each.path) && each.scope !== 'root')) {
      for (const id of uuids) {
        const { target, body } = requestWith(call, id);
        expect([call.id, (await steal(target, body)).status]).toEqual([call.id, 404]);
      }
    }
  });
});

describe('a list', () => {
  it('of anything shows nothing of another tenant, whatever it is filtered by', async () => {
    const filters = [
      `prefix=${encodeURIComponent('p/')}`,
      `parent=${encodeURIComponent(MINE)}`,
      'tag=x',
      'sessionId=s',
    ];
    const targets = [
      '/api/context/list',
      ...filters.map((filter) => `/api/context/list?${filter}`),
      '/api/context/changes',
      '/api/context/analytics',
      '/api/sync/links',
      '/api/sync/conflicts',
      '/api/sync/doctor',
      '/api/admin/keys?revoked=true',
      '/api/admin/audit',
    ];
    for (const target of targets) {
      const answer = await api.call(bystander, `GET ${target}`);
      expect([target, answer.status, leaksOf(answer, '')]).toEqual([target, 200, []]);
    }
  });

  it('of what a search finds is empty, whatever is searched for', async () => {
    for (const query of ['', VICTIM, MINE, 'same for all', 'owner']) {
      for (const options of [{}, { prefix: 'p/' }, { limit: 100 }]) {
        const body = { query, options };
        const answer = await api.call(bystander, 'POST /api/context/search', { body });
        expect([query, answer.status, answer.body['results']]).toEqual([query, 200, []]);
      }
    }
    const reader = await api.keyFor(VICTIM, ['read']);
    const body = { query: 'owner', options: {} };
    const own = await api.call(reader, 'POST /api/context/search', { body });
    expect(own.body['results']).not.toEqual([]);
  });

  it('that is exported holds one’s own contexts alone', async () => {
    const headers = { authorization: `Bearer ${bystander}` };
    for (const query of ['', '?prefix=p%2F']) {
      const answer = await fetch(`${api.url}/api/context/export${query}`, { headers });
      const lines = (await answer.text()).trim().split('\n');
      expect([answer.status, lines.length]).toEqual([200, 1]);
      expect(JSON.parse(lines[0]!)).toMatchObject({ format: 'syncline-export' });
    }
  });

  it('of metrics asked for from elsewhere counts one’s own links alone', async () => {
    const headers = { 'x-forwarded-for': '203.0.113.1' };
    const answer = await api.call(bystander, 'GET /metrics', { headers });
    expect([answer.status, leaksOf(answer, '')]).toEqual([200, []]);
    const mine = await api.call(await api.keyFor(VICTIM, ['read']), 'GET /metrics', { headers });
    expect(mine.text).toContain(victim.link.id);
  });

  it('goes on from another tenant’s cursor in its own rows only', async () => {
    const reader = await api.keyFor(VICTIM, ['admin']);
    for (const path of ['/api/context/changes?limit=1', '/api/admin/audit?limit=1']) {
      const theirs = await api.call(reader, `GET ${path}`);
      const cursor = String(theirs.body['cursor'] ?? theirs.body['nextCursor']);
      const name = path.includes('changes') ? 'since' : 'cursor';
      const answer = await api.call(bystander, `GET ${path}&${name}=${encodeURIComponent(cursor)}`);
      expect([path, answer.status, leaksOf(answer, '')]).toEqual([path, 200, []]);
    }
  });
});

describe('what is named in passing', () => {
  it('a parent of another tenant is no parent', async () => {
    for (const parentId of [MINE, ids.get(MINE)!]) {
      const body = { key: `child of ${parentId}`, data: 1, options: { parentId } };
      const answer = await steal('POST /api/context/store', body);
      expect([answer.status, leaksOf(answer, '')]).toEqual([201, []]);
    }
  });

  it('an `Idempotency-Key` another tenant used is free, and its answer stays there', async () => {
    const writer = await api.keyFor(VICTIM, ['write']);
    const headers = { 'idempotency-key': 'the same for both' };
    const target = 'POST /api/context/store';
    const theirs = { key: 'once', data: VICTIM };
    expect((await api.call(writer, target, { body: theirs, headers })).status).toBe(201);
    const mine = await steal(target, { key: 'once', data: 'mine' }, headers);
    expect([mine.status, mine.headers.get('idempotency-replayed')]).toEqual([201, null]);
    const again = await api.call(writer, target, { body: theirs, headers });
    expect(again.headers.get('idempotency-replayed')).toBe('true');
  });

  it('a tenant is not found, whether it is there or not', async () => {
    for (const [method, path, body] of [
      ['GET', '/api/admin/keys', undefined],
      ['GET', '/api/admin/audit', undefined],
      ['DELETE', `/api/admin/keys/${randomUUID()}`, undefined],
      ['POST', '/api/admin/keys', { name: 'stolen', scopes: ['read'] }],
    ] as const) {
      const ask = (tenant: string): Promise<TestAnswer> =>
        body
          ? steal(`${method} ${path}`, { ...body, tenant })
          : steal(`${method} ${path}?tenant=${tenant}`);
      const there = await ask(VICTIM);
      expect([there.status, there.body['code']]).toEqual([404, 'TENANT_NOT_FOUND']);
      expect(shapeOf(there, VICTIM)).toEqual(shapeOf(await ask('nowhere'), 'nowhere'));
    }
  });

  it('a key’s name taken in another tenant is free', async () => {
    const answer = await steal('POST /api/admin/keys', { name: 'the key', scopes: ['read'] });
    expect(answer.status).toBe(201);
  });
});
