import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ContextClient, jsonText, JsonText, SyncError } from '../../../client/index.ts';

const problem = (code: string, status: number, extra: object = {}): Response =>
  new Response(
    JSON.stringify({ type: '#', title: 't', status, code, detail: 'd', requestId: 'r1', ...extra }),
    { status, headers: { 'content-type': 'application/problem+json', 'retry-after': '0' } },
  );

/** A client whose server gives these answers in turn, and the requests it got. */
function clientOf(
  answers: readonly (Response | Error)[],
  options: { timeoutMs?: number; retries?: number } = {},
) {
  const requests: { method: string; url: string; body: unknown; key: string | null }[] = [];
  const fake: typeof fetch = async (input, init) => {
    const answer = answers[requests.length];
    requests.push({
      method: init?.method ?? '',
      url: input instanceof Request ? input.url : input.toString(),
      body: init?.body,
      key: new Headers(init?.headers).get('idempotency-key'),
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
  it('tries again after 503 and lost connections; a write with one Idempotency-Key', async () => {
    const reads = clientOf([problem('UNAVAILABLE', 503), new TypeError('x'), Response.json(null)]);
    expect(await reads.client.get('a/b')).toBeNull();
    expect(reads.requests.map((request) => request.url)).toEqual(
      Array.from({ length: 3 }, () => 'http://h/api/context/get/a%2Fb'),
    );
    expect(reads.requests.map((request) => request.key)).toEqual([null, null, null]);
    const writes = clientOf([problem('UNAVAILABLE', 503), new TypeError('x'), Response.json({})]);
    await writes.client.store('a', 1);
    const [first, ...rest] = writes.requests.map((request) => request.key);
    expect(first).toMatch(/^[0-9a-f]{32}$/);
    expect(rest).toEqual([first, first]);
    const other = clientOf([Response.json({})]);
    await other.client.store('a', 1);
    expect(other.requests[0]?.key).not.toBe(first);
  });

  it('sends a write again as it was at the call, whatever became of the data meanwhile', async () => {
    const answers = [problem('UNAVAILABLE', 503), new TypeError('x'), Response.json({})];
    const { client, requests } = clientOf(answers);
    const data = { step: 1 };
    const stored = client.store('a', data);
    data.step = 2;
    await stored;
    expect(requests.map(({ body }) => body)).toEqual(
      Array.from({ length: 3 }, () => '{"key":"a","data":{"step":1}}'),
    );
  });

  it('waits for a twin that is still at work, and gives up when asked for too much patience', async () => {
    const twin = clientOf([problem('IDEMPOTENCY_IN_PROGRESS', 409), Response.json({ version: 1 })]);
    expect(await twin.client.store('a', 1)).toEqual({ version: 1 });
    const late = problem('RATE_LIMITED', 429);
    late.headers.set('retry-after', '900');
    const limited = clientOf([late]);
    const error = await errorOf(limited.client.list());
    expect([error.code, error.retryAfterMs]).toEqual(['RATE_LIMITED', 900_000]);
    expect(limited.requests).toHaveLength(1);
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
    const late = clientOf([], { timeoutMs: 5, retries: 0 });
    expect((await errorOf(late.client.store('a', 1))).code).toBe('TIMEOUT');
    const gone = clientOf([new TypeError('fetch failed')], { retries: 0 });
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

  it('refuses a key no URL can carry, before it asks for something else', async () => {
    const { client, requests } = clientOf([]);
    for (const key of ['', '.', '..'])
      expect((await errorOf(client.get(key))).code).toBe('INVALID_KEY');
    expect((await errorOf(client.delete(''))).code).toBe('INVALID_KEY');
    expect(requests).toHaveLength(0);
  });

  it('refuses an option there is none of', () => {
    const misspelt: object = { apikey: 'k' };
    expect(() => new ContextClient(misspelt)).toThrow(/no option `apikey`.*apiKey/);
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
