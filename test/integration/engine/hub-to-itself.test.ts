/** A hub link that leads back to the hub and tenant it begins at: it would feed itself without end. */
import { randomUUID } from 'node:crypto';
import { connect, createServer, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  createConnectorPool,
  createConnectorRegistry,
  type ConnectorPool,
} from '../../../connectors/contract.ts';
import { hub } from '../../../connectors/hub/hub.ts';
import type { TenantId } from '../../../domain/ids.ts';
import type { JsonObject } from '../../../domain/json.ts';
import type { Link } from '../../../domain/link.ts';
import { callApi, testConnectors, type TestAnswer } from '../../support/api-under-test.ts';
import { TENANT } from '../../support/engine.ts';
import { startHubNode, type HubNode } from '../../support/hub-node.ts';

let here: HubNode;
let there: HubNode;
let pool: ConnectorPool;
let prefix = '';
let count = 0;

beforeAll(async () => {
  const connectors = {
    ...testConnectors,
    check: () => undefined,
    checkScope: (tenant: TenantId, link: Pick<Link, 'connector' | 'config' | 'scope'>) =>
      pool.checkScope(tenant, link),
  };
  here = await startHubNode({ api: { connectors } });
  there = await startHubNode();
  const registry = createConnectorRegistry([hub]);
  pool = createConnectorPool({
    typeOf: (kind) => registry.get(kind),
    permissions: { fileRoots: [], stdioCommands: [] },
    secret: (name) => name,
    hubIdOf: (tenant) => here.engine.store.sync.hubIdOf(tenant),
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
  });
});
afterAll(async () => {
  await pool.close();
  await here.close();
  await there.close();
});
beforeEach(() => {
  count += 1;
  prefix = `t${count}/`;
});

const add = (local: string, config: JsonObject): Promise<TestAnswer> =>
  callApi(here.url, 'POST /api/sync/links', {
    body: { name: `l-${randomUUID()}`, connector: 'hub', config, scope: { prefix: local } },
  });
const links = async (): Promise<number> => {
  const { body } = await callApi(here.url, 'GET /api/sync/links?limit=100');
  return (body['items'] as readonly unknown[]).length;
};

const OVERLAPPING: readonly (readonly [what: string, local: string, remote: string | undefined])[] =
  [
    ['the same scope, unsaid', 'x/', undefined],
    ['the same scope', 'x/', 'x/'],
    ['a scope inside its own', 'x/', 'x/c/'],
    ['the scope around its own', 'x/c/', 'x/'],
    ['everything', 'x/', ''],
    ['a scope inside everything', '', 'x/'],
    ['a beginning of its own', 'x/', 'x'],
  ];

describe('adding a link to this very hub', () => {
  it.each(OVERLAPPING)('is refused for %s, and makes no link', async (_what, local, remote) => {
    const before = await links();
    const config = { url: here.url, ...(remote === undefined ? {} : { prefix: remote }) };
    const answer = await add(local, config);
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({
      code: 'LINK_TO_ITSELF',
      errors: [{ pointer: '/config/url' }, { pointer: '/config/prefix' }],
    });
    expect(await links()).toBe(before);
  });

  it.each(OVERLAPPING)('is lawful for %s of another hub', async (_what, local, remote) => {
    const config = { url: there.url, ...(remote === undefined ? {} : { prefix: remote }) };
    expect((await add(local, config)).status).toBe(201);
  });

  it('is lawful for a hub that does not answer', async () => {
    expect((await add('x/', { url: 'http://127.0.0.1:1' })).status).toBe(201);
  });

  it('is lawful for two scopes that lie apart, which the link then keeps in step', async () => {
    const [left, right] = [`${prefix}left/`, `${prefix}right/`];
    expect((await add(left, { url: here.url, prefix: right })).status).toBe(201);
    const config = { url: here.url, prefix: right };
    const link = await here.engine.addLink('hub', config, { scope: { prefix: left } });
    await here.put(`${left}a`, 1);
    await here.put(`${right}b`, 2);
    for (let nth = 0; nth < 3; nth += 1)
      expect(await here.engine.drain(link)).toMatchObject({ status: 'settled', error: null });
    expect([await here.get(`${left}b`), await here.get(`${right}a`)]).toEqual([2, 1]);
    expect(await here.engine.drain(link)).toMatchObject({ counters: { planned: 0 } });
  });
});

describe('changing the scope of a link to this very hub', () => {
  it('is refused where the new scope overlaps, and lawful where it lies apart', async () => {
    const [left, right] = [`${prefix}left/`, `${prefix}right/`];
    const { body } = await add(left, { url: here.url, prefix: right });
    const patch = (to: string): Promise<TestAnswer> =>
      callApi(here.url, `PATCH /api/sync/links/${String(body['id'])}`, {
        body: { scope: { prefix: to } },
      });
    expect((await patch(prefix)).body).toMatchObject({ code: 'LINK_TO_ITSELF' });
    const kept = await callApi(here.url, `GET /api/sync/links/${String(body['id'])}`);
    expect(kept.body).toMatchObject({ scope: { prefix: left } });
    expect((await patch(`${prefix}other/`)).status).toBe(200);
  });
});

describe('a run', () => {
  it('fails, and writes nothing, over a link to itself that nobody refused', async () => {
    const config = { url: here.url, prefix: `${prefix}c/` };
    const link = await here.engine.addLink('hub', config, { scope: { prefix } });
    await here.put(`${prefix}a`, 1);
    const before = await here.versions();
    await expect(here.engine.pass(link)).resolves.toMatchObject({
      status: 'failed',
      error: { code: 'LINK_TO_ITSELF' },
    });
    expect(await here.versions()).toBe(before);
  });

  it('fails at its next whole look once the far side leads back here', async () => {
    const door = await openDoor(there.url);
    try {
      const config = { url: door.url, prefix: `${prefix}c/` };
      const link = await here.engine.addLink('hub', config, { scope: { prefix } });
      await here.put(`${prefix}a`, 1);
      expect(await here.engine.drain(link)).toMatchObject({ status: 'settled', error: null });
      expect(await there.get(`${prefix}c/a`)).toBe(1);
      const before = await here.versions();
      door.leadTo(here.url);
      await here.engine.store.links.reset({ tenant: TENANT, actor: 'test' }, link.id);
      await expect(here.engine.pass(link)).resolves.toMatchObject({
        status: 'failed',
        error: { code: 'LINK_TO_ITSELF' },
      });
      expect(await here.versions()).toBe(before);
    } finally {
      await door.close();
    }
  });
});

describe('what a hub calls itself', () => {
  it('is the same at each call, and differs by hub and by tenant', async () => {
    const idOf = async (url: string): Promise<unknown> =>
      (await callApi(url, 'GET /api/context/changes?since=now')).body['hubId'];
    const own = await idOf(here.url);
    expect(own).toMatch(/^[0-9a-f]{64}$/);
    expect(await idOf(here.url)).toBe(own);
    expect(await here.engine.store.sync.hubIdOf(TENANT)).toBe(own);
    expect(await idOf(there.url)).not.toBe(own);
    expect(await here.engine.store.sync.hubIdOf('other' as TenantId)).not.toBe(own);
  });

  it('is told with the head of the feed only', async () => {
    const { body } = await callApi(here.url, 'GET /api/context/changes?limit=1');
    expect(Object.keys(body).sort()).toEqual(['changes', 'cursor']);
  });
});

/** A TCP door that can be made to lead elsewhere; connections that are open are ended then. */
async function openDoor(first: string): Promise<{
  readonly url: string;
  leadTo(url: string): void;
  close(): Promise<void>;
}> {
  let target = new URL(first);
  const open = new Set<{ destroy(): unknown }>();
  const server = createServer((outer) => {
    const inner = connect(Number(target.port), target.hostname);
    for (const [one, other] of [
      [outer, inner],
      [inner, outer],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const end = (): void => open.forEach((one) => one.destroy());
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    leadTo(url) {
      target = new URL(url);
      end();
    },
    async close() {
      end();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
