import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Json, JsonObject } from '../../../domain/json.ts';
import { CALLER } from '../../support/engine.ts';
import { asKey, openStore, put, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
beforeAll(async () => {
  under = await openStore();
});
afterAll(() => under.close());

const read = async (key: string): Promise<Json | undefined> =>
  (await under.store.contexts.get(CALLER, asKey(key)))?.data;
const blobOf = async (hash: string) => {
  const sql = `SELECT codec, size, octet_length(body) AS bytes FROM blobs
    WHERE tenant_id = 'default' AND hash = decode($1, 'hex')`;
  const [row] = await under.admin<{ codec: string; size: number; bytes: number }>(sql, [hash]);
  return row;
};
const countBlobs = async (): Promise<number> =>
  (await under.admin<{ n: number }>('SELECT count(*)::int AS n FROM blobs'))[0]!.n;

describe('a body', () => {
  it('is stored once for all contexts and versions that have it, whatever their member order', async () => {
    const before = await countBlobs();
    const first = await put(under, CALLER, 'same/1', { a: 1, b: [true, null] });
    const second = await put(under, CALLER, 'same/2', { b: [true, null], a: 1 });
    await put(under, CALLER, 'same/1', 'something else');
    const third = await put(under, CALLER, 'same/1', { a: 1, b: [true, null] });
    expect(new Set([first, second, third].map(({ envelope }) => envelope.hash)).size).toBe(1);
    expect(await countBlobs()).toBe(before + 2);
  });

  it('is stored once per tenant: tenants share nothing', async () => {
    const other = await under.addTenant('other');
    const before = await countBlobs();
    const { envelope } = await put(under, CALLER, 'k', { shared: 'text' });
    const theirs = await put(under, other, 'k', { shared: 'text' });
    expect(theirs.envelope.hash).toBe(envelope.hash);
    expect(await countBlobs()).toBe(before + 2);
  });

  it('is compressed above 1 KB, and the codec is recorded', async () => {
    const small = await put(under, CALLER, 'small', 'x'.repeat(1022));
    expect(small.envelope).toMatchObject({ size: 1024, compressed: false });
    expect(await blobOf(small.envelope.hash)).toEqual({ codec: 'none', size: 1024, bytes: 1024 });
    const large = await put(under, CALLER, 'large', 'x'.repeat(1023));
    expect(large.envelope).toMatchObject({ size: 1025, compressed: true });
    const blob = await blobOf(large.envelope.hash);
    expect(blob).toMatchObject({ codec: 'gzip', size: 1025 });
    expect(blob!.bytes).toBeLessThan(100);
    expect(await read('large')).toBe('x'.repeat(1023));
  });

  it('is left as it is when compressing does not make it smaller', async () => {
    const noise = randomBytes(1500)
      .toString('latin1')
      .replace(/[^ -!#-[\]-~]/g, 'q');
    const text = [...noise]
      .map((char, at) => char + String.fromCharCode(0x4e00 + ((at * 7919) % 20_000)))
      .join('');
    const { envelope } = await put(under, CALLER, 'noise', text);
    const blob = await blobOf(envelope.hash);
    expect(blob!.bytes).toBeLessThanOrEqual(envelope.size);
    expect(envelope.compressed).toBe(blob!.codec === 'gzip');
    expect(await read('noise')).toBe(text);
  });

  it('is compressed or not as the writer says', async () => {
    const store = (key: string, data: Json, compress: boolean) =>
      under.store.contexts.store(CALLER, { key: asKey(key), data, options: { compress } });
    expect((await store('force', 'tiny', true)).envelope.compressed).toBe(true);
    expect((await store('forbid', 'y'.repeat(5000), false)).envelope.compressed).toBe(false);
    expect(await read('force')).toBe('tiny');
    expect(await read('forbid')).toBe('y'.repeat(5000));
  });
});

describe('data comes back equal', () => {
  const proto = JSON.parse(
    '{"__proto__":{"polluted":true},"constructor":{"prototype":1},"toString":"x"}',
  ) as JsonObject;
  const deep = Array.from({ length: 199 }).reduce<Json>((inner) => [inner], ['bottom']);
  it.each<[string, Json]>([
    ['U+0000 in a text', 'a\u0000b'],
    ['U+0000 in a name', { 'a\u0000b': '\u0000' }],
    ['minus zero', [-0, 0, { n: -0 }]],
    ['__proto__ and the like as names', proto],
    ['null', null],
    ['false', false],
    ['an empty text', ''],
    ['an empty object in an empty array', [[], {}, [{}]]],
    ['the empty name', { '': { '': 1 } }],
    ['numbers at the edge', [5e-324, 1.7976931348623157e308, 2 ** 53, 0.1, -1e21, 1e-7]],
    ['NFC beside NFD', ['é', 'e\u0301', { é: 1, 'e\u0301': 2 }]],
    ['emoji, right-to-left, a noncharacter, a BOM', '👩‍👩‍👧 שלום \uffff\ufeff'],
    ['control characters and line separators', '\u0001\u001f\u007f\u0085\u2028\u2029\r\n\t"\\'],
    ['nesting 200 deep', deep],
  ])('%s', async (name, data) => {
    for (const compress of [true, false]) {
      const key = asKey(`equal/${name}/${compress}`);
      await under.store.contexts.store(CALLER, { key, data, options: { ttl: null, compress } });
      const back = await read(key);
      expect(isDeepStrictEqual(back, data)).toBe(true);
      expect(JSON.stringify(back)).toBe(JSON.stringify(sorted(data)));
    }
  });

  it('with minus zero told from zero', async () => {
    await put(under, CALLER, 'zero', [-0, 0]);
    const [minus, plus] = (await read('zero')) as [number, number];
    expect([Object.is(minus, -0), Object.is(plus, 0)]).toEqual([true, true]);
  });

  it('through merge and append, with names that objects have by nature', async () => {
    const key = asKey('proto');
    await put(under, CALLER, key, { keep: 1 });
    const update = (data: Json, changeType: 'merge' | 'append') =>
      under.store.contexts.update(CALLER, { key, data, changeType, options: {} });
    await update(proto, 'merge');
    await update(JSON.parse('{"__proto__":{"more":[1]}}') as Json, 'append');
    const text =
      '{"__proto__":{"more":[1],"polluted":true},"constructor":{"prototype":1},"keep":1,"toString":"x"}';
    expect(JSON.stringify(await read(key))).toBe(text);
    await update(JSON.parse('{"__proto__":null}') as Json, 'merge');
    expect(JSON.stringify(await read(key))).not.toContain('__proto__');
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });

  it('for metadata as for data, in the order it was written', async () => {
    const metadata = JSON.parse('{"z":1,"a":{"__proto__":[1,null,"é"]},"n":0.1}') as JsonObject;
    const options = { metadata, ttl: null };
    await under.store.contexts.store(CALLER, { key: asKey('meta'), data: 1, options });
    const context = await under.store.contexts.get(CALLER, asKey('meta'));
    expect(JSON.stringify(context?.metadata)).toBe(JSON.stringify(metadata));
  });
});

/** The same value with members in the order the store keeps them in. */
function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const names = Object.keys(value).sort();
  return Object.fromEntries(names.map((name) => [name, sorted(value[name]!)]));
}
