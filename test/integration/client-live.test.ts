import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  ContextClient,
  getContext,
  SyncError,
  storeContext,
  updateContext,
  type ContextChange,
} from '../../client/index.ts';
import { startLossyProxy } from '../support/lossy-proxy.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';
import { openTcpDoor } from '../support/tcp-door.ts';

let api: RealApi;
let writer: ContextClient;
const clients: ContextClient[] = [];

beforeAll(async () => {
  api = await startRealApi({}, { maxBufferedBytes: 64 * 1024 });
  writer = new ContextClient({ url: api.url });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(async () => {
  writer.close();
  await api.stop();
});

function listening(url = api.url) {
  const client = new ContextClient({ url });
  clients.push(client);
  const changes: ContextChange[] = [];
  const errors: SyncError[] = [];
  client.on('contextChange', (change) => changes.push(change)).on('error', (e) => errors.push(e));
  return { client, changes, errors };
}

const waitFor = <T>(look: () => T): Promise<T> =>
  vi.waitFor(look, { timeout: 20_000, interval: 5 });
const versions = (changes: readonly ContextChange[]): number[] =>
  changes.map((each) => each.version);
const upTo = (last: number): number[] => Array.from({ length: last }, (_, at) => at + 1);

describe('a subscribed client', () => {
  it('hears each change once, however many subscriptions it fits', async () => {
    const { client, changes } = listening();
    const { cursor } = await writer.changes({ since: 'now' });
    await client.subscribe('live/a');
    await client.subscribe({ prefix: 'live/' });
    await writer.store('live/a', { step: 1 });
    await writer.store('live/b', 1);
    await waitFor(() => expect(changes).toHaveLength(2));
    // A replay of what was told is not told again either.
    await client.subscribe({ prefix: 'live/', since: cursor });
    await writer.store('live/c', 1);
    await waitFor(() => expect(changes.at(-1)?.key).toBe('live/c'));
    expect(changes.map((each) => each.key)).toEqual(['live/a', 'live/b', 'live/c']);
  });

  it('hears it with the fields of each subscription, also when one without them fits, too', async () => {
    const { client, changes } = listening();
    await client.subscribe('both/a');
    await client.subscribe({ prefix: 'both/', fields: ['data'] });
    await client.subscribe({ tag: 'both', fields: ['tags'] });
    for (const step of [1, 2]) await writer.store('both/a', { step }, { tags: ['both'] });
    await waitFor(() => expect(changes).toHaveLength(6));
    for (const version of [1, 2]) {
      const told = changes.filter((each) => each.version === version);
      expect(told.flatMap(({ data }) => (data === undefined ? [] : [data]))).toEqual([
        { step: version },
      ]);
      expect(told.flatMap(({ tags }) => (tags === undefined ? [] : [tags]))).toEqual([['both']]);
    }
  });

  it('hears nothing more once it has unsubscribed, or taken its listener off', async () => {
    const { client, changes } = listening();
    const once: ContextChange[] = [];
    client.once('contextChange', (change) => once.push(change));
    await client.subscribe('quiet/a');
    const fence = await client.subscribe('quiet/fence');
    await writer.store('quiet/a', 1);
    await waitFor(() => expect(changes).toHaveLength(1));
    client.unsubscribe('quiet/a');
    await writer.store('quiet/a', 2);
    await writer.store('quiet/fence', 1);
    await waitFor(() => expect(changes).toHaveLength(2));
    expect(changes[1]?.key).toBe('quiet/fence');
    expect(once).toHaveLength(1);
    expect(fence.cursor).toBe(changes[1]?.cursor);
  });

  it('is told why it is refused, by the promise and by the event', async () => {
    const { client, errors } = listening();
    const refused = await client.subscribe({ prefix: 'a', key: 'b' }).catch((e: unknown) => e);
    expect(refused).toBeInstanceOf(SyncError);
    expect((refused as SyncError).code).toBe('VALIDATION');
    expect(errors.map((each) => each.code)).toEqual(['VALIDATION']);
    client.close();
    await expect(client.subscribe('x')).rejects.toThrow();
  });

  it('gives up on a server that lets it in by no means', async () => {
    const locked = await startRealApi({ auth: { mode: 'keys', lookup: async () => null } });
    const { client, errors } = listening(locked.url);
    await expect(client.subscribe('a')).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(errors[0]?.code).toBe('UNAUTHENTICATED');
    await locked.stop();
  });
});

describe('a connection that is cut', () => {
  it('again and again, while others write, loses no change and doubles none', async () => {
    const door = await openTcpDoor(Number(new URL(api.url).port));
    const { client, changes } = listening(door.url);
    await client.subscribe({ prefix: 'cut/', fields: ['data'] });
    for (let step = 1; step <= 60; step += 1) {
      await writer.store('cut/a', { step });
      if (step % 12 === 0) door.cut();
    }
    await waitFor(() => expect(changes.at(-1)?.version).toBe(60));
    expect(versions(changes)).toEqual(upTo(60));
    expect(changes.map((each) => each.data)).toEqual(upTo(60).map((step) => ({ step })));
    expect(door.connections()).toBeGreaterThan(2);
    await door.close();
  });

  it('is no reason to give up a subscription that was made while nobody answered', async () => {
    const door = await openTcpDoor(Number(new URL(api.url).port));
    door.refuse(true);
    const { client, changes, errors } = listening(door.url);
    const subscribed = client.subscribe('late/a');
    await waitFor(() => expect(errors.length).toBeGreaterThan(0));
    expect(errors[0]?.code).toBe('UNREACHABLE');
    door.refuse(false);
    await subscribed;
    await writer.store('late/a', 1);
    await waitFor(() => expect(changes).toHaveLength(1));
    await door.close();
  });
});

describe('a client that falls behind', () => {
  it('is told to resync, and catches up by itself without a gap', async () => {
    const door = await openTcpDoor(Number(new URL(api.url).port), '"resync"');
    const { client, changes } = listening(door.url);
    const quick = listening(api.url);
    for (const each of [client, quick.client])
      await each.subscribe({ prefix: 'slow/', fields: ['data'] });
    const data = 'x'.repeat(60_000);
    door.stall(true);
    // Beyond what the sockets of the system take up, and the server's bound.
    for (let version = 1; version <= 35; version += 1) {
      await writer.batch(upTo(10).map((nth) => ({ op: 'store', key: `slow/${nth}`, data })));
    }
    // What the quick one has got was loaded for the slow one, too.
    await waitFor(() => expect(quick.changes).toHaveLength(350));
    door.stall(false);
    await waitFor(() => expect(changes).toHaveLength(350));
    for (const nth of upTo(10)) {
      expect(versions(changes.filter((each) => each.key === `slow/${nth}`))).toEqual(upTo(35));
    }
    expect(door.hasSeenMark()).toBe(true);
    await door.close();
  }, 60_000);
});

describe('a write whose answer is lost', () => {
  it('is sent again and done once', async () => {
    const proxy = await startLossyProxy(api.url);
    const client = new ContextClient({ url: proxy.url, random: () => 0 });
    clients.push(client);
    proxy.loseAnswers(1);
    expect((await client.store('lost/a', 1, { ifVersion: 0 })).version).toBe(1);
    proxy.loseAnswers(2);
    expect((await client.update('lost/a', [2], { ifVersion: 1 })).version).toBe(2);
    proxy.loseAnswers(1);
    expect((await client.update('lost/a', [3], { changeType: 'append' })).version).toBe(3);
    expect((await writer.get('lost/a'))?.data).toEqual([2, 3]);
    proxy.loseAnswers(1);
    expect((await client.delete('lost/a')).version).toBe(4);
    expect(proxy.writes).toBe(2 + 3 + 2 + 2);
    await proxy.close();
  });
});

describe('the quick functions', () => {
  it('store, read and update; an update of what is not there stores it', async () => {
    const server = { url: api.url };
    await storeContext('quick/a', { message: 'Hello World' }, { tags: ['q'] }, server);
    expect((await getContext('quick/a', server))?.data).toEqual({ message: 'Hello World' });
    expect(await getContext('quick/none', server)).toBeNull();
    expect((await updateContext('quick/b', 1, {}, server)).version).toBe(1);
    expect((await updateContext('quick/b', 2, {}, server)).version).toBe(2);
    await expect(updateContext('quick/c', 2, { ifVersion: 3 }, server)).rejects.toMatchObject({
      code: 'CONTEXT_NOT_FOUND',
    });
  });
});
