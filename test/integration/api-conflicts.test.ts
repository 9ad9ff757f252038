import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiServer } from '../../api/server.ts';
import { ContextClient, SyncError, type BulkResult } from '../../client/index.ts';
import { createFakeRemote, type FakeRemote } from '../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../connectors/fake/fake-type.ts';
import type { Link } from '../../domain/link.ts';
import { runTestCli } from '../support/cli-under-test.ts';
import { callApi, startTestApi, testApiDeps } from '../support/api-under-test.ts';
import { createTestEngine, type TestEngine } from '../support/engine.ts';

const remotes = new Map<string, FakeRemote>();
let engine: TestEngine;
let api: ApiServer;
let client: ContextClient;
let count = 0;

beforeAll(async () => {
  remotes.set('first', createFakeRemote({ grade: 'A' }));
  engine = await createTestEngine({ types: [createFakeType(remotes)] });
  api = await startTestApi(testApiDeps(engine.store));
  client = new ContextClient({ url: api.url });
});
afterAll(async () => {
  client.close();
  await api.stop(1000);
  await engine.close();
});

const memory = (name: string, type: string) => ({ name, type, observations: [], relations: [] });

/** A link whose items of these names are in conflict over their type. */
async function contested(names: readonly string[]) {
  count += 1;
  const remote = createFakeRemote({ grade: 'A' });
  remotes.set(`r${count}`, remote);
  const prefix = `a${count}/`;
  const link = await engine.addLink('fake', { remote: `r${count}` }, { scope: { prefix } });
  for (const name of names) remote.put(memory(name, 'thing'));
  await engine.drain(link);
  for (const name of names) {
    remote.put(memory(name, 'remote type'));
    await put(`${prefix}${name.toLowerCase()}`, memory(name, 'hub type'));
  }
  const result = await engine.drain(link);
  expect(result).toMatchObject({ status: 'settled', counters: { conflicts: names.length } });
  const { items } = await client.conflicts.list({ linkId: link.name, status: 'open' });
  return { link, remote, prefix, conflicts: items };
}

const put = (key: string, data: object) => client.store(key, data, { kind: 'memory', ttl: null });

const cli = (...args: string[]) => runTestCli(args, { environment: { url: api.url } });

describe('a stale resolution', () => {
  it('answers 409 with the conflict as it is now, and the command says where to look', async () => {
    const { prefix, conflicts } = await contested(['Ann']);
    await put(`${prefix}ann`, memory('Ann', 'hub again'));
    const { id } = conflicts[0]!;
    const path = `POST /api/sync/conflicts/${id}/resolve`;
    const answer = await callApi(api.url, path, { body: { choice: 'hub' } });
    expect([answer.status, answer.body['code']]).toEqual([409, 'CONFLICT_MOVED']);
    expect(answer.body['conflict']).toMatchObject({ id, hub: { type: 'hub again' } });
    const moved = await client.conflicts.resolve(id, { choice: 'hub' }).catch((e: unknown) => e);
    expect(moved).toBeInstanceOf(SyncError);
    const told = await cli('conflicts', 'resolve', id, '--choice', 'hub');
    expect(told.code).toBe(1);
    expect(told.stderr).toContain(`syncline conflicts show ${id}`);
  });
});

describe('many conflicts at once', () => {
  it('are previewed and resolved from the command line', async () => {
    const { link, remote, prefix } = await contested(['Ann', 'Bob', 'Cleo']);
    const all = ['conflicts', 'resolve', '--all', '--link', link.name];
    const preview = await cli(...all, '--choice', 'remote', '--preview');
    expect(preview.code).toBe(0);
    expect(preview.stdout).toContain('3 would be resolved; nothing was changed.');
    expect(preview.stdout).toContain('hub type');
    expect((await client.conflicts.list({ linkId: link.id, status: 'open' })).items).toHaveLength(
      3,
    );
    const some = await cli(...all, '--choice', 'remote', '--prefix', `${prefix}b`);
    expect(some.stdout).toContain('1 resolved');
    await put(`${prefix}cleo`, memory('Cleo', 'hub again'));
    const rest = await cli(...all, '--choice', 'remote', '--json');
    expect(rest.code).toBe(4);
    const result = JSON.parse(rest.stdout) as BulkResult;
    const told = result.items.map(({ key, status, code }) => [key, status, code]);
    expect(told.toSorted()).toEqual([
      [`${prefix}ann`, 'resolved', undefined],
      [`${prefix}cleo`, 'refused', 'CONFLICT_MOVED'],
    ]);
    await engine.drain(link);
    expect(remote.get('Bob')).toMatchObject({ type: 'remote type' });
  });

  it.each([
    ['conflicts resolve'],
    ['conflicts resolve --all --choice hub'],
    ['conflicts resolve --all --link l'],
    ['conflicts resolve id --all --link l --choice hub'],
    ['conflicts resolve --all --link l --choice hub --value 1'],
    ['conflicts resolve id --choice hub --preview'],
    ['conflicts resolve id --choice theirs'],
    ['sync wait l k 0'],
    ['sync wait l k one'],
    ['link fallback l'],
    ['link fallback l --off --strategy latest'],
    ['link fallback l --strategy manual --after-ms 5000'],
  ])('`%s` is a usage fault', async (line) => {
    expect((await cli(...line.split(' '))).code).toBe(2);
  });
});

describe('bad input', () => {
  let link: Link;
  beforeAll(async () => {
    ({ link } = await contested(['Zoe']));
  });

  it.each([
    [{}, 400],
    [{ choice: 'hub' }, 400],
    [{ linkId: 'LINK' }, 400],
    [{ linkId: 'LINK', choice: 'value' }, 400],
    [{ linkId: 'LINK', choice: 'hub', value: 1 }, 400],
    [{ linkId: 'LINK', choice: 'hub', filter: { reason: 'because' } }, 400],
    [{ linkId: 'LINK', choice: 'hub', filter: { status: 'open' } }, 400],
    [{ linkId: 'LINK', choice: 'hub', filter: { key: '' } }, 400],
    [{ linkId: 'LINK', choice: 'hub', filter: { prefix: '\u0000' } }, 400],
    [{ linkId: 'LINK', choice: 'hub', filter: [] }, 400],
    [{ linkId: 'LINK', choice: 'hub', preview: 'yes' }, 400],
    [{ linkId: 'LINK', choice: 'hub', limit: 0 }, 400],
    [{ linkId: 'LINK', choice: 'hub', limit: 1001 }, 400],
    [{ linkId: 'LINK', choice: 'hub', cursor: 'x' }, 400],
    [{ linkId: 'nobody', choice: 'hub' }, 404],
    ['{"linkId":', 400],
    ['null', 400],
  ])('in a bulk resolve, %j is refused whole with %i', async (given, status) => {
    const body =
      typeof given === 'string' ? given : JSON.stringify(given).replace('LINK', link.name);
    const answer = await callApi(api.url, 'POST /api/sync/conflicts/resolve', { body });
    expect(answer.status).toBe(status);
    expect((await client.conflicts.list({ linkId: link.id, status: 'open' })).items).toHaveLength(
      1,
    );
  });

  it.each([
    [{ choice: 'hub', ifRevision: 0 }],
    [{ choice: 'hub', ifRevision: 1.5 }],
    [{ choice: 'hub', ifRevision: '1' }],
    [{ choice: 'hub', by: '' }],
    [{ choice: 'hub', force: true }],
    [{ choice: 'value', value: { name: 'Zoe' } }],
  ])('in a resolve, %j is refused and nothing changes', async (body) => {
    const [conflict] = (await client.conflicts.list({ linkId: link.id, status: 'open' })).items;
    const path = `POST /api/sync/conflicts/${conflict!.id}/resolve`;
    const answer = await callApi(api.url, path, { body });
    expect([answer.status, answer.body['code']]).toEqual([400, 'VALIDATION']);
    expect(await client.conflicts.get(conflict!.id)).toEqual(conflict);
  });

  it.each([
    [{}, 'VALIDATION'],
    [{ version: 0 }, 'VALIDATION'],
    [{ version: 1.5 }, 'VALIDATION'],
    [{ version: 3_000_000_000 }, 'VALIDATION'],
    [{ version: '1' }, 'VALIDATION'],
    [{ version: 1, timeoutMs: -1 }, 'VALIDATION'],
    [{ version: 1, timeoutMs: 30_001 }, 'VALIDATION'],
    [{ version: 1, key: '' }, 'INVALID_KEY'],
    [{ version: 1, key: 'nobody' }, 'CONTEXT_NOT_FOUND'],
    [{ version: 99 }, 'VERSION_NOT_FOUND'],
    [{ version: 1, linkId: 'nobody' }, 'LINK_NOT_FOUND'],
    [{ version: 1, more: true }, 'VALIDATION'],
  ])('in a wait, %j is refused with %s', async (more, code) => {
    const body = { key: `${link.scope.prefix}zoe`, linkId: link.id, timeoutMs: 0, ...more };
    const answer = await callApi(api.url, 'POST /api/sync/wait', { body });
    expect(answer.body['code']).toBe(code);
  });

  it.each([
    [{ afterMs: 999, strategy: 'latest' }],
    [{ afterMs: 1.5, strategy: 'latest' }],
    [{ afterMs: 5000, strategy: 'manual' }],
    [{ afterMs: 5000, strategy: 'three-way' }],
    [{ afterMs: 5000 }],
    [{ afterMs: 5000, strategy: 'latest', by: 'me' }],
    ['latest'],
  ])('a conflictFallback of %j is refused and the link stays as it was', async (fallback) => {
    const body = { conflictFallback: fallback };
    const answer = await callApi(api.url, `PATCH /api/sync/links/${link.id}`, { body });
    expect([answer.status, answer.body['code']]).toEqual([400, 'VALIDATION']);
    expect((await client.links.get(link.id)).conflictFallback).toBeNull();
  });
});

describe('waiting for a write', () => {
  it('answers at once what is known, and 0 ms only looks', async () => {
    const { link, prefix, conflicts } = await contested(['Ann']);
    const { version } = (await client.get(`${prefix}ann`))!;
    const wait = { key: `${prefix}ann`, version, linkId: link.name };
    expect(await client.runs.waitForWrite(wait)).toEqual({
      outcome: 'conflict',
      version,
      conflictId: conflicts[0]!.id,
    });
    const told = await cli('sync', 'wait', link.name, wait.key, String(version));
    expect(told.code).toBe(4);
    const next = await put(`${prefix}new`, memory('New', 'thing'));
    const look = { key: `${prefix}new`, version: next.version, linkId: link.name, timeoutMs: 0 };
    expect(await client.runs.waitForWrite(look)).toEqual({ outcome: 'timeout' });
    const gaveUp = await cli('sync', 'wait', link.name, look.key, '1', '--timeout', '0');
    expect([gaveUp.code, gaveUp.stdout.trim()]).toEqual([1, `\`${look.key}\` timeout`]);
  });

  it('answers when the pass has carried it over', async () => {
    const { link, prefix } = await contested(['Ann']);
    const { version } = await put(`${prefix}new`, memory('New', 'thing'));
    const waiting = cli('sync', 'wait', link.name, `${prefix}new`, String(version), '--json');
    await engine.drain(link);
    const { code, stdout } = await waiting;
    expect([code, JSON.parse(stdout)]).toEqual([0, { outcome: 'accepted', version }]);
  });
});

describe('the fallback of a link', () => {
  it('is given, shown and taken away from the command line', async () => {
    const { link } = await contested(['Ann']);
    const given = ['--strategy', 'latest', '--after-ms', '28800000'];
    expect((await cli('link', 'fallback', link.name, ...given)).code).toBe(0);
    expect((await cli('link', 'show', link.name)).stdout).toContain('decided by latest');
    const [conflict] = (await client.conflicts.list({ linkId: link.id, status: 'open' })).items;
    expect(Date.parse(conflict!.dueAt!)).toBeGreaterThan(Date.parse(conflict!.createdAt));
    expect((await cli('conflicts', 'show', conflict!.id)).stdout).toContain('fallback at');
    expect((await cli('link', 'fallback', link.name, '--off')).code).toBe(0);
    expect((await client.conflicts.get(conflict!.id)).dueAt).toBeNull();
  });
});
