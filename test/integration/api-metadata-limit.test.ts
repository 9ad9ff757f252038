/** Metadata is small, wherever it comes in; and a line of an import does not use up a key's numbers. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MAX_METADATA_BYTES } from '../../api/schemas/values.ts';
import { callApi } from '../support/api-under-test.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

let api: RealApi;
beforeAll(async () => {
  api = await startRealApi();
});
afterAll(() => api.stop());

/** Metadata of so many bytes of JSON, in two-byte characters as far as that goes. */
function metadataOf(bytes: number): { t: string } {
  const room = bytes - '{"t":""}'.length;
  return { t: 'é'.repeat(Math.floor(room / 2)) + 'e'.repeat(room % 2) };
}
const most = metadataOf(MAX_METADATA_BYTES);
const tooMuch = metadataOf(MAX_METADATA_BYTES + 1);

async function importLines(...lines: object[]): Promise<Record<string, unknown>> {
  const body = lines.map((line) => JSON.stringify(line)).join('\n');
  const headers = { 'content-type': 'application/x-ndjson' };
  return (await callApi(api.url, 'POST /api/context/import', { body, headers })).body;
}

describe('metadata', () => {
  it('of 64 KiB is taken and comes back', async () => {
    const body = { key: 'm/most', data: 1, options: { metadata: most } };
    expect((await callApi(api.url, 'POST /api/context/store', { body })).status).toBe(201);
    const got = await callApi(api.url, 'GET /api/context/get/m%2Fmost');
    expect(got.body['metadata']).toEqual(most);
  });

  it('of a byte more is refused by store and update, with a pointer to it', async () => {
    const options = { metadata: tooMuch };
    for (const [call, body] of [
      ['POST /api/context/store', { key: 'm/more', data: 1, options }],
      ['PUT /api/context/update/m%2Fmost', { data: 1, options }],
    ] as const) {
      const answer = await callApi(api.url, call, { body });
      expect([answer.status, answer.body['code']]).toEqual([400, 'VALIDATION']);
      expect(answer.body['errors']).toEqual([
        { pointer: '/options/metadata', detail: 'must have at most 65536 bytes of JSON' },
      ]);
    }
  });

  it('of a byte more fails its own operation of a batch', async () => {
    const operations = [tooMuch, most].map((metadata, nth) => ({
      op: 'store',
      key: `m/batch${nth}`,
      data: 1,
      options: { metadata },
    }));
    const answer = await callApi(api.url, 'POST /api/context/batch', { body: { operations } });
    const results = answer.body['results'] as Record<string, unknown>[];
    expect(results.map(({ status }) => status)).toEqual([400, 201]);
    expect(results[0]!['errors']).toMatchObject([{ pointer: '/operations/0/options/metadata' }]);
  });

  it('of a byte more costs an import its line', async () => {
    const line = { version: 1, data: 1 };
    const result = await importLines(
      { ...line, key: 'm/line1', metadata: tooMuch },
      { ...line, key: 'm/line2', metadata: most },
    );
    expect(result).toMatchObject({ imported: 1, failed: 1 });
    expect(result['errors']).toMatchObject([{ line: 1, code: 'VALIDATION' }]);
  });

  it.each([
    ['text', 'small'],
    ['an array', []],
    ['null', null],
    ['deep', JSON.parse(`${'{"a":'.repeat(300)}1${'}'.repeat(300)}`) as object],
    ['U+0000', { a: '\0' }],
  ])('that is %s is refused', async (_name, metadata) => {
    const body = { key: 'm/bad', data: 1, options: { metadata } };
    const answer = await callApi(api.url, 'POST /api/context/store', { body });
    expect(answer.status).toBe(400);
  });
});

describe('a version number of an import', () => {
  it('leaves room for many more writes of its key, or the line is refused', async () => {
    const line = { data: 1, expiresAt: '2020-01-01T00:00:00Z' };
    const result = await importLines(
      { ...line, key: 'v/max', version: 2_147_483_647 },
      { ...line, key: 'v/more', version: 2_000_000_001 },
      { ...line, key: 'v/most', version: 2_000_000_000, expiresAt: null },
    );
    expect(result).toMatchObject({ imported: 1, failed: 2 });
    expect(result['errors']).toMatchObject([
      { line: 1, code: 'VALIDATION' },
      { line: 2, code: 'VALIDATION' },
    ]);
    const body = { data: 2 };
    const written = await callApi(api.url, 'PUT /api/context/update/v%2Fmost', { body });
    expect([written.status, written.body['version']]).toEqual([200, 2_000_000_001]);
  });
});
