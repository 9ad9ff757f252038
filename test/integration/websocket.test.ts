import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ContextClient } from '../../client/context-client.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';
import { openSocket, type TestSocket } from '../support/test-socket.ts';

let api: RealApi;
let client: ContextClient;
const open: TestSocket[] = [];

beforeAll(async () => {
  api = await startRealApi({}, { maxSubscriptionsPerConnection: 20 });
  client = new ContextClient({ url: api.url });
});
afterEach(() => {
  for (const socket of open.splice(0)) socket.close();
});
afterAll(async () => {
  client.close();
  await api.stop();
});

async function socket(options: Parameters<typeof openSocket>[1] = {}): Promise<TestSocket> {
  const opened = await openSocket(api.url, options);
  open.push(opened);
  return opened;
}

const waitFor = <T>(look: () => T): Promise<T> =>
  vi.waitFor(look, { timeout: 10_000, interval: 5 });

describe('a subscription', () => {
  it('tells each change of a key, as the change feed does, in order and once', async () => {
    const ws = await socket();
    const { cursor } = await ws.subscribe({ key: 'one/a' });
    await client.store('one/a', { step: 1 });
    await client.store('one/b', 1);
    await client.update('one/a', { step: 2 });
    await client.delete('one/a');
    await waitFor(() => expect(ws.updates()).toHaveLength(3));
    const { changes } = await client.changes({ since: cursor });
    expect(ws.updates()).toEqual(changes.filter((change) => change.key === 'one/a'));
    expect(
      ws.updates().map((each) => [each['version'], each['changeType'], each['deleted']]),
    ).toEqual([
      [1, 'create', undefined],
      [2, 'update', undefined],
      [3, 'delete', true],
    ]);
  });

  it('is by key, prefix, session or tag; a change comes once to a connection, whatever matches', async () => {
    const ws = await socket();
    const byPrefix = await ws.subscribe({ prefix: 'many/' });
    const bySession = await ws.subscribe({ sessionId: 's-9' });
    const byTag = await ws.subscribe({ tag: 'red' });
    await client.store('many/a', 1, { sessionId: 's-9', tags: ['red', 'blue'] });
    await client.store('other', 1, { sessionId: 's-9' });
    await client.store('another', 1, { tags: ['red'] });
    await client.store('none', 1, { tags: ['blue'], sessionId: 's-8' });
    await client.delete('other');
    await waitFor(() => expect(ws.updates()).toHaveLength(4));
    expect(ws.messages.map((each) => [each.payload['key'], each.subscriptions])).toEqual([
      ['many/a', [byPrefix.subscription, bySession.subscription, byTag.subscription]],
      ['other', [bySession.subscription]],
      ['another', [byTag.subscription]],
      ['other', [bySession.subscription]],
    ]);
  });

  it('begins now: what was stored before is not told', async () => {
    await client.store('now/a', 1);
    const ws = await socket();
    await ws.subscribe({ key: 'now/a' });
    await client.update('now/a', 2);
    await waitFor(() => expect(ws.updates()).toHaveLength(1));
    expect(ws.updates()[0]).toMatchObject({ version: 2 });
  });

  it('brings the fields it asked for, as of that version', async () => {
    const ws = await socket();
    await ws.subscribe({ prefix: 'f/', fields: ['tags', '/state/step'] });
    await client.store('f/a', { state: { step: -0, more: 1 } }, { tags: ['x'] });
    await client.store('f/a', { state: { step: 2 } });
    await client.delete('f/a');
    await waitFor(() => expect(ws.updates()).toHaveLength(3));
    const [first, second, third] = ws.updates();
    expect(first).toMatchObject({ version: 1, tags: ['x'], data: { state: { step: -0 } } });
    expect(second).toMatchObject({ version: 2, tags: [], data: { state: { step: 2 } } });
    expect(third).not.toHaveProperty('data');
  });

  it('ends when asked, by its name or by what it is about', async () => {
    const ws = await socket();
    const { subscription } = await ws.subscribe({ key: 'end/a' });
    await ws.subscribe({ prefix: 'end/' });
    ws.send({ type: 'unsubscribe-context', id: 'mine', payload: { subscription } });
    expect(await ws.take('unsubscribed')).toEqual({
      type: 'unsubscribed',
      id: 'mine',
      payload: { subscription },
    });
    await ws.subscribe({ prefix: 'end/' });
    ws.send({ type: 'unsubscribe-context', payload: { prefix: 'end/' } });
    await ws.take('unsubscribed');
    await ws.take('unsubscribed');
    ws.send({ type: 'unsubscribe-context', payload: { prefix: 'end/' } });
    expect((await ws.take('error')).payload).toMatchObject({ code: 'NOT_FOUND' });
    const { cursor } = await ws.subscribe({ key: 'fence' });
    expect(cursor).toMatch(/^\d+\.\d+$/);
    await client.store('end/a', 1);
    await client.store('fence', 1);
    await waitFor(() => expect(ws.updates()).toHaveLength(1));
    expect(ws.updates()[0]).toMatchObject({ key: 'fence' });
  });
});

describe('since', () => {
  it('replays what was missed and goes on live, without a gap', async () => {
    const { cursor } = await client.changes({ since: 'now' });
    for (let step = 0; step < 30; step += 1) await client.store('since/a', { step });
    const ws = await socket();
    const writing = (async () => {
      for (let step = 30; step < 60; step += 1) await client.store('since/a', { step });
    })();
    const answer = await ws.subscribe({ prefix: 'since/', since: cursor, fields: ['data'] });
    expect(answer.cursor).toBe(cursor);
    await writing;
    await waitFor(() => expect(ws.updates().at(-1)).toMatchObject({ version: 60 }));
    expect(ws.updates().map((each) => each['version'])).toEqual(
      Array.from({ length: 60 }, (_, at) => at + 1),
    );
    expect(ws.updates().map((each) => each['data'])).toEqual(
      Array.from({ length: 60 }, (_, step) => ({ step })),
    );
  });

  it('replays many pages to a session while others write', async () => {
    const { cursor } = await client.changes({ since: 'now' });
    const operations = Array.from({ length: 600 }, (_, at) => ({
      op: 'store' as const,
      key: `pages/${at}`,
      data: 1,
      ...(at % 2 === 0 ? { options: { sessionId: 's-pages' } } : {}),
    }));
    await client.batch(operations);
    const ws = await socket();
    await ws.subscribe({ sessionId: 's-pages', since: cursor });
    await client.store('pages/last', 1, { sessionId: 's-pages' });
    await waitFor(() => expect(ws.updates()).toHaveLength(301));
    expect(new Set(ws.updates().map((each) => each['key'])).size).toBe(301);
  });

  it('tells what has expired since as deleted, and shows nothing of it', async () => {
    const { cursor } = await client.changes({ since: 'now' });
    await client.store('gone/a', { secret: 1 }, { ttl: 60 });
    api.clock.offsetMs += 61_000;
    const ws = await socket();
    await ws.subscribe({ key: 'gone/a', since: cursor, fields: ['data'] });
    await waitFor(() => expect(ws.updates()).toHaveLength(1));
    expect(ws.updates()[0]).toMatchObject({ version: 1, deleted: true, reason: 'ttl' });
    expect(ws.updates()[0]).not.toHaveProperty('data');
    await api.store.sweeps.expireContexts(100);
    await waitFor(() => expect(ws.updates()).toHaveLength(2));
    expect(ws.updates()[1]).toMatchObject({ version: 2, changeType: 'delete', reason: 'ttl' });
  });

  it.each([
    ['what is no cursor', 'nonsense'],
    ['a cursor from the future', '99999999999.0'],
  ])('refuses %s, naming the request, and stays open', async (_what, since) => {
    const ws = await socket();
    ws.send({ type: 'subscribe-context', id: 'a', payload: { key: 'x', since } });
    expect(await ws.take('error')).toMatchObject({
      id: 'a',
      payload: { code: 'INVALID_CURSOR', subscription: '1' },
    });
    ws.send({ type: 'ping', id: 'b' });
    expect(await ws.take('pong')).toEqual({ type: 'pong', id: 'b' });
  });
});

describe('a bad message', () => {
  it.each([
    ['no JSON', '{', 'INVALID_JSON'],
    ['no object', '[]', 'VALIDATION'],
    ['an unknown type', { type: 'frob' }, 'VALIDATION'],
    ['no payload', { type: 'subscribe-context' }, 'VALIDATION'],
    ['nothing to subscribe to', { type: 'subscribe-context', payload: {} }, 'VALIDATION'],
    [
      'two things at once',
      { type: 'subscribe-context', payload: { key: 'a', prefix: 'a' } },
      'VALIDATION',
    ],
    ['a bad key', { type: 'subscribe-context', payload: { key: '\u0000' } }, 'INVALID_KEY'],
    ['a key that is no text', { type: 'subscribe-context', payload: { key: 1 } }, 'VALIDATION'],
    [
      'half a surrogate pair',
      '{"type":"subscribe-context","payload":{"key":"\\ud800"}}',
      'INVALID_JSON',
    ],
    [
      'an unknown field of a context',
      { type: 'subscribe-context', payload: { key: 'a', fields: ['nope'] } },
      'VALIDATION',
    ],
    [
      'an unknown member',
      { type: 'subscribe-context', payload: { key: 'a', more: 1 } },
      'VALIDATION',
    ],
    ['deep nesting', `${'['.repeat(20)}${']'.repeat(20)}`, 'TOO_DEEP'],
    ['too much', JSON.stringify({ type: 'ping', id: 'x'.repeat(70_000) }), 'PAYLOAD_TOO_LARGE'],
  ])('%s gets an error, and the connection stays', async (_name, message, code) => {
    const ws = await socket();
    ws.send(message);
    expect((await ws.take('error')).payload).toMatchObject({ code });
    ws.send({ type: 'ping' });
    await ws.take('pong');
  });

  it('binary gets an error, too', async () => {
    const ws = await socket();
    ws.socket.send(Buffer.from('{"type":"ping"}'), { binary: true });
    expect((await ws.take('error')).payload).toMatchObject({ code: 'VALIDATION' });
  });

  it('again and again closes the connection with 1008', async () => {
    const ws = await socket();
    for (let nth = 0; nth < 100; nth += 1) ws.send('nonsense');
    expect((await ws.closed).code).toBe(1008);
    expect(ws.messages.filter((each) => each.type === 'error').length).toBeLessThan(40);
  });

  it('that is well formed but wrong, again and again, closes it with 1008, too', async () => {
    const ws = await socket();
    for (let nth = 0; nth < 100; nth += 1) {
      ws.send({ type: 'unsubscribe-context', payload: { subscription: 'none' } });
    }
    expect((await ws.closed).code).toBe(1008);
    const errors = ws.messages.filter((each) => each.type === 'error');
    expect(errors[0]?.payload).toMatchObject({ code: 'NOT_FOUND' });
    expect(errors.length).toBeLessThan(40);
  });

  it('of a megabyte and more closes it at once with 1009', async () => {
    const ws = await socket();
    ws.send(' '.repeat(1024 * 1024 + 1));
    expect((await ws.closed).code).toBe(1009);
  });
});

describe('the bounds', () => {
  it('one connection has so many subscriptions and no more', async () => {
    const ws = await socket();
    for (let nth = 0; nth < 20; nth += 1) await ws.subscribe({ key: `bound/${nth}` });
    ws.send({ type: 'subscribe-context', payload: { key: 'bound/more' } });
    expect((await ws.take('error')).payload).toMatchObject({ code: 'TOO_MANY_SUBSCRIPTIONS' });
    ws.send({ type: 'unsubscribe-context', payload: { key: 'bound/0' } });
    await ws.take('unsubscribed');
    await ws.subscribe({ key: 'bound/more' });
  });
});

describe('an upgrade', () => {
  it('elsewhere, or with a query, is refused as HTTP', async () => {
    await expect(openSocket(api.url, { path: '/elsewhere' })).rejects.toThrow(/404/);
    await expect(openSocket(api.url, { path: '/context-ws?key=x' })).rejects.toThrow(/400/);
  });

  it('of a page of another site, or through a foreign name, is refused while keys are off', async () => {
    await expect(openSocket(api.url, { origin: 'https://evil.example' })).rejects.toThrow(/403/);
    await expect(openSocket(api.url, { headers: { host: 'evil.example' } })).rejects.toThrow(/403/);
    await socket({ origin: 'http://localhost:5173' });
  });

  it('to HTTP/2, as some clients offer it with each request, leaves the request as it is', async () => {
    const body = '{"key":"h2c/a","data":1}';
    const answer = await new Promise<string>((resolve, reject) => {
      const raw = connect(Number(new URL(api.url).port), '127.0.0.1');
      let text = '';
      raw.on('data', (chunk: Buffer) => (text += chunk.toString()));
      raw.on('error', reject);
      raw.on('close', () => resolve(text));
      raw.write(
        'POST /api/context/store HTTP/1.1\r\nHost: 127.0.0.1\r\n' +
          'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n' +
          `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      raw.write(
        'GET /api/context/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n',
      );
    });
    expect(answer).toMatch(/^HTTP\/1\.1 201 /);
    expect(answer.match(/HTTP\/1\.1 200 /g)).toHaveLength(1);
    expect((await client.get('h2c/a'))?.data).toBe(1);
  });
});
