import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ContextClient, jsonText, JsonText, SyncError } from '../../../client/index.ts';

const problem = (code: string, status: number, extra: object = {}): Response =>
  new Response(
    JSON.stringify({ type: '#', title: 't', status, code, detail: 'd', requestId: 'r1', ...extra }),
    { status, headers: { 'content-type': 'application/problem+json', 'retry-after': '0' } },
  );

/** A client whose server gives these answers in turn, and the requests it got. */
function clientOf(answers: readonly (Response | Error)[], options: { timeoutMs?: number } = {}) {
  const requests: { method: string; url: string; body: unknown }[] = [];
  const fake: typeof fetch = async (input, init) => {
    const answer = answers[requests.length];
    requests.push({
      method: init?.method ?? '',
      url: input instanceof Request ? input.url : input.toString(),
      body: init?.body,
    });
    if (answer instanceof Error) throw answer;
    if (answer) return answer;
    return new Promise((_resolve, reject) => {
      init?.signal?.addEventListener('abort', () => reject(new Error('aborted')));
    });
  };
  const client = new ContextClient({ url: 'http://h/', fetch: fake, random: () => 0, ...options });
  return { client, requests };
}

async function errorOf(work: Promise<unknown>): Promise<SyncError> {
  const error = await work.then(
    () => null,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(SyncError);
  return error as SyncError;
}

describe('the client', () => {
  it('tries reads again after 503 and lost connections, writes never', async () => {
    const reads = clientOf([problem('UNAVAILABLE', 503), new TypeError('x'), Response.json(null)]);
    expect(await reads.client.get('a/b')).toBeNull();
    expect(reads.requests.map((request) => request.url)).toEqual(
      Array.from({ length: 3 }, () => 'http://h/api/context/get/a%2Fb'),
    );
    const writes = clientOf([problem('UNAVAILABLE', 503), Response.json({})]);
    expect((await errorOf(writes.client.store('a', 1))).code).toBe('UNAVAILABLE');
    expect(writes.requests).toHaveLength(1);
  });

  it('gives null for a missing context, and errors with all the API said', async () => {
    expect(await clientOf([problem('CONTEXT_NOT_FOUND', 404)]).client.get('a')).toBeNull();
    const errors = [{ pointer: '/key', detail: 'bad' }];
    const { client } = clientOf([problem('VERSION_CONFLICT', 409, { errors, currentVersion: 4 })]);
    const error = await errorOf(client.update('a', 1));
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', status: 409, requestId: 'r1', errors });
    expect(error.currentVersion).toBe(4);
  });

  it('says when there is no answer in time, none at all, or a strange one', async () => {
    const late = clientOf([], { timeoutMs: 5 });
    expect((await errorOf(late.client.store('a', 1))).code).toBe('TIMEOUT');
    const gone = clientOf([new TypeError('fetch failed')]);
    expect((await errorOf(gone.client.store('a', 1))).code).toBe('UNREACHABLE');
    const proxy = clientOf([new Response('<html>', { status: 500 })]);
    expect((await errorOf(proxy.client.store('a', 1))).code).toBe('BAD_ANSWER');
    const page = clientOf([new Response('<html>')]);
    expect((await errorOf(page.client.list())).code).toBe('BAD_ANSWER');
  });

  it('ends what is under way when it is closed', async () => {
    const { client } = clientOf([]);
    const waiting = errorOf(client.changes({ wait: 30 }));
    client.close();
    expect((await waiting).code).toBe('UNREACHABLE');
    expect((await errorOf(client.list())).code).toBe('UNREACHABLE');
  });

  it('sends lists as repeated parameters and leaves out what is undefined', async () => {
    const { client, requests } = clientOf([Response.json({ items: [], nextCursor: null })]);
    await client.list({ tag: ['a b', 'c'], prefix: 'x/' });
    expect(requests[0]?.url).toBe('http://h/api/context/list?tag=a+b&tag=c&prefix=x%2F');
  });

  it('imports nothing of Node, and only types of the API', () => {
    const folder = new URL('../../../client/', import.meta.url);
    for (const file of readdirSync(folder)) {
      const text = readFileSync(new URL(file, folder), 'utf8');
      const sources = [...text.matchAll(/^(?:import|export)( type)? [^;]*? from '([^']+)';/gm)];
      for (const [, type, source = ''] of sources) {
        expect([file, source.startsWith('./') || type === ' type']).toEqual([file, true]);
      }
    }
  });
});

describe('jsonText', () => {
  it('keeps -0 and written JSON, and leaves out undefined', () => {
    const value = { a: -0, b: undefined, c: new JsonText('1.50'), d: [undefined], e: new Date(0) };
    expect(jsonText(value)).toBe('{"a":-0,"c":1.50,"d":[null],"e":"1970-01-01T00:00:00.000Z"}');
  });

  it('refuses what JSON cannot hold', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const value of [Number.NaN, Infinity, 1n, () => 1, cycle]) {
      expect(() => jsonText({ value })).toThrow(/JSON cannot hold/);
    }
    expect(() => new JsonText('{')).toThrow(SyntaxError);
  });
});
