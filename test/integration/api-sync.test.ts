import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContextClient, SyncError } from '../../client/index.ts';
import { callApi } from '../support/api-under-test.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

let api: RealApi;
let client: ContextClient;

beforeAll(async () => {
  api = await startRealApi();
  client = new ContextClient({ url: api.url });
});
afterAll(async () => {
  client.close();
  await api.stop();
});

const newLink = (name: string) => ({
  name,
  connector: 'files',
  config: { root: '/allowed/a' },
  scope: { prefix: 'p/' },
});

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (caught: unknown) => caught,
  );
  return error instanceof SyncError ? error.code : String(error);
}

describe('links', () => {
  it('are listed by name, a page at a time, and all of them by the client', async () => {
    const names = ['page-a', 'page-b', 'page-c', 'page-d', 'page-e'];
    for (const name of names.toReversed()) await client.links.create(newLink(name));
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? '' : `&cursor=${cursor}`;
      const { status, body } = await callApi(api.url, `GET /api/sync/links?limit=2${query}`);
      expect(status).toBe(200);
      const items = body['items'] as { name: string; grade: string }[];
      expect(items.length).toBeLessThanOrEqual(2);
      expect(items.every(({ grade }) => grade === 'C')).toBe(true);
      seen.push(...items.map(({ name }) => name));
      cursor = body['nextCursor'] as string | null;
    } while (cursor !== null);
    expect(seen).toEqual(names);
    const page = await client.links.page({ limit: 4 });
    expect(page.items.map(({ name }) => name)).toEqual(names.slice(0, 4));
    const rest = await client.links.page({ cursor: page.nextCursor! });
    expect(rest).toMatchObject({ items: [{ name: 'page-e' }], nextCursor: null });
    expect((await client.links.list()).map(({ name }) => name)).toEqual(names);
    for (const name of names) await client.links.remove(name);
  });

  it.each([
    ['limit=0', 'VALIDATION'],
    ['limit=1001', 'VALIDATION'],
    ['limit=x', 'VALIDATION'],
    ['offset=1', 'VALIDATION'],
    ['cursor=', 'INVALID_CURSOR'],
    ['cursor=nonsense', 'INVALID_CURSOR'],
    ['cursor=WyJhIiwxXQ', 'INVALID_CURSOR'],
  ])('are not listed by %s: 400 %s', async (query, code) => {
    const { status, body } = await callApi(api.url, `GET /api/sync/links?${query}`);
    expect([status, body['code']]).toEqual([400, code]);
  });

  it('are made, found by id and name, changed and removed', async () => {
    const link = await client.links.create(newLink('one'));
    expect(link).toMatchObject({ state: 'active', grade: 'C', trigger: 'auto', epoch: 1 });
    expect(await client.links.get(link.id)).toEqual(await client.links.get('one'));
    expect((await client.links.list()).map((each) => each.name)).toContain('one');
    const patched = await client.links.patch('one', {
      name: 'uno',
      strategy: 'latest',
      guards: { maxDeleteCount: 3 },
    });
    expect(patched.guards).toMatchObject({ maxDeletePercent: 50, maxDeleteCount: 3 });
    expect(patched.epoch).toBe(2);
    expect((await client.links.reset('uno')).epoch).toBe(3);
    expect((await client.links.status('uno')).conflicts).toBe(0);
    expect(await client.links.quarantined('uno')).toEqual([]);
    expect(await client.links.remove('uno')).toEqual({ id: link.id, name: 'uno', removed: true });
    expect(await codeOf(client.links.get(link.id))).toBe('LINK_NOT_FOUND');
  });

  it('have names of their own', async () => {
    await client.links.create(newLink('twice'));
    expect(await codeOf(client.links.create(newLink('twice')))).toBe('VALIDATION');
    await client.links.create(newLink('other'));
    expect(await codeOf(client.links.patch('other', { name: 'twice' }))).toBe('VALIDATION');
  });

  it('are refused with the connector’s own code, and then nothing is stored', async () => {
    const before = await client.links.list();
    const unknown = client.links.create({ ...newLink('bad'), connector: 'nope' });
    expect(await codeOf(unknown)).toBe('VALIDATION');
    const outside = client.links.create({ ...newLink('bad'), config: { root: '/etc' } });
    expect(await codeOf(outside)).toBe('CONNECTOR_NOT_ALLOWED');
    expect(await client.links.list()).toEqual(before);
  });
});

describe('runs', () => {
  it('start with 202, are listed, and join one that waits', async () => {
    await client.links.create(newLink('runs'));
    const started = await client.runs.start('runs', 'by hand');
    expect(started.workflowId).toMatch(/^sync\/default\//);
    const run = await client.runs.get(started.runId);
    expect([run.status, run.temporalUrl]).toEqual(['running', started.temporalUrl]);
    expect((await client.runs.start('runs')).runId).toBe(started.runId);
    expect((await client.runs.list('runs')).items.map((each) => each.id)).toEqual([started.runId]);
    expect(await client.runs.ops(started.runId)).toEqual([]);
  });

  it('of a paused link are refused', async () => {
    await client.links.create(newLink('paused'));
    expect((await client.links.pause('paused')).state).toBe('paused');
    expect(await codeOf(client.runs.start('paused'))).toBe('LINK_PAUSED');
    expect((await client.links.resume('paused')).state).toBe('active');
    expect(await codeOf(client.runs.start('paused'))).toBe('null');
  });
});

describe('ids that name nothing', () => {
  it.each([
    ['GET /api/sync/links/ID', 'LINK_NOT_FOUND'],
    ['GET /api/sync/links/ID/status', 'LINK_NOT_FOUND'],
    ['DELETE /api/sync/links/ID', 'LINK_NOT_FOUND'],
    ['POST /api/sync/links/ID/runs', 'LINK_NOT_FOUND'],
    ['GET /api/sync/runs/ID', 'RUN_NOT_FOUND'],
    ['GET /api/sync/runs/ID/ops', 'RUN_NOT_FOUND'],
    ['POST /api/sync/plans/ID/approve', 'PLAN_NOT_FOUND'],
    ['GET /api/sync/conflicts/ID', 'CONFLICT_NOT_FOUND'],
    ['GET /api/sync/conflicts?linkId=ID', 'LINK_NOT_FOUND'],
  ])('%s answers 404 %s, whatever the id looks like', async (target, code) => {
    const ids = ['nope', '00000000-0000-7000-8000-000000000000', '12', "' or 1=1 --", '%20', '😀'];
    for (const id of ids) {
      const answer = await callApi(api.url, target.replace('ID', encodeURIComponent(id)));
      expect([id, answer.status, answer.body['code']]).toEqual([id, 404, code]);
    }
  });

  it('a conflict that is not there cannot be resolved', async () => {
    const resolve = client.conflicts.resolve('nope', { choice: 'hub' });
    expect(await codeOf(resolve)).toBe('CONFLICT_NOT_FOUND');
    expect((await client.conflicts.list()).items).toEqual([]);
  });
});

describe('connectors', () => {
  it('are listed with the grade and what it guarantees', async () => {
    const [connector] = await client.connectors();
    expect(connector).toMatchObject({ kind: 'files', grade: 'C' });
    expect(connector?.guarantee).toMatch(/lost/);
  });
});
