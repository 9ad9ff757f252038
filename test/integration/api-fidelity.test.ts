/**
 * What is stored comes back equal, whatever JSON it is and by whichever call it went in and came out;
 * what cannot be kept is refused with its code.
 */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canonicalJson, setMember, type Json, type JsonObject } from '../../domain/json.ts';
import { callApi, type TestAnswer } from '../support/api-under-test.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

let api: RealApi;
beforeAll(async () => {
  api = await startRealApi();
});
afterAll(() => api.stop());

const send = (target: string, body: string): Promise<TestAnswer> =>
  callApi(api.url, target, { body });
/** `data` of an answer with exactly one, as it was written there. */
const dataOf = ({ text }: TestAnswer): Json => (JSON.parse(text) as { data: Json }).data;

const SPECIAL_TEXTS = [
  '',
  '__proto__',
  'constructor',
  'toString',
  '\u0000',
  '\u001f',
  '\u007f',
  '\u2028\u2029',
  '\ufeff',
  '\uffff',
  'é',
  'e\u0301',
  '😀',
  '👩‍👩‍👧‍👦',
  '\u{10ffff}',
  '~1/~0"\\',
  '_t',
];
const SPECIAL_NUMBERS = [
  0,
  -0,
  1e21,
  -1e21,
  1e-7,
  5e-324,
  1.7976931348623157e308,
  2 ** 53,
  2 ** 64,
  0.1,
  -1.5e300,
];
/** Vitest's own comparison trips over a member named `constructor`. */
const isEqualTo =
  (wanted: Json) =>
  (found: unknown): boolean =>
    isDeepStrictEqual(found, wanted);
/** Any text that is Unicode: no half of a surrogate pair. */
const text = fc.oneof(
  fc.constantFrom(...SPECIAL_TEXTS),
  fc.string({ unit: 'binary' }).filter((each) => !/\p{Surrogate}/u.test(each)),
  fc.string({ unit: 'grapheme' }),
);
const number = fc.oneof(
  fc.constantFrom(...SPECIAL_NUMBERS),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
);

function objectOf(members: readonly (readonly [string, Json])[]): JsonObject {
  const object: JsonObject = {};
  for (const [name, value] of members) setMember(object, name, value);
  return object;
}

const anyJson = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthSize: 'small' },
    fc.constantFrom<Json>(null, true, false),
    number,
    text,
    fc.array(tie('value'), { maxLength: 5 }),
    fc.array(fc.tuple(text, tie('value')), { maxLength: 5 }).map(objectOf),
  ),
})).value;

/** JSON text as another writer may have it: escapes, white space, -0. */
function writtenText(value: Json, isEscaped: boolean): string {
  const compact = canonicalJson(value);
  return isEscaped
    ? compact.replace(
        /[\u007f-\uffff]/g,
        (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
      )
    : compact;
}

describe('any JSON value', () => {
  it('comes back equal, from store, update, batch, rollback and an old version', async () => {
    await fc.assert(
      fc.asyncProperty(anyJson, fc.boolean(), async (value, isEscaped) => {
        const data = writtenText(value, isEscaped);
        const put = `{"op":"store","key":"batched","data":${data}}`;
        const get = `{"op":"get","key":"batched"}`;
        await send('POST /api/context/store', `{"key":"any","data":${data}}`);
        const stored = dataOf(await callApi(api.url, 'GET /api/context/get/any'));
        expect(stored).toSatisfy(isEqualTo(value));
        const updated = await send('PUT /api/context/update/any', `{"data":${data}}`);
        const version = Number(updated.body['version']);
        await send('POST /api/context/store', '{"key":"any","data":0}');
        const old = await callApi(api.url, `GET /api/context/get/any?version=${version}`);
        expect(dataOf(old)).toSatisfy(isEqualTo(value));
        await send('POST /api/context/rollback/any', `{"version":${version}}`);
        expect(dataOf(await callApi(api.url, 'GET /api/context/get/any'))).toSatisfy(
          isEqualTo(value),
        );
        const batch = await send('POST /api/context/batch', `{"operations":[${put},${get}]}`);
        const { results } = JSON.parse(batch.text) as { results: { data: Json }[] };
        expect(results[1]?.data).toSatisfy(isEqualTo(value));
      }),
      { numRuns: 60 },
    );
  });

  it('comes back equal as part of a merge and of an append', async () => {
    const withoutNull = anyJson.filter((value) => !canonicalJson(value).includes('null'));
    await fc.assert(
      fc.asyncProperty(text, withoutNull, async (name, value) => {
        const patch = canonicalJson(objectOf([[name, value]]));
        for (const changeType of ['merge', 'append']) {
          await send('POST /api/context/store', '{"key":"part","data":{}}');
          const options = `{"changeType":"${changeType}"}`;
          await send('PUT /api/context/update/part', `{"data":${patch},"options":${options}}`);
          const data = dataOf(await callApi(api.url, 'GET /api/context/get/part'));
          expect(data).toSatisfy(isEqualTo(objectOf([[name, value]])));
        }
      }),
      { numRuns: 40 },
    );
  });

  it.each(['[', '{"a":'])('may be nested 200 deep (%s), and no deeper', async (open) => {
    const close = open === '[' ? ']' : '}';
    const nested = (depth: number) => open.repeat(depth) + '1' + close.repeat(depth);
    const key = open === '[' ? 'deep-list' : 'deep-object';
    const store = (depth: number) =>
      send('POST /api/context/store', `{"key":"${key}","data":${nested(depth)}}`);
    await store(200);
    const { text: answer } = await callApi(api.url, `GET /api/context/get/${key}`);
    expect(answer).toContain(nested(200));
    const refused = await store(201);
    expect([refused.status, refused.body['code']]).toEqual([400, 'TOO_DEEP']);
    expect((await callApi(api.url, `GET /api/context/get/${key}`)).body['version']).toBe(1);
  });

  it('keeps keys apart that only look alike, and takes any character in them', async () => {
    const keys = ['é', 'e\u0301', '😀', '__proto__', '%', 'a/b', ' ', '?x=1', '#', '+', '\u2028'];
    for (const key of keys) {
      await send('POST /api/context/store', JSON.stringify({ key, data: key }));
    }
    for (const key of keys) {
      const found = await callApi(api.url, `GET /api/context/get/${encodeURIComponent(key)}`);
      expect([found.body['key'], found.body['data'], found.body['version']]).toEqual([key, key, 1]);
    }
  });
});

const STORE = (data: string): string => `{"key":"refused","data":${data}}`;

describe('what cannot be kept is refused and nothing is written:', () => {
  it.each([
    ['half of a surrogate pair', STORE('"\\ud800"'), 'INVALID_JSON'],
    ['the other half', STORE('{"\\udc00":1}'), 'INVALID_JSON'],
    ['halves in the wrong order', STORE('"\\udc00\\ud800"'), 'INVALID_JSON'],
    ['a number without end', STORE('1e400'), 'NUMBER_PRECISION'],
    ['a number with more digits than a double', STORE('[9007199254740993]'), 'NUMBER_PRECISION'],
    ['a number too close to zero', STORE('1e-400'), 'NUMBER_PRECISION'],
    ['NaN', STORE('NaN'), 'INVALID_JSON'],
    ['no data', '{"key":"refused"}', 'VALIDATION'],
    ['two values', `${STORE('1')}${STORE('2')}`, 'INVALID_JSON'],
    ['half a body', STORE('[1'), 'INVALID_JSON'],
  ])('%s', async (_name, body, code) => {
    const batch = `{"operations":[{"op":"store",${body.slice(1, -1)}}]}`;
    for (const [target, sent] of [
      ['POST /api/context/store', body],
      ['POST /api/context/batch', batch],
    ] as const) {
      const answer = await send(target, sent);
      const [first] = (answer.body['results'] ?? []) as { status: number; code: string }[];
      const found = first ?? { status: answer.status, code: answer.body['code'] };
      expect([found.status, found.code]).toEqual([400, code]);
    }
    expect((await callApi(api.url, 'GET /api/context/get/refused')).status).toBe(404);
  });

  it('bytes that are no UTF-8', async () => {
    const body = Buffer.concat([
      Buffer.from('{"key":"refused","data":"'),
      Buffer.from([0xc3, 0x28]),
      Buffer.from('"}'),
    ]);
    const answer = await callApi(api.url, 'POST /api/context/store', {
      body: new Uint8Array(body),
    });
    expect([answer.status, answer.body['code']]).toEqual([400, 'INVALID_JSON']);
  });

  it('of a member named twice, all but the last', async () => {
    await send('POST /api/context/store', '{"key":"twice","data":{"a":1,"a":2}}');
    expect(dataOf(await callApi(api.url, 'GET /api/context/get/twice'))).toEqual({ a: 2 });
  });
});
