/** Senders that take for ever, over raw sockets, and answers that do not come. */
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createApi } from '../../api/app.ts';
import { startApiServer, type ApiServer } from '../../api/server.ts';
import type { TimeLimits } from '../../api/time-limits.ts';
import { callApi, testApiDeps } from '../support/api-under-test.ts';
import { createStoreDouble, type StoreDouble } from '../support/store-double.ts';

const TIME: TimeLimits = {
  headersMs: 300,
  requestMs: 30_000,
  lookMs: 100,
  minBodyBytesPerSecond: 256,
  answerMs: 400,
  keepAliveMs: 200,
};

let store: StoreDouble;
let api: ApiServer;

beforeAll(async () => {
  store = createStoreDouble();
  const deps = testApiDeps(store);
  const app = createApi({ ...deps, limits: { ...deps.limits, time: TIME } });
  api = await startApiServer({ app, host: '127.0.0.1', port: 0, log: deps.log, time: TIME });
});
afterAll(() => api.stop(1000));

interface Talk {
  readonly socket: Socket;
  /** All that came back, once the server has closed. */
  readonly closed: Promise<string>;
  /** What came back so far. */
  text(): string;
}

function talk(bytes: string): Talk {
  const socket = connect(Number(new URL(api.url).port), '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  socket.write(bytes);
  const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(text)));
  return { socket, closed, text: () => text };
}

/** Sends one piece after the other, at this distance, until the connection ends. */
function trickle({ socket }: Talk, pieces: readonly string[], everyMs: number): void {
  let nth = 0;
  const timer = setInterval(() => {
    if (nth < pieces.length && socket.writable) socket.write(pieces[nth++]!);
    else clearInterval(timer);
  }, everyMs);
  socket.once('close', () => clearInterval(timer));
}

const body = JSON.stringify({ key: 'slow', data: 'x'.repeat(4_000) });
const head = (length: number): string =>
  `POST /api/context/store HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;
const codeIn = (answer: string): unknown =>
  (JSON.parse(answer.slice(answer.indexOf('{'))) as { code: unknown }).code;

describe('a sender', () => {
  it('whose headers trickle in gets 408, and its connection is closed', async () => {
    const slow = talk('GET /api/context/list HTTP/1.1\r\nHost: 127.0.0.1\r\n');
    trickle(slow, Array<string>(1_000).fill('X: y\r\n'), 50);
    const answer = await slow.closed;
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(codeIn(answer)).toBe('REQUEST_TIMEOUT');
  });

  it('whose body trickles in gets 408, and its connection is closed', async () => {
    const slow = talk(head(body.length));
    trickle(slow, [...body], 20);
    const answer = await slow.closed;
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer).toMatch(/connection: close/i);
    expect(codeIn(answer)).toBe('REQUEST_TIMEOUT');
    expect((await callApi(api.url, 'GET /api/context/get/slow')).status).toBe(404);
  });

  it('whose body stops gets 408', async () => {
    expect(await talk(head(body.length) + body.slice(0, 100)).closed).toMatch(/^HTTP\/1\.1 408 /);
  });

  it('whose body comes slowly but surely has the time it needs', async () => {
    const steady = talk(head(body.length));
    // Some 20 looks at 5 kB/s.
    trickle(steady, body.match(/.{1,100}/g)!, 20);
    await vi.waitFor(() => expect(steady.text()).toMatch(/^HTTP\/1\.1 201 /), 10_000);
    steady.socket.destroy();
  });

  it('that got its answer does not hold the connection with a body nobody reads', async () => {
    const early = talk(head(1_000).replace('/api/context/store', '/nowhere'));
    expect(await early.closed).toMatch(/^HTTP\/1\.1 404 /);
  });

  it('that says nothing more is let go', async () => {
    const idle = talk('GET /api/context/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    expect(await idle.closed).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe('an answer', () => {
  it('that does not come in time is a 503, and the late one harms nobody', async () => {
    let finish = (): void => undefined;
    const { list } = store.contexts;
    store.contexts.list = (...args) =>
      new Promise((resolve) => {
        finish = () => resolve(list(...args));
      });
    const late = await callApi(api.url, 'GET /api/context/list');
    expect([late.status, late.body['code']]).toEqual([503, 'UNAVAILABLE']);
    expect(late.headers.get('retry-after')).toBe('1');
    finish();
    store.contexts.list = list;
    expect((await callApi(api.url, 'GET /api/context/list')).status).toBe(200);
  });
});
