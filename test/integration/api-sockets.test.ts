import { connect } from 'node:net';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApi } from '../../api/app.ts';
import { startApiServer, type ApiServer } from '../../api/server.ts';
import { callApi, startTestApi, testApiDeps } from '../support/api-under-test.ts';
import { createStoreDouble } from '../support/store-double.ts';

let api: ApiServer;

beforeAll(async () => {
  api = await startTestApi(testApiDeps(createStoreDouble()));
});
afterAll(() => api.stop(1000));

/**
 * Sends bytes as they are; resolves with all that comes back until the other side closes. `isCut`
 * closes our half at once.
 */
function talk(bytes: string | Uint8Array, isCut = false): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(api.url).port), '127.0.0.1');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
    if (isCut) socket.end(bytes);
    else socket.write(bytes);
  });
}

const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
const head = 'Host: 127.0.0.1\r\nConnection: close\r\n';
const json = `${head}Content-Type: application/json\r\n`;

describe('a probe in HTTP/1.0, which has no Host', () => {
  it.each(['/api/context/health', '/api/context/health/live', '/api/context/health/ready'])(
    'is answered: %s',
    async (path) => {
      expect(statusOf(await talk(`GET ${path} HTTP/1.0\r\n\r\n`))).toBe(200);
    },
  );
});

describe('a malformed request gets its 4xx', () => {
  it.each([
    ['no HTTP at all', 'hello\r\n\r\n', 400],
    ['binary', Uint8Array.from([0, 1, 2, 255, 254, 13, 10, 13, 10]), 400],
    ['an unknown method', `FROB / HTTP/1.1\r\n${head}\r\n`, 400],
    ['no Host', 'GET /api/context/health HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['no Host in HTTP/1.0', 'GET /api/context/list HTTP/1.0\r\n\r\n', 400],
    [
      'a foreign Host',
      'GET /api/context/list HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n',
      403,
    ],
    [
      'a bad Host',
      'GET /api/context/list HTTP/1.1\r\nHost: a b:x\r\nConnection: close\r\n\r\n',
      403,
    ],
    [
      'two lengths',
      `POST /api/context/store HTTP/1.1\r\n${json}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{`,
      400,
    ],
    [
      'length and chunks',
      `POST /api/context/store HTTP/1.1\r\n${json}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    [
      'a bad chunk',
      `POST /api/context/store HTTP/1.1\r\n${json}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
      400,
    ],
    [
      'a bad gzip body',
      `POST /api/context/store HTTP/1.1\r\n${json}Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd`,
      400,
    ],
    [
      'raw UTF-8 in the path',
      Buffer.from(`GET /api/context/get/ключ HTTP/1.1\r\n${head}\r\n`),
      400,
    ],
    ['dots in the path', `GET /api/context/get/.. HTTP/1.1\r\n${head}\r\n`, 400],
    ['an absolute target', `GET http://127.0.0.1/api/context/health HTTP/1.1\r\n${head}\r\n`, 200],
    ['a target without a path', `GET http:// HTTP/1.1\r\n${head}\r\n`, 400],
    ['a strange expectation', `GET / HTTP/1.1\r\n${head}Expect: tea\r\n\r\n`, 417],
    ['an asterisk target', `OPTIONS * HTTP/1.1\r\n${head}\r\n`, 404],
    ['huge headers', `GET / HTTP/1.1\r\n${head}X: ${'x'.repeat(100_000)}\r\n\r\n`, 431],
    ['a huge URI', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\n${head}\r\n`, 414],
    ['a space in the URI', `GET /api/context/get/a b HTTP/1.1\r\n${head}\r\n`, 400],
  ])('%s', async (_name, bytes, status) => {
    const answer = await talk(bytes);
    expect(statusOf(answer)).toBe(status);
    if (status >= 400) expect(answer).toContain('application/problem+json');
  });

  it('a body cut short harms nobody', async () => {
    await talk(
      `POST /api/context/store HTTP/1.1\r\n${json}Content-Length: 100\r\n\r\n{"key":`,
      true,
    );
    expect((await callApi(api.url, 'GET /api/context/health/live')).status).toBe(200);
  });

  it('many sockets of noise leave the server answering', async () => {
    const noise = Array.from({ length: 50 }, (_, at) =>
      talk(
        Uint8Array.from({ length: 200 }, (_each, byte) => (byte * 37 + at * 101) % 256),
        true,
      ),
    );
    for (const answer of await Promise.all(noise)) expect(statusOf(answer)).toBeLessThan(500);
    expect((await callApi(api.url, 'GET /api/context/health/live')).status).toBe(200);
  });
});

describe('a port in use', () => {
  it('is said with its number and what to do', async () => {
    const deps = testApiDeps(createStoreDouble());
    const port = Number(new URL(api.url).port);
    const log = pino({ level: 'silent' });
    const second = startApiServer({ app: createApi(deps), host: '127.0.0.1', port, log });
    await expect(second).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringMatching(new RegExp(`Port ${port} .*CONTEXT_API_PORT`)) as string,
    });
  });

  it('an address of another machine is said too', async () => {
    const deps = testApiDeps(createStoreDouble());
    const log = pino({ level: 'silent' });
    const elsewhere = startApiServer({ app: createApi(deps), host: '192.0.2.1', port: 0, log });
    await expect(elsewhere).rejects.toMatchObject({ code: 'SERVER_NOT_STARTED' });
  });
});

describe('stopping', () => {
  it('ends long polls and idle connections at once, and answers what is under way', async () => {
    const store = createStoreDouble();
    const other = await startTestApi(testApiDeps(store));
    // An idle keep-alive connection.
    await callApi(other.url, 'GET /api/context/health/live');
    const begun = new Promise<void>((resolve) => {
      const { changes } = store.contexts;
      store.contexts.changes = (...args) => {
        resolve();
        return changes(...args);
      };
    });
    const poll = callApi(other.url, 'GET /api/context/changes?since=x&wait=30');
    await begun;
    const startedAt = performance.now();
    await other.stop(10_000);
    expect(performance.now() - startedAt).toBeLessThan(2000);
    expect((await poll).body).toEqual({ changes: [], cursor: 'x' });
    await expect(callApi(other.url, 'GET /api/context/health/live')).rejects.toThrow();
  });

  it('gives up on an answer that does not end, at the deadline', async () => {
    const store = createStoreDouble();
    const other = await startTestApi(testApiDeps(store));
    const begun = new Promise<void>((resolve) => {
      store.contexts.list = () => {
        resolve();
        return new Promise(() => undefined);
      };
    });
    const stuck = callApi(other.url, 'GET /api/context/list').catch(() => 'cut off');
    await begun;
    await other.stop(100);
    expect(await stuck).toBe('cut off');
  });
});
