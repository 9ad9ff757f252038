import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cursorSchema } from '../../../api/schemas/values.ts';
import type { ContextOptions } from '../../../domain/context.ts';
import type { ConflictId, RunId } from '../../../domain/ids.ts';
import { packCursor } from '../../../store/paging.ts';
import { CALLER } from '../../support/engine.ts';
import { newLink } from '../../support/sample-link.ts';
import { asKey, codeOf, openStore, put, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
beforeAll(async () => {
  under = await openStore();
});
afterAll(() => under.close());

const list = (filter: object, limit = 100, cursor?: string) =>
  under.store.contexts.list(CALLER, { limit, cursor, ...filter });
const keysOf = async (filter: object): Promise<string[]> =>
  (await list(filter)).items.map((item) => item.key);
const store = (key: string, options: ContextOptions) =>
  under.store.contexts.store(CALLER, {
    key: asKey(key),
    data: 1,
    options: { ttl: null, ...options },
  });

/** All pages from a cursor on. */
async function pagesFrom(prefix: string, limit: number, start?: string): Promise<string[][]> {
  const pages: string[][] = [];
  for (let cursor = start; ;) {
    const page = await list({ prefix }, limit, cursor);
    pages.push(page.items.map((item) => item.key.slice(prefix.length)));
    if (page.nextCursor === null) return pages;
    cursor = page.nextCursor;
  }
}

describe('a prefix', () => {
  const tails = [
    'a',
    'a%',
    'a%b',
    'aXb',
    'a_b',
    'a\\b',
    'A',
    'é',
    'e\u0301',
    '日本',
    '日本語',
    '😀',
    '￿',
  ];
  beforeAll(async () => {
    for (const tail of tails) await put(under, CALLER, `s/${tail}`, tail);
    await put(under, CALLER, 't/a', 'other');
    await put(under, CALLER, 's', 'shorter than the prefix');
  });

  it.each([
    ['a%', ['a%', 'a%b']],
    ['a_', ['a_b']],
    ['a\\', ['a\\b']],
    ['A', ['A']],
    ['é', ['é']],
    ['e', ['e\u0301']],
    ['日本', ['日本', '日本語']],
    ['😀', ['😀']],
    ['%', []],
    ['_', []],
  ])('is text and not a pattern: %j', async (tail, expected) => {
    expect(await keysOf({ prefix: `s/${tail}` })).toEqual(expected.map((name) => `s/${name}`));
  });

  it('finds everything it is the start of, by code point', async () => {
    const byCodePoint = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
    expect(await keysOf({ prefix: 's/' })).toEqual(
      tails.map((tail) => `s/${tail}`).sort(byCodePoint),
    );
  });
});

describe('paging', () => {
  it('shows every key once, however small the pages', async () => {
    for (let nth = 0; nth < 7; nth += 1) await put(under, CALLER, `page/${nth}`, nth);
    const all = ['0', '1', '2', '3', '4', '5', '6'];
    expect(await pagesFrom('page/', 3)).toEqual([all.slice(0, 3), all.slice(3, 6), ['6']]);
    expect(await pagesFrom('page/', 7)).toEqual([all]);
    expect((await pagesFrom('page/', 1)).flat()).toEqual(all);
  });

  it('neither repeats nor skips a key that was there all the time, whatever is written meanwhile', async () => {
    for (const name of ['b', 'd', 'f', 'h']) await put(under, CALLER, `stable/${name}`, name);
    const first = await list({ prefix: 'stable/' }, 2);
    expect(first.items.map((item) => item.key)).toEqual(['stable/b', 'stable/d']);
    await put(under, CALLER, 'stable/a', 'before the cursor');
    await put(under, CALLER, 'stable/b', 'written again');
    await put(under, CALLER, 'stable/e', 'after the cursor');
    await under.store.contexts.delete(CALLER, { key: asKey('stable/d') });
    await under.store.contexts.delete(CALLER, { key: asKey('stable/h') });
    expect((await pagesFrom('stable/', 2, first.nextCursor!)).flat()).toEqual(['e', 'f']);
  });

  it('gives a cursor the API takes back, for the longest key there can be', async () => {
    for (const last of ['a', 'b']) await put(under, CALLER, '😀'.repeat(511) + last, 1);
    const { nextCursor } = await list({ prefix: '😀' }, 1);
    expect(cursorSchema.safeParse(nextCursor).success).toBe(true);
    expect((await list({ prefix: '😀' }, 1, nextCursor!)).items).toHaveLength(1);
  });
});

describe('a filter', () => {
  it('takes contexts that have all of the tags named', async () => {
    await store('tag/1', { tags: ['red', 'big'] });
    await store('tag/2', { tags: ['red'] });
    await store('tag/3', { tags: ['big'] });
    expect(await keysOf({ prefix: 'tag/', tag: ['red'] })).toEqual(['tag/1', 'tag/2']);
    expect(await keysOf({ prefix: 'tag/', tag: ['big', 'red'] })).toEqual(['tag/1']);
    expect(await keysOf({ prefix: 'tag/', tag: ['re'] })).toEqual([]);
    expect(await keysOf({ prefix: 'tag/', tag: [] })).toHaveLength(3);
  });

  it('narrows by session, agent, parent and source, together', async () => {
    await store('f/1', { sessionId: 's', agentId: 'a', parentId: 'p', source: 'x' });
    await store('f/2', { sessionId: 's', agentId: 'b', parentId: 'p', source: 'y' });
    await store('f/3', {});
    expect(await keysOf({ prefix: 'f/', sessionId: 's' })).toEqual(['f/1', 'f/2']);
    expect(await keysOf({ prefix: 'f/', sessionId: 's', agentId: 'b' })).toEqual(['f/2']);
    expect(await keysOf({ prefix: 'f/', parent: 'p', source: 'x' })).toEqual(['f/1']);
    expect(await keysOf({ prefix: 'f/', source: '' })).toEqual([]);
  });
});

describe('a cursor that is not one', () => {
  const [NOT_BASE64, NOT_JSON] = ['%%%', Buffer.from('hello').toString('base64url')];
  const wrong = [
    NOT_BASE64,
    NOT_JSON,
    '',
    packCursor([]),
    packCursor(['a', 'b', 'c']),
    packCursor(['\u0000']),
    packCursor(['not a time', 'not an id']),
    packCursor(['2026-01-01T00:00:00.000Z', 'not an id']),
    packCursor([1e300]),
    packCursor([1.5]),
    packCursor(['x']),
    packCursor([1, 2]),
  ];

  it('is told as such by every list', async () => {
    const link = await under.store.links.create(CALLER, newLink());
    await put(under, CALLER, 'cursor', 1);
    const contexts = [...wrong].filter((cursor) => cursor !== packCursor(['x']));
    for (const cursor of contexts) {
      expect(await codeOf(list({}, 10, cursor)), `contexts ${cursor}`).toBe('INVALID_CURSOR');
    }
    for (const cursor of wrong) {
      const calls = [
        under.store.contexts.versions(CALLER, { key: asKey('cursor'), limit: 1, cursor }),
        under.store.runs.list(CALLER, { linkId: link.id, limit: 1, cursor }),
        under.store.conflicts.list(CALLER, { limit: 1, cursor }),
      ];
      for (const [nth, call] of calls.entries()) {
        expect(await codeOf(call), `call ${nth} with ${cursor}`).toBe('INVALID_CURSOR');
      }
    }
  });

  it.each(['', '1', '1.', '.1', '-1.0', '1.0.0', 'x.y', '99999999999999999999.0', ' 1.0', '1.0\n'])(
    'is told as such by the change feed: %j',
    async (since) => {
      expect(await codeOf(under.store.contexts.changes(CALLER, { since, limit: 1 }))).toBe(
        'INVALID_CURSOR',
      );
    },
  );
});

describe('an id that is not one', () => {
  it.each(['abc', '', '00000000-0000-0000-0000-00000000000', '{}', '\u0000'])(
    'names nothing: %j',
    async (id) => {
      const { runs, conflicts } = under.store;
      const runId = id as RunId;
      const conflictId = id as ConflictId;
      expect(await codeOf(runs.get(CALLER, runId))).toBe('RUN_NOT_FOUND');
      expect(await codeOf(runs.ops(CALLER, runId, { limit: 10 }))).toBe('RUN_NOT_FOUND');
      expect(await codeOf(runs.approve(CALLER, runId))).toBe('PLAN_NOT_FOUND');
      expect(await codeOf(conflicts.get(CALLER, conflictId))).toBe('CONFLICT_NOT_FOUND');
      const resolution = { choice: 'hub', by: null } as const;
      expect(await codeOf(conflicts.resolve(CALLER, conflictId, resolution))).toBe(
        'CONFLICT_NOT_FOUND',
      );
    },
  );
});
