import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import type { Caller, ContextOptions } from '../../../domain/context.ts';
import type { Json } from '../../../domain/json.ts';
import type { SearchAnswer, SearchQuery } from '../../../store/contract.ts';
import { encryptionWith, newMasterKey } from '../../support/encryption.ts';
import { CALLER, createTestEngine } from '../../support/engine.ts';
import { memory } from '../engine/pairs.ts';
import { asKey, codeOf, openStore, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
beforeAll(async () => {
  under = await openStore({ encryption: encryptionWith(newMasterKey()) });
});
afterAll(() => under.close());

type Given = Partial<SearchQuery>;

function search(query: string, given: Given = {}, caller: Caller = CALLER): Promise<SearchAnswer> {
  return under.store.search.search(caller, {
    query,
    mode: 'text',
    limit: 100,
    offset: 0,
    ...given,
  });
}

async function keysOf(
  query: string,
  given: Given = {},
  caller: Caller = CALLER,
): Promise<string[]> {
  return (await search(query, given, caller)).results.map(({ key }) => key);
}

function put(key: string, data: Json, options: ContextOptions = {}, caller: Caller = CALLER) {
  const all = { ttl: null, ...options };
  return under.store.contexts.store(caller, { key: asKey(key), data, options: all });
}

const words = (key: string): Promise<{ words: string }[]> =>
  under.admin('SELECT words::text FROM context_search WHERE key = $1', [key]);

describe('a write', () => {
  it('is found at once, by its newest text only', async () => {
    await put('fresh/a', { note: 'the walrus sleeps' });
    expect(await keysOf('where is the walrus?')).toEqual(['fresh/a']);
    await put('fresh/a', { note: 'the otter sleeps' });
    expect(await keysOf('walrus')).toEqual([]);
    expect(await keysOf('otters')).toEqual(['fresh/a']);
  });

  it('that is refused or rolled back leaves the index as it was', async () => {
    await put('fresh/b', 'pelican');
    const refused = put('fresh/b', 'heron', { ifVersion: 7 });
    expect(await codeOf(refused)).toBe('VERSION_CONFLICT');
    expect([await keysOf('heron'), await keysOf('pelican')]).toEqual([[], ['fresh/b']]);
  });

  it('of the same body again, by update or rollback, is found by its text', async () => {
    await put('fresh/c', 'armadillo');
    await put('fresh/c', 'badger');
    const at = { key: asKey('fresh/c'), version: 1 };
    await under.store.contexts.rollback(CALLER, at);
    expect([await keysOf('armadillo'), await keysOf('badger')]).toEqual([['fresh/c'], []]);
  });

  it('of a large body is found by its beginning, compressed or not', async () => {
    const filler = 'lorem ipsum '.repeat(15_000);
    await put('fresh/d', { text: `chinchilla ${filler} wombat` }, { compress: true });
    await put('fresh/e', { text: `chinchilla ${filler} wombat` }, { compress: false });
    expect((await keysOf('chinchilla')).sort()).toEqual(['fresh/d', 'fresh/e']);
    expect(await keysOf('wombat')).toEqual([]);
  });

  it('by a link is found like any other', async () => {
    const remote = createFakeRemote({ grade: 'A' });
    remote.put(memory('Capybara', ['likes warm springs']));
    const engine = await createTestEngine({ types: [createFakeType(new Map([['r', remote]]))] });
    try {
      await engine.pass(
        await engine.addLink('fake', { remote: 'r' }, { scope: { prefix: 'zoo/' } }),
      );
      const { results } = await engine.store.search.search(CALLER, {
        ...{ query: 'who likes springs', mode: 'text', limit: 5, offset: 0 },
        ...{ kind: 'memory', prefix: 'zoo/' },
      });
      expect(results.map(({ highlight }) => highlight)).toEqual([
        '<mark>likes</mark> warm <mark>springs</mark>',
      ]);
    } finally {
      await engine.close();
    }
  });
});

describe('what is gone', () => {
  it('is not found after a delete, and leaves no row', async () => {
    await put('gone/a', 'platypus');
    await under.store.contexts.delete(CALLER, { key: asKey('gone/a') });
    expect(await keysOf('platypus')).toEqual([]);
    expect(await words('gone/a')).toEqual([]);
  });

  it('is not found from the second it expires, swept or not', async () => {
    await put('gone/b', 'quokka', { ttl: 60 });
    expect(await keysOf('quokka')).toEqual(['gone/b']);
    under.clock.offsetMs += 60_000;
    try {
      expect(await search('quokka')).toMatchObject({ results: [], total: 0 });
      expect(await keysOf('', { prefix: 'gone/' })).toEqual([]);
      await under.store.sweeps.expireContexts(100);
      expect(await words('gone/b')).toEqual([]);
    } finally {
      under.clock.offsetMs -= 60_000;
    }
  });

  it('is not found by another tenant, filters and totals included', async () => {
    const other = await under.addTenant('other');
    await put('same/key', 'narwhal of ours', { tags: ['shared'] });
    await put('same/key', 'narwhal of theirs', { tags: ['shared'] }, other);
    await put('same/second', 'narwhal of theirs', {}, other);
    const ours = await search('narwhal');
    expect([ours.total, ours.results.map(({ highlight }) => highlight)]).toEqual([
      1,
      ['<mark>narwhal</mark> of ours'],
    ]);
    expect(await keysOf('narwhal', { tags: ['shared'] }, other)).toEqual(['same/key']);
    expect((await search('', { prefix: 'same/' }, other)).total).toBe(2);
  });
});

describe('an encrypted context', () => {
  it('has nothing of its body in the index, and is found by key, tags and metadata', async () => {
    const options = { encrypt: true, tags: ['secret'], metadata: { topic: 'budgets' } };
    await put('vault/plan', { text: 'the canary sings' }, options);
    expect(await keysOf('canary')).toEqual([]);
    for (const query of ['vault', 'secret', 'budget']) {
      const { results } = await search(query);
      expect(results.map(({ key, encrypted }) => [key, encrypted])).toEqual([['vault/plan', true]]);
    }
    const [row] = await words('vault/plan');
    expect(row!.words).not.toMatch(/canari|sing|text/);
  });

  it('is taken out of the index by the write that encrypts it', async () => {
    await put('vault/late', 'flamingo');
    await put('vault/late', 'flamingo', { encrypt: true });
    expect(await keysOf('flamingo')).toEqual([]);
  });
});

describe('filters', () => {
  beforeAll(async () => {
    const text = 'penguin';
    await put('f/one', text, { sessionId: 's1', agentId: 'a1', tags: ['x', 'y'], kind: 'memory' });
    await put('f/two', text, { sessionId: 's1', agentId: 'a2', tags: ['x'] });
    await put('f/deep/three', text, { sessionId: 's2', tags: ['y'] });
    await put('g/f/four', text);
  });

  it.each<[string, Given, string[]]>([
    ['a session', { sessionId: 's1' }, ['f/one', 'f/two']],
    ['an agent', { agentId: 'a2' }, ['f/two']],
    ['a tag', { tags: ['x'] }, ['f/one', 'f/two']],
    ['several tags: all of them', { tags: ['x', 'y'] }, ['f/one']],
    ['a kind', { kind: 'memory' }, ['f/one']],
    ['a folder', { prefix: 'f/' }, ['f/deep/three', 'f/one', 'f/two']],
    ['a prefix within a name', { prefix: 'f/t' }, ['f/two']],
    ['a prefix without a folder', { prefix: 'g' }, ['g/f/four']],
    ['a whole key', { prefix: 'f/deep/three' }, ['f/deep/three']],
    ['all at once', { sessionId: 's1', agentId: 'a1', tags: ['y'], prefix: 'f/' }, ['f/one']],
    ['what nothing has', { sessionId: 'x' }, []],
    ['a session that is called like a tag', { sessionId: 'y' }, []],
  ])('by %s leave what has it', async (_name, given, expected) => {
    expect((await keysOf('penguin', given)).sort()).toEqual(expected);
    const listed = await search('', given);
    expect(listed.results.map(({ key }) => key).sort()).toEqual(expected);
    expect([listed.total, listed.totalIsExact]).toEqual([expected.length, true]);
  });
});

describe('the order', () => {
  it('is by how many of the words a context has, how rare they are and how often they come up', async () => {
    await put('o/all', 'the tapir and the ocelot met');
    await put('o/often', 'ocelot ocelot ocelot');
    await put('o/once', 'an ocelot, a lynx, a puma, a lion, a tiger and a cat');
    expect(await keysOf('tapir ocelot', { prefix: 'o/' })).toEqual(['o/all', 'o/often', 'o/once']);
    const scores = (await search('tapir ocelot', { prefix: 'o/' })).results;
    for (const { score, scores: parts } of scores) {
      expect(parts).toEqual({ text: score, vector: null });
      expect(score).toBeGreaterThan(0);
    }
  });

  it('puts a word in the key or a tag above the same word in the text', async () => {
    await put('p/gecko', 'something else altogether');
    await put('p/other', 'a gecko, that is to say');
    await put('p/named', { gecko: 'as the name of a member only' });
    expect(await keysOf('gecko', { prefix: 'p/' })).toEqual(['p/gecko', 'p/other', 'p/named']);
  });

  it('of an empty query is newest first', async () => {
    for (const name of ['first', 'second', 'third']) {
      await put(`r/${name}`, name);
      under.clock.offsetMs += 1_000;
    }
    await put('r/first', 'again');
    under.clock.offsetMs += 1_000;
    const { results } = await search('  ', { prefix: 'r/' });
    expect(results.map(({ key }) => key)).toEqual(['r/first', 'r/third', 'r/second']);
    expect(results[0]).toMatchObject({ score: 0, scores: { text: null }, highlight: null });
  });
});

describe('pages', () => {
  async function allPages(query: string, given: Given, between: () => Promise<unknown>) {
    const keys: string[] = [];
    for (let cursor: string | null | undefined; cursor !== null;) {
      const page = await search(query, { ...given, limit: 3, cursor: cursor ?? undefined });
      keys.push(...page.results.map(({ key }) => key));
      cursor = page.nextCursor;
      await between();
    }
    return keys;
  }

  it.each(['mongoose at the river', ''])(
    'of %j show each context that nobody touches exactly once, whatever else is written',
    async (query) => {
      const prefix = query === '' ? 'page/recent/' : 'page/ranked/';
      const kept = Array.from({ length: 14 }, (_, nth) => `${prefix}${nth}`);
      for (const [nth, key] of kept.entries()) {
        await put(key, `mongoose ${'river '.repeat(nth % 4)} ${'x '.repeat(nth)}`);
        under.clock.offsetMs += 7;
      }
      let written = 0;
      const keys = await allPages(query, { prefix }, async () => {
        under.clock.offsetMs += 10_000; // statistics are taken anew meanwhile
        for (let nth = 0; nth < 4; nth += 1) {
          await put(`${prefix}new-${(written += 1)}`, 'mongoose mongoose river river');
        }
      });
      expect(keys.filter((key) => !key.includes('new')).sort()).toEqual(kept.sort());
      expect(new Set(keys).size).toBe(keys.length);
    },
  );

  it('by offset go on where the page before ended, and end', async () => {
    for (const nth of [1, 2, 3, 4, 5]) await put(`page/offset/${nth}`, `lemur ${'x '.repeat(nth)}`);
    const given = { prefix: 'page/offset/', limit: 2 };
    const pages = [0, 2, 4, 6].map((offset) => search('lemur', { ...given, offset }));
    const found = await Promise.all(pages);
    expect(found.map(({ results }) => results.length)).toEqual([2, 2, 1, 0]);
    expect(found.map(({ total }) => total)).toEqual([5, 5, 5, 5]);
    const keys = found.flatMap(({ results }) => results.map(({ key }) => key));
    expect(new Set(keys).size).toBe(5);
  });

  it('are refused a cursor of another search', async () => {
    const given = { prefix: 'page/offset/', limit: 2 };
    const ranked = (await search('lemur', given)).nextCursor!;
    const listed = (await search('', given)).nextCursor!;
    const all = [
      search('lemurs and others', { ...given, cursor: ranked }),
      search('lemur', { limit: 2, cursor: ranked }),
      search('lemur', { ...given, cursor: listed }),
      search('', { ...given, cursor: ranked }),
    ];
    for (const each of all) expect(await codeOf(each)).toBe('INVALID_CURSOR');
  });
});

describe('modes', () => {
  it('`hybrid` ranks by words alone and `semantic` is refused, as long as there are no vectors', async () => {
    await put('m/one', 'ibex');
    const text = await search('ibex');
    expect(await search('ibex', { mode: 'hybrid' })).toMatchObject({ results: text.results });
    expect(await codeOf(search('ibex', { mode: 'semantic' }))).toBe('SEARCH_MODE_UNAVAILABLE');
  });
});

describe('a store in which nearly everything has a word', () => {
  it('ranks the newest of what has it, and says that there may be more', async () => {
    const crowd = await under.addTenant('crowd');
    await under.admin(`
      INSERT INTO contexts (tenant_id, key, version, hash, kind, size, created_at, updated_at)
      SELECT 'crowd', 'c/' || n, 1, '\\x00', 'json', 1, now(), now() + n * interval '1 second'
      FROM generate_series(1, 6000) n`);
    await under.admin(`
      INSERT INTO context_search (tenant_id, key, version, words, facets, updated_at, sample)
      SELECT 'crowd', 'c/' || n, 1,
        ('''common'':1C' || CASE WHEN n % 1000 = 0 THEN ' ''special'':2C' ELSE '' END)::tsvector,
        ARRAY['t:crowd', 'k:json', 'p:c/'], now() + n * interval '1 second', hashtext(n::text)
      FROM generate_series(1, 6000) n`);
    const common = await search('common', { limit: 5 }, crowd);
    expect(common).toMatchObject({ total: 500, totalIsExact: false });
    expect(common.results.length).toBe(5);
    // A word that few have brings all of those, wherever they are.
    const both = await keysOf('common special', { limit: 6 }, crowd);
    expect(both.sort()).toEqual(['c/1000', 'c/2000', 'c/3000', 'c/4000', 'c/5000', 'c/6000']);
    const listed = await search('', { limit: 2 }, crowd);
    expect(listed).toMatchObject({ total: 1_000, totalIsExact: false });
    expect(listed.results.map(({ key }) => key)).toEqual(['c/6000', 'c/5999']);
  });
});

describe('mending', () => {
  it('brings back what the index has lost and drops what it should not have', async () => {
    await put('mend/a', { text: 'echidna '.repeat(400) });
    await put('mend/b', 'echidna', { encrypt: true, tags: ['echidnas'] });
    await put('mend/c', 'echidna of old');
    const before = await under.admin<{ row: string }>(
      'SELECT s::text AS row FROM context_search s ORDER BY tenant_id, key',
    );
    await under.admin(`DELETE FROM context_search WHERE key IN ('mend/a', 'mend/b')`);
    await under.admin(`UPDATE context_search SET version = 0, words = '' WHERE key = 'mend/c'`);
    await under.admin(`INSERT INTO context_search
      SELECT 'default', 'mend/ghost', 1, '''echidna'':1', '{t:default}', now(), NULL, 1`);
    const { tenant } = CALLER;
    expect(await under.store.searchIndex.mend(tenant, 2)).toEqual({ indexed: 3, dropped: 1 });
    expect(
      await under.admin('SELECT s::text AS row FROM context_search s ORDER BY tenant_id, key'),
    ).toEqual(before);
    expect(await under.store.searchIndex.mend(tenant)).toEqual({ indexed: 0, dropped: 0 });
  });

  it('leaves a context alone that is being written', async () => {
    await put('mend/busy', 'kakapo');
    await under.admin(`DELETE FROM context_search WHERE key = 'mend/busy'`);
    await under.database.withTenant(CALLER.tenant, async (tx) => {
      await tx.query(`SELECT 1 FROM contexts WHERE key = 'mend/busy' FOR UPDATE`);
      const done = await under.store.searchIndex.mend(CALLER.tenant);
      expect(done).toEqual({ indexed: 0, dropped: 0 });
    });
    expect(await under.store.searchIndex.mend(CALLER.tenant)).toMatchObject({ indexed: 1 });
    expect(await keysOf('kakapo')).toEqual(['mend/busy']);
  });
});
