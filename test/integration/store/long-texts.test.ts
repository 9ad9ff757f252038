/** Names and texts as long as they may be: what the API takes, Postgres takes too. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { searchVectorOf } from '../../../store/search/search-row.ts';
import { CALLER } from '../../support/engine.ts';
import { asKey, codeOf, openStore, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
beforeAll(async () => {
  under = await openStore();
});
afterAll(() => under.close());

/** Text of four-byte characters that no compression makes shorter. */
function longText(codePoints: number, seed: number): string {
  let state = seed;
  return Array.from({ length: codePoints }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return String.fromCodePoint(0x20000 + ((state >>> 8) % 40_000));
  }).join('');
}

/** Different words of 64 three-byte letters each, joined by spaces. */
function longWords(count: number): string {
  const word = (nth: number): string =>
    Array.from({ length: 64 }, (_, at) =>
      String.fromCharCode(0x10d0 + ((nth >> (at % 13)) & 1) + (at % 2) * 2),
    ).join('');
  return Array.from({ length: count }, (_, nth) => word(nth)).join(' ');
}

describe('names of the allowed length', () => {
  it('are stored and listed: key, parent, session, agent, source, kind and tags', async () => {
    const key = asKey(longText(512, 1));
    const options = {
      ttl: null,
      parentId: longText(512, 2),
      sessionId: longText(256, 3),
      agentId: longText(256, 4),
      source: longText(256, 5),
      kind: longText(128, 6),
      tags: Array.from({ length: 64 }, (_, nth) => longText(128, 10 + nth)),
    };
    await under.store.contexts.store(CALLER, { key, data: 1, options });
    const { parentId, sessionId, agentId } = options;
    for (const filter of [
      { parent: parentId },
      { sessionId },
      { agentId },
      { tag: options.tags },
    ]) {
      const page = await under.store.contexts.list(CALLER, { ...filter, limit: 10 });
      expect(page.items.map((row) => row.key)).toEqual([key]);
    }
  });

  it('are listed in order, page by page, among short ones', async () => {
    const names = Array.from({ length: 12 }, (_, nth) => `${nth % 7}${nth}/`);
    const keys = names.map((name, nth) => name + longText(nth % 3 === 0 ? 300 : 5, 200 + nth));
    const related = { parentId: 'above', sessionId: 'one', agentId: 'two' };
    for (const key of keys) {
      const write = { key: asKey(key), data: 1, options: { ttl: null, ...related } };
      await under.store.contexts.store(CALLER, write);
    }
    for (const filter of [{ parent: 'above' }, { sessionId: 'one' }, { agentId: 'two' }]) {
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await under.store.contexts.list(CALLER, { ...filter, limit: 5, cursor });
        seen.push(...page.items.map((row) => row.key));
        cursor = page.nextCursor ?? undefined;
      } while (cursor !== undefined);
      expect(seen).toEqual([...keys].sort());
    }
  });

  it('are stored and found where the key has many parts', async () => {
    const key = asKey(Array.from({ length: 16 }, (_, nth) => longText(31, 100 + nth)).join('/'));
    await under.store.contexts.store(CALLER, { key, data: 'needle', options: { ttl: null } });
    const query = { query: 'needle', mode: 'text', limit: 5, offset: 0 } as const;
    const { results } = await under.store.search.search(CALLER, query);
    expect(results.map((hit) => hit.key)).toEqual([key]);
  });
});

describe('the search index', () => {
  it('takes a context whatever its metadata once were', async () => {
    const metadata = { text: longWords(8_000), end: 'unseen' };
    const options = { ttl: null, metadata };
    await under.store.contexts.store(CALLER, { key: asKey('heavy'), data: 1, options });
    expect(await under.store.contexts.get(CALLER, asKey('heavy'))).toMatchObject({ metadata });
  });

  it('stays within what Postgres takes, however long the terms are', async () => {
    const text = { values: [longWords(8_000)], names: [] };
    const vector = searchVectorOf({ key: 'k', tags: [], metadata: {}, text });
    const [row] = await under.admin<{ terms: number }>('SELECT length($1::tsvector) AS terms', [
      vector,
    ]);
    expect(row!.terms).toBeGreaterThan(4_000);
  });
});

describe('a batch', () => {
  it('counts metadata in what it reads, to answer or to keep', async () => {
    const metadata = { text: 'x'.repeat(64 * 1024 - 20) };
    const key = asKey('batched');
    await under.store.contexts.store(CALLER, { key, data: 1, options: { ttl: null, metadata } });
    const batch = (operations: Parameters<typeof under.store.contexts.batch>[1]['operations']) =>
      under.store.contexts.batch(CALLER, { atomic: true, operations });
    const many = <T>(operation: T): T[] => Array.from({ length: 600 }, () => operation);
    expect(await codeOf(batch(many({ op: 'get', key } as const)))).toBe('BATCH_TOO_LARGE');
    const update = { op: 'update', key, data: 2, changeType: 'replace' } as const;
    expect(await codeOf(batch(many({ ...update, options: {} })))).toBe('BATCH_TOO_LARGE');
    expect(
      await batch([
        { ...update, options: {} },
        { op: 'get', key },
      ]),
    ).toMatchObject([{ status: 'updated' }, { status: 'found', context: { metadata } }]);
  });
});
