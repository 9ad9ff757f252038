/** Audits and metrics from outside: who may ask, what is answered, what is refused. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContextClient } from '../../client/index.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { AuthConfig } from '../../api/ports.ts';
import { createStoreDouble } from '../support/store-double.ts';
import { callApi, startTestApi, testApiDeps } from '../support/api-under-test.ts';
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

describe('POST /api/sync/links/:id/audits', () => {
  it('answers 202 with a run of mode audit, and joins it when asked again', async () => {
    const link = await client.links.create(newLink('audited'));
    const started = await client.runs.audit('audited');
    expect(started.workflowId).toBe(`sync/default/${link.id}`);
    expect(await client.runs.get(started.runId)).toMatchObject({
      status: 'running',
      mode: 'audit',
      trigger: 'audit',
    });
    expect((await client.runs.audit(link.id)).runId).toBe(started.runId);
    const answer = await callApi(api.url, 'POST /api/sync/links/audited/audits');
    expect(answer.headers.get('location')).toBe(`/api/sync/runs/${started.runId}`);
  });

  it('refuses a link that is not there or paused, a body, a query and another method', async () => {
    await client.links.create(newLink('resting'));
    await client.links.pause('resting');
    const ask = (target: string, body?: unknown) => callApi(api.url, target, { body });
    const code = async (target: string, body?: unknown) =>
      [(await ask(target, body)).status, (await ask(target, body)).body['code']] as const;
    expect(await code('POST /api/sync/links/none/audits')).toEqual([404, 'LINK_NOT_FOUND']);
    expect(await code('POST /api/sync/links/resting/audits')).toEqual([409, 'LINK_PAUSED']);
    expect(await code('POST /api/sync/links/resting/audits?x=1')).toEqual([400, 'VALIDATION']);
    expect(await code('GET /api/sync/links/resting/audits')).toEqual([405, 'METHOD_NOT_ALLOWED']);
  });
});

describe('GET /metrics', () => {
  it('shows numbers per link, in Prometheus’ format, and no names or keys', async () => {
    const link = await client.links.create(newLink('measured'));
    const { text, headers, status } = await callApi(api.url, 'GET /metrics');
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(text).toContain(`syncline_link_items{link="${link.id}"} 0\n`);
    expect(text).toContain('# TYPE syncline_link_runs_total counter\n');
    expect(text).not.toContain('measured');
    for (const line of text.trimEnd().split('\n')) {
      expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+(\{[^{}]*\})? [0-9.e+-]+)$/);
    }
  });

  it('needs a key with the scope read when it is asked through a proxy, and shows that tenant', async () => {
    const asked: (TenantId | null)[] = [];
    const store = createStoreDouble();
    const auth: AuthConfig = {
      mode: 'keys',
      lookup: async (key) =>
        key === 'reader' || key === 'writer'
          ? {
              tenant: 'acme' as TenantId,
              name: key,
              scopes: [key === 'reader' ? 'read' : 'write'],
            }
          : null,
    };
    const metrics = {
      links: async (tenant: TenantId | null) => {
        asked.push(tenant);
        return { links: 0, perLink: [] };
      },
    };
    const server = await startTestApi(testApiDeps({ ...store, metrics }, { auth }));
    const far = { 'x-forwarded-for': '192.0.2.7' };
    const get = async (headers: Record<string, string>) =>
      (await callApi(server.url, 'GET /metrics', { headers })).status;
    expect(await get({})).toBe(200);
    expect(await get(far)).toBe(401);
    expect(await get({ ...far, authorization: 'Bearer writer' })).toBe(403);
    expect(await get({ ...far, authorization: 'Bearer reader' })).toBe(200);
    expect(asked).toEqual([null, 'acme']);
    // Scrapes in quick succession share an answer, each tenant its own.
    for (let nth = 0; nth < 3; nth += 1) {
      expect(await get({ ...far, authorization: 'Bearer reader' })).toBe(200);
      expect(await get({})).toBe(200);
    }
    expect(asked).toEqual([null, 'acme']);
    await server.stop(1000);
  });
});
