import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContextClient } from '../../client/index.ts';
import { callApi, type TestAnswer } from '../support/api-under-test.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

const MAX_IMPORT_BYTES = 1024 * 1024;
const NDJSON = 'application/x-ndjson';

let api: RealApi;
let client: ContextClient;

beforeAll(async () => {
  api = await startRealApi({
    limits: {
      maxContextBytes: 64 * 1024,
      maxImportBytes: MAX_IMPORT_BYTES,
      rateLimit: { enabled: false, max: 1, windowMs: 1 },
    },
  });
  client = new ContextClient({ url: api.url });
});
afterAll(async () => {
  client.close();
  await api.stop();
});

function send(
  body: string | Uint8Array,
  query = '',
  headers: Record<string, string> = {},
): Promise<TestAnswer> {
  return callApi(api.url, `POST /api/context/import${query}`, {
    body,
    headers: { 'content-type': NDJSON, ...headers },
  });
}

/** An answer that is not JSON, but lines of it. */
async function exportOf(query: string): Promise<{ status: number; type: string; text: string }> {
  const answer = await fetch(`${api.url}/api/context/export${query}`);
  const type = answer.headers.get('content-type') ?? '';
  return { status: answer.status, type, text: await answer.text() };
}

const line = (key: string, more: object = {}): string =>
  JSON.stringify({ key, version: 1, data: 1, ...more });

describe('GET /api/context/export', () => {
  it('streams a manifest and every version, which import takes back', async () => {
    await client.store('e/a', { '': [-0] }, { tags: ['t'], ttl: null });
    await client.store('e/a', 2, { ttl: null });
    await client.delete('e/a');
    const { text, type } = await exportOf('?prefix=e%2F');
    expect(type).toBe(NDJSON);
    const [manifest, ...versions] = text.trimEnd().split('\n');
    expect(JSON.parse(manifest!)).toMatchObject({
      format: 'syncline-export',
      formatVersion: 1,
      prefix: 'e/',
      versions: 3,
      encryptedLeftOut: 0,
    });
    expect(versions).toHaveLength(3);
    const moved = text.replaceAll('"key":"e/a"', '"key":"moved/a"');
    expect((await send(moved)).body).toEqual({ imported: 3, skipped: 0, failed: 0, errors: [] });
    const again = await exportOf('?prefix=moved%2F');
    expect(again.text.split('\n').slice(1)).toEqual(moved.split('\n').slice(1));
  });

  it.each([
    ['an unknown parameter', '?what=1'],
    ['a decrypt that is no truth value', '?decrypt=yes'],
    ['a prefix with a control character', '?prefix=%00'],
    ['an empty tag', '?tag='],
  ])('refuses %s', async (_name, query) => {
    const { status, body } = await callApi(api.url, `GET /api/context/export${query}`);
    expect([status, body['code']]).toEqual([400, 'VALIDATION']);
  });

  it('answers HEAD with no body, and other methods with 405', async () => {
    const head = await fetch(`${api.url}/api/context/export`, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-type')]).toEqual([200, NDJSON]);
    const put = await callApi(api.url, 'PUT /api/context/export');
    expect([put.status, put.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS']);
  });

  it('ends when its reader goes, and serves the next one', async () => {
    const big = 'x'.repeat(60_000);
    for (let n = 0; n < 40; n += 1)
      await client.store(`big/${n}`, big, { ttl: null, compress: false });
    for (let n = 0; n < 8; n += 1) {
      const socket = connect({ port: Number(new URL(api.url).port), host: '127.0.0.1' });
      socket.write('GET /api/context/export?prefix=big HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
      await new Promise((resolve) => socket.once('data', resolve));
      socket.destroy();
    }
    await expect
      .poll(async () => (await exportOf('?prefix=big')).status, {
        timeout: 10_000,
      })
      .toBe(200);
  });
});

describe('POST /api/context/import', () => {
  it('tells broken lines by number and code, and takes the others', async () => {
    const lines = [
      line('l/1'),
      '{"key":',
      line('l/3', { surprise: 1 }),
      line('l/4', { data: undefined }),
      line('', {}),
      line('l/6', { data: 'x'.repeat(70_000) }),
      '',
      `{"key":"l/8","version":1,"data":9007199254740993}`,
      line('l/9', { data: undefined, deleted: true, changeType: 'update' }),
      line('l/10', { updatedAt: 'yesterday' }),
      `{"key":"l/11","version":1,"data":${'['.repeat(201)}${']'.repeat(201)}}`,
      '[]',
      line('l/13', { encrypted: true }),
      line('l/14'),
    ];
    const { status, body } = await send(lines.join('\r\n'));
    expect(status).toBe(200);
    expect(body).toMatchObject({ imported: 2, skipped: 0, failed: 11 });
    const errors = body['errors'] as { line: number; code: string }[];
    expect(errors.map((error) => `${error.line} ${error.code}`)).toEqual([
      '2 INVALID_JSON',
      '3 VALIDATION',
      '4 VALIDATION',
      '5 INVALID_KEY',
      '6 CONTEXT_TOO_LARGE',
      '8 NUMBER_PRECISION',
      '9 VALIDATION',
      '10 VALIDATION',
      '11 TOO_DEEP',
      '12 VALIDATION',
      '13 ENCRYPTION_NOT_CONFIGURED',
    ]);
    expect((await client.get('l/14'))?.version).toBe(1);
  });

  it('takes times with an offset and tags twice, and says the real depth limit', async () => {
    const deep = `{"key":"t/3","version":1,"data":${'['.repeat(201)}${']'.repeat(201)}}`;
    const times = { updatedAt: '2026-01-31T14:00:00+02:00', tags: ['a', 'a'] };
    const { body } = await send([line('t/1', times), line('t/2'), deep].join('\n'));
    expect(body).toMatchObject({ imported: 2, failed: 1 });
    expect((body['errors'] as { detail: string }[])[0]?.detail).toContain('deeper than 200');
    const updatedAt = '2026-01-31T12:00:00.000Z';
    expect(await client.get('t/1')).toMatchObject({ updatedAt, tags: ['a'] });
  });

  it('takes a file without a manifest, two files in one, and no file at all', async () => {
    const manifest = '{"format":"syncline-export","formatVersion":1}';
    const two = [manifest, line('f/1'), manifest, line('f/2')].join('\n');
    expect((await send(two)).body).toMatchObject({ imported: 2, failed: 0 });
    expect((await send('')).body).toMatchObject({ imported: 0, failed: 0 });
  });

  it('takes gzip, and refuses what is not', async () => {
    const packed = gzipSync(line('g/1'));
    const headers = { 'content-encoding': 'gzip' };
    expect((await send(packed, '', headers)).body).toMatchObject({ imported: 1 });
    const cut = await send(packed.subarray(0, -4), '', headers);
    expect([cut.status, cut.body['code']]).toEqual([400, 'INVALID_JSON']);
    const other = await send('x', '', { 'content-encoding': 'br' });
    expect([other.status, other.body['code']]).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
  });

  it.each([
    ['another media type', '', { 'content-type': 'application/json' }, 415],
    ['an unknown mode', '?mode=merge', {}, 400],
    ['an unknown parameter', '?overwrite=1', {}, 400],
  ])('refuses %s', async (_name, query, headers, status) => {
    expect((await send(line('no'), query, headers as Record<string, string>)).status).toBe(status);
    expect(await client.get('no')).toBeNull();
  });

  it('refuses an `Idempotency-Key`, which it could not keep', async () => {
    const answer = await send(line('once'), '', { 'idempotency-key': 'k' });
    expect(answer).toMatchObject({ status: 400, body: { code: 'VALIDATION' } });
    expect(answer.body['detail']).toContain('Idempotency-Key');
    expect(await client.get('once')).toBeNull();
  });

  it('refuses the manifest of a newer format, whole', async () => {
    const manifest = '{"format":"syncline-export","formatVersion":2}';
    const { status, body } = await send(`${manifest}\n${line('newer')}`);
    expect([status, body['code']]).toEqual([400, 'VALIDATION']);
    expect(await client.get('newer')).toBeNull();
  });

  describe('takes the versions of a key in any order, and what came between them', () => {
    const state = async (key: string): Promise<unknown[]> => {
      const { items } = await client.versions(key);
      const rows = await Promise.all(
        items.map(async ({ version }) => [version, (await client.get(key, { version }))?.data]),
      );
      return rows.reverse();
    };
    const version = (key: string, nth: number, data: unknown = nth): string =>
      line(key, { version: nth, data });

    it.each([
      ['interleaved', ['a1', 'b1', 'a2', 'b2'], 4, 0],
      ['twice the same line', ['a1', 'a1', 'a2', 'b1', 'b2'], 4, 1],
      ['backwards', ['a2', 'a1', 'b2', 'b1'], 4, 0],
      ['with one late', ['a2', 'b1', 'a1', 'b2', 'a1'], 4, 1],
    ])('%s', async (name, order, imported, skipped) => {
      const lines = order.map((each) => version(`${name}/${each[0]}`, Number(each[1])));
      expect((await send(lines.join('\n'))).body).toMatchObject({ imported, skipped, failed: 0 });
      for (const key of ['a', 'b']) {
        expect(await state(`${name}/${key}`)).toEqual([
          [1, 1],
          [2, 2],
        ]);
      }
    });

    it('further apart than what is written together', async () => {
      const between = Array.from({ length: 600 }, (_, n) => line(`far/between/${n}`));
      const more = between.map((text) => text.replaceAll('between', 'more'));
      const lines = [
        version('far/a', 3),
        ...between,
        version('far/a', 1),
        version('far/a', 4),
        ...more,
        version('far/a', 2),
        version('far/a', 3, 'other'),
      ];
      const { body } = await send(lines.join('\n'));
      expect(body).toMatchObject({ imported: 1204, skipped: 1, failed: 0 });
      expect(await state('far/a')).toEqual([1, 2, 3, 4].map((nth) => [nth, nth]));
      expect((await client.get('far/a'))?.version).toBe(4);
    });

    it('and still leaves alone what was there, or was written meanwhile', async () => {
      await client.store('mine', 'kept');
      const lines = [version('mine', 2), line('other'), version('mine', 3)];
      const { body } = await send(lines.join('\n'));
      expect(body).toMatchObject({ imported: 1, skipped: 2 });
      expect(await state('mine')).toEqual([[1, 'kept']]);
    });
  });

  describe('that breaks off says how far it came', () => {
    const many = (name: string): string[] =>
      Array.from({ length: 1_100 }, (_, n) => line(`${name}/${n}`));

    it('at the manifest of a newer format: all before it is there', async () => {
      const manifest = '{"format":"syncline-export","formatVersion":2}';
      const { status, body } = await send([...many('half'), manifest, line('half/z')].join('\n'));
      expect(status).toBe(400);
      expect(body).toMatchObject({ code: 'VALIDATION', line: 1101, imported: 1100, failed: 0 });
      expect(body['detail']).toContain('Line 1101');
      expect((await client.get('half/1099'))?.data).toBe(1);
      expect(await client.get('half/z')).toBeNull();
    });

    it('in the middle of a packed file', async () => {
      const packed = gzipSync(many('cut').join('\n'));
      const cut = packed.subarray(0, packed.length / 2);
      const { status, body } = await send(cut, '', { 'content-encoding': 'gzip' });
      expect([status, body['code']]).toEqual([400, 'INVALID_JSON']);
      const imported = body['imported'] as number;
      expect(body['line']).toBe(imported + 1);
      const { items } = await client.list({ prefix: 'cut/', limit: 1000 });
      expect(items).toHaveLength(imported);
    });

    it('at the limit of the body', async () => {
      const padded = `${' '.repeat(1_000)}\n`.repeat(2_000);
      const bomb = gzipSync(`${line('over')}\n${padded}`);
      const { body } = await send(bomb, '', { 'content-encoding': 'gzip' });
      expect(body).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', imported: 1 });
    });
  });

  it('takes far more than other bodies, and refuses what is over its limit', async () => {
    const many = Array.from({ length: 15 }, (_, n) => line(`m/${n}`, { data: 'x'.repeat(60_000) }));
    expect((await send(many.join('\n'))).body).toMatchObject({ imported: 15 });
    const tooMuch = 'x'.repeat(MAX_IMPORT_BYTES + 1);
    expect((await send(tooMuch)).body['code']).toBe('PAYLOAD_TOO_LARGE');
    const bomb = gzipSync(`${' '.repeat(1000)}\n`.repeat(2_000));
    const { body } = await send(bomb, '', { 'content-encoding': 'gzip' });
    expect(body['code']).toBe('PAYLOAD_TOO_LARGE');
  });
});
