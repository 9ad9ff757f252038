import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ContextClient } from '../../client/context-client.ts';
import type { CallerOfKey } from '../../api/ports.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { ContextKey } from '../../domain/ids.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';
import { openTcpDoor } from '../support/tcp-door.ts';
import { openSocket, type TestSocket } from '../support/test-socket.ts';

const KEYS: Record<string, CallerOfKey> = {
  sk_reader: { tenant: 'default' as TenantId, name: 'reader', scopes: ['read'] },
  sk_writer: { tenant: 'default' as TenantId, name: 'writer', scopes: ['write'] },
  sk_other: { tenant: 'other' as TenantId, name: 'other', scopes: ['read', 'write'] },
  'odd key/1': { tenant: 'default' as TenantId, name: 'odd', scopes: ['admin'] },
};

let api: RealApi;
const open: TestSocket[] = [];
const revoked = new Set<string>();

beforeAll(async () => {
  const lookup = async (key: string): Promise<CallerOfKey | null> =>
    revoked.has(key) ? null : (KEYS[key] ?? null);
  api = await startRealApi(
    { auth: { mode: 'keys', lookup } },
    { maxConnections: 8, maxSubscriptions: 6, heartbeatMs: 100, maxBufferedBytes: 64 * 1024 },
  );
  const other = { tenant: 'other' as TenantId, actor: null };
  await api.store.contexts
    .store(other, { key: 'x' as ContextKey, data: 1, options: {} })
    .catch(() => undefined);
});
afterEach(async () => {
  const closing = open.splice(0);
  for (const socket of closing) socket.socket.terminate();
  await Promise.all(closing.map((socket) => socket.closed));
});
afterAll(() => api.stop());

async function socket(options: Parameters<typeof openSocket>[1] = {}): Promise<TestSocket> {
  const opened = await openSocket(api.url, options);
  open.push(opened);
  return opened;
}
const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
const write = (key: string, data: unknown, tenant = 'default') =>
  api.store.contexts.store(
    { tenant: tenant as TenantId, actor: null },
    { key: key as ContextKey, data: data as never, options: {} },
  );
const waitFor = <T>(look: () => T): Promise<T> =>
  vi.waitFor(look, { timeout: 20_000, interval: 5 });

describe('with keys on, a WebSocket', () => {
  it('needs a key that may read, in a header or as a subprotocol', async () => {
    await expect(openSocket(api.url)).rejects.toThrow(/401/);
    await expect(openSocket(api.url, bearer('sk_unknown'))).rejects.toThrow(/401/);
    await expect(openSocket(api.url, bearer('sk_writer'))).rejects.toThrow(/403/);
    await socket(bearer('sk_reader'));
    const plain = await socket({ protocols: ['syncline', 'syncline.key.sk_reader'] });
    expect(plain.socket.protocol).toBe('syncline');
    const alone = await socket({ protocols: ['syncline.key.sk_reader'] });
    expect(alone.socket.protocol).toBe('syncline.key.sk_reader');
    await socket({ protocols: ['syncline', 'syncline.key.odd%20key%2F1'] });
  });

  it('of the client takes the key from its options', async () => {
    const client = new ContextClient({ url: api.url, apiKey: 'odd key/1' });
    const heard: unknown[] = [];
    client.on('contextChange', (change) => heard.push(change.key));
    await client.subscribe('client/a');
    await write('client/a', 1);
    await waitFor(() => expect(heard).toEqual(['client/a']));
    client.close();
  });

  it('hears of its own tenant only', async () => {
    const mine = await socket(bearer('sk_reader'));
    const theirs = await socket(bearer('sk_other'));
    const [all, also] = [{ prefix: '' }, { prefix: '', since: '0.0', fields: ['data'] }];
    await mine.subscribe(all);
    const client = new ContextClient({ url: api.url, apiKey: 'sk_other' });
    await write('tenants/mine', 1);
    await theirs.subscribe(also);
    await write('tenants/mine', 2);
    await waitFor(() => expect(mine.updates()).toHaveLength(2));
    expect(theirs.updates().filter((each) => each['key'] === 'tenants/mine')).toEqual([]);
    client.close();
  });

  it('closes with 1008 soon after its key was revoked', async () => {
    const ws = await socket({ protocols: ['syncline.key.sk_reader'] });
    const other = await socket(bearer('sk_other'));
    await ws.subscribe({ key: 'revoked/a' });
    revoked.add('sk_reader');
    expect(await ws.closed).toEqual({ code: 1008, reason: 'UNAUTHENTICATED' });
    expect(other.socket.readyState).toBe(other.socket.OPEN);
    revoked.clear();
  }, 20_000);
});

describe('what one process gives', () => {
  it('is so many connections', async () => {
    for (let nth = 0; nth < 8; nth += 1) await socket(bearer('sk_reader'));
    await expect(openSocket(api.url, bearer('sk_reader'))).rejects.toThrow(/503/);
  });

  it('is so many subscriptions; those that ended make room', async () => {
    const [one, two] = [await socket(bearer('sk_reader')), await socket(bearer('sk_reader'))];
    for (let nth = 0; nth < 6; nth += 1) await one.subscribe({ key: `k/${nth}` });
    two.send({ type: 'subscribe-context', payload: { key: 'k/more' } });
    expect((await two.take('error')).payload).toMatchObject({ code: 'TOO_MANY_SUBSCRIPTIONS' });
    one.close();
    await one.closed;
    await two.subscribe({ key: 'k/more' });
  });
});

describe('a client that does not read', () => {
  it('gets resync instead of ever more memory, and does not slow down the others', async () => {
    const patient = await startRealApi({}, { maxBufferedBytes: 64 * 1024 });
    const door = await openTcpDoor(Number(new URL(patient.url).port));
    const [slow, quick] = [await openSocket(door.url), await openSocket(patient.url)];
    await slow.subscribe({ prefix: 'big/', fields: ['data'] });
    // With the same fields: what it has got was loaded for the slow one, too.
    await quick.subscribe({ prefix: 'big/', fields: ['data'] });
    door.stall(true);
    const client = new ContextClient({ url: patient.url });
    const data = 'x'.repeat(60_000);
    // Beyond what the sockets of the system take up, and the server's bound.
    const keys = Array.from({ length: 10 }, (_, nth) => `big/${nth}`);
    const versions = Array.from({ length: 32 }, (_, at) => at + 1);
    for (let round = 0; round < versions.length; round += 1) {
      await client.batch(keys.map((key) => ({ op: 'store', key, data })));
    }
    await waitFor(() => expect(quick.updates()).toHaveLength(320));
    expect(slow.updates().length).toBeLessThan(320);
    door.stall(false);
    const { since } = (await slow.take('resync')).payload;
    const told = slow.updates().length;
    expect(told).toBeLessThan(320);
    await slow.subscribe({ prefix: 'big/', since, fields: ['data'] });
    await waitFor(() => expect(slow.updates()).toHaveLength(320));
    for (const key of keys) {
      const told = slow.updates().filter((each) => each['key'] === key);
      expect(told.map((each) => each['version'])).toEqual(versions);
    }
    client.close();
    for (const each of [slow, quick]) each.close();
    await door.close();
    await patient.stop();
  }, 60_000);

  it('and answers no ping is cut off', async () => {
    const ws = await socket({ ...bearer('sk_reader'), autoPong: false });
    expect((await ws.closed).code).toBe(1006);
    const alive = await socket(bearer('sk_reader'));
    for (let nth = 0; nth < 5; nth += 1) {
      await new Promise((resolve) => alive.socket.once('ping', resolve));
    }
    expect(alive.socket.readyState).toBe(alive.socket.OPEN);
  });
});

describe('a server that stops', () => {
  it('says so with 1001, and does not wait for those who do not answer', async () => {
    const other = await startRealApi();
    const ws = await openSocket(other.url);
    const deaf = await openSocket(other.url);
    (deaf.socket as unknown as { _socket: { pause(): void } })._socket.pause();
    await ws.subscribe({ prefix: '' });
    const startedAt = performance.now();
    await other.stop();
    expect(await ws.closed).toEqual({ code: 1001, reason: 'the server is stopping' });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});

describe('thousands of subscriptions', () => {
  it('on one process cost a change no more than those it is for', async () => {
    const crowd = await startRealApi();
    const sockets = await Promise.all(Array.from({ length: 50 }, () => openSocket(crowd.url)));
    await Promise.all(
      sockets.map(async (ws, at) => {
        for (let nth = 0; nth < 100; nth += 1) {
          ws.send({ type: 'subscribe-context', payload: { key: `crowd/${at}/${nth}` } });
        }
        await vi.waitFor(() => expect(ws.messages).toHaveLength(100), { timeout: 20_000 });
        ws.messages.length = 0;
        await ws.subscribe({ tag: 'everybody' });
      }),
    );
    const client = new ContextClient({ url: crowd.url });
    await client.store('crowd/7/7', 1);
    await client.store('all', 1, { tags: ['everybody'] });
    await Promise.all(
      sockets.map((ws) => waitFor(() => expect(ws.updates().at(-1)?.['key']).toBe('all'))),
    );
    expect(sockets.map((ws) => ws.updates().length)).toEqual(
      sockets.map((_ws, at) => (at === 7 ? 2 : 1)),
    );
    client.close();
    for (const ws of sockets) ws.close();
    await crowd.stop();
  }, 60_000);
});
