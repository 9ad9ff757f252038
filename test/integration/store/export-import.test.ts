import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import type { Caller, ContextOptions } from '../../../domain/context.ts';
import { canonicalJson, type Json } from '../../../domain/json.ts';
import type { ImportMode, ImportResult, ImportVersion } from '../../../store/contract.ts';
import { asKey, openStore, put, untilShown, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;

beforeAll(async () => {
  under = await openStore();
});
afterAll(() => under.close());

const freshTenant = (): Promise<Caller> => under.addTenant(`t-${randomUUID()}`);

async function exported(caller: Caller, query: object = {}): Promise<string[]> {
  let text = '';
  const sink = async (piece: string): Promise<void> => void (text += piece);
  const manifest = await under.store.exporter.export(caller, { decrypt: false, ...query }, sink);
  const [first = '', ...lines] = text.trimEnd().split('\n');
  expect(JSON.parse(first)).toEqual(manifest);
  expect(lines).toHaveLength(manifest.versions);
  return lines;
}

interface Line extends Omit<ImportVersion, 'createdAt' | 'updatedAt' | 'expiresAt'> {
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly expiresAt: string | null;
}

function versionOf(text: string, line: number): ImportVersion {
  const said = JSON.parse(text) as Line;
  const { expiresAt } = said;
  return {
    ...said,
    line,
    reason: said.reason ?? null,
    createdAt: new Date(said.createdAt),
    updatedAt: new Date(said.updatedAt),
    expiresAt: expiresAt === null ? null : new Date(expiresAt),
  };
}

function importLines(
  caller: Caller,
  lines: readonly string[],
  mode: ImportMode = 'skip',
): Promise<ImportResult> {
  async function* parsed(): AsyncGenerator<ImportVersion> {
    for (const [nth, text] of lines.entries()) yield versionOf(text, nth + 1);
  }
  return under.store.importer.import(caller, mode, parsed());
}

const changed = (line: string, more: object): string =>
  JSON.stringify({ ...(JSON.parse(line) as object), hash: undefined, ...more });

type Step =
  | {
      readonly do: 'store';
      readonly key: string;
      readonly data: Json;
      readonly options: ContextOptions;
    }
  | { readonly do: 'delete'; readonly key: string };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: storeStep() },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('delete' as const), key: keys() }),
  },
);

function keys(): fc.Arbitrary<string> {
  return fc.constantFrom('a', 'a/b', 'ä', 'Z', '😀', '%', '__proto__');
}

function storeStep(): fc.Arbitrary<Step> {
  return fc.record({
    do: fc.constant('store' as const),
    key: keys(),
    data: fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>,
    options: fc.record(
      {
        ttl: fc.constantFrom(null, 3600),
        tags: fc.uniqueArray(fc.constantFrom('x', 'ü', '","', '{}'), { maxLength: 3 }),
        metadata: fc.constantFrom({}, { n: [1, null], '😀': 'é' }),
        compress: fc.boolean(),
        sessionId: fc.constantFrom('s', null),
        kind: fc.constantFrom('json', 'note'),
      },
      { requiredKeys: ['ttl'] },
    ),
  });
}

describe('an export', () => {
  it('imported into an empty tenant exports the same, byte for byte, whatever was stored', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
        const [from, to] = [await freshTenant(), await freshTenant()];
        for (const each of steps) {
          const key = asKey(each.key);
          if (each.do === 'store') await under.store.contexts.store(from, { ...each, key });
          else await under.store.contexts.delete(from, { key }).catch(() => undefined);
        }
        const lines = await exported(from);
        const result = await importLines(to, lines);
        expect(result).toEqual({ imported: lines.length, skipped: 0, failed: 0, errors: [] });
        expect(await exported(to)).toEqual(lines);
      }),
      { numRuns: 25 },
    );
  }, 120_000);

  it('gives every version in order of key and number, deletes too, and what a reader would get', async () => {
    const caller = await freshTenant();
    for (const n of [1, 2]) await put(under, caller, 'b', n);
    await put(under, caller, 'B', '\u0000 -0');
    await under.store.contexts.delete(caller, { key: asKey('b') });
    await put(under, caller, 'b', -0);
    const lines = (await exported(caller)).map(
      (line) => JSON.parse(line) as Record<string, unknown>,
    );
    expect(lines.map((line) => [line['key'], line['version'], line['changeType']])).toEqual([
      ['B', 1, 'create'],
      ['b', 1, 'create'],
      ['b', 2, 'update'],
      ['b', 3, 'delete'],
      ['b', 4, 'create'],
    ]);
    expect(lines[3]).toMatchObject({ deleted: true, reason: 'user' });
    expect(lines[3]).not.toHaveProperty('data');
    expect((await exported(caller)).at(-1)).toContain('"data":-0}');
    expect(lines[4]).toMatchObject({ createdBy: caller.actor, updatedBy: caller.actor });
  });

  it('is cut to a prefix, and to contexts that have all tags', async () => {
    const caller = await freshTenant();
    const tagged = (key: string, tags: string[]) =>
      under.store.contexts.store(caller, {
        key: asKey(key),
        data: 1,
        options: { tags, ttl: null },
      });
    await tagged('p/1', ['x', 'y']);
    await tagged('p/2', ['x']);
    await tagged('q/1', ['x', 'y']);
    const keysOf = async (query: object): Promise<unknown[]> =>
      (await exported(caller, query)).map((line) => (JSON.parse(line) as { key: string }).key);
    expect(await keysOf({ prefix: 'p/' })).toEqual(['p/1', 'p/2']);
    expect(await keysOf({ tag: ['x', 'y'] })).toEqual(['p/1', 'q/1']);
    expect(await keysOf({ prefix: 'p/', tag: ['y'] })).toEqual(['p/1']);
  });

  it('gives out nothing that has expired, but the version that says so', async () => {
    const caller = await freshTenant();
    const options = { ttl: 5 };
    await under.store.contexts.store(caller, { key: asKey('short'), data: 'secret', options });
    under.clock.offsetMs = 10_000;
    try {
      expect(await exported(caller)).toEqual([]);
      await under.store.sweeps.expireContexts(1_000);
      const lines = await exported(caller);
      expect(lines).toHaveLength(1);
      expect(JSON.parse(lines[0]!)).toMatchObject({ version: 2, deleted: true, reason: 'ttl' });
      const other = await freshTenant();
      await importLines(other, lines);
      expect(await exported(other)).toEqual(lines);
    } finally {
      under.clock.offsetMs = 0;
    }
  });

  it('is one moment: what is written while it goes on is not in it', async () => {
    const caller = await freshTenant();
    for (let n = 0; n < 600; n += 1) await put(under, caller, `k/${String(n).padStart(4, '0')}`, n);
    let text = '';
    let pieces = 0;
    await under.store.exporter.export(caller, { decrypt: false }, async (piece) => {
      text += piece;
      pieces += 1;
      if (pieces === 2) {
        await put(under, caller, 'k/0599', 'later');
        await put(under, caller, 'z', 'later');
      }
    });
    expect(pieces).toBeGreaterThan(2);
    expect(text.trimEnd().split('\n')).toHaveLength(601);
    expect(text).not.toContain('later');
  });

  it('ends when whoever takes it does, and gives its connection back', async () => {
    const caller = await freshTenant();
    await put(under, caller, 'k', 1);
    const gone = new Error('the reader is gone');
    for (let n = 0; n < 30; n += 1) {
      const given = under.store.exporter.export(caller, { decrypt: false }, () =>
        Promise.reject(gone),
      );
      await expect(given).rejects.toBe(gone);
    }
    expect(await exported(caller)).toHaveLength(1);
  });

  it('shows no other tenant', async () => {
    const [mine, other] = [await freshTenant(), await freshTenant()];
    await put(under, other, 'theirs', 1);
    expect(await exported(mine)).toEqual([]);
  });
});

describe('an import over contexts that are there', () => {
  /** A tenant whose `k` is at version 1 with data 'mine', and an export where it is at 2 with 'theirs'. */
  async function scene(): Promise<{ mine: Caller; lines: string[] }> {
    const [mine, theirs] = [await freshTenant(), await freshTenant()];
    await put(under, mine, 'k', 'mine');
    await put(under, theirs, 'k', 'early');
    await put(under, theirs, 'k', 'theirs');
    await put(under, theirs, 'new', 1);
    return { mine, lines: await exported(theirs) };
  }
  const read = async (caller: Caller, key = 'k') => {
    const context = await under.store.contexts.get(caller, asKey(key));
    return context && [context.version, canonicalJson(context.data)];
  };

  it('leaves them alone with `skip`', async () => {
    const { mine, lines } = await scene();
    expect(await importLines(mine, lines)).toMatchObject({ imported: 1, skipped: 2, failed: 0 });
    expect(await read(mine)).toEqual([1, '"mine"']);
    expect(await read(mine, 'new')).toEqual([1, '1']);
  });

  it('puts them over with `overwrite`: free numbers are kept, taken ones never given again', async () => {
    const { mine, lines } = await scene();
    expect(await importLines(mine, lines, 'overwrite')).toMatchObject({ imported: 2, skipped: 1 });
    expect(await read(mine)).toEqual([2, '"theirs"']);
    for (const n of [3, 4, 5]) await put(under, mine, 'k', n);
    expect(await importLines(mine, lines, 'overwrite')).toMatchObject({ imported: 1, skipped: 2 });
    expect(await read(mine)).toEqual([6, '"theirs"']);
    // The same once more changes nothing.
    expect(await importLines(mine, lines, 'overwrite')).toMatchObject({ imported: 0, skipped: 3 });
    expect(await read(mine)).toEqual([6, '"theirs"']);
  });

  it('compares the last change with `newer`, then the version', async () => {
    const { mine, lines } = await scene();
    const times = (iso: string): string[] => lines.map((line) => changed(line, { updatedAt: iso }));
    expect(await importLines(mine, times('2001-01-01T00:00:00.000Z'), 'newer')).toMatchObject({
      imported: 1,
      skipped: 2,
    });
    expect(await read(mine)).toEqual([1, '"mine"']);
    const [row] = await under.admin<{ at: Date }>(
      'SELECT updated_at AS at FROM contexts WHERE tenant_id = $1 AND key = $2',
      [mine.tenant, 'k'],
    );
    await importLines(mine, times(row!.at.toISOString()), 'newer');
    expect(await read(mine)).toEqual([2, '"theirs"']);
    await importLines(
      mine,
      [changed(lines[0]!, { updatedAt: '2999-01-01T00:00:00.000Z' })],
      'newer',
    );
    expect(await read(mine)).toEqual([3, '"early"']);
  });

  it('brings a deleted one back, as a version of its own where the number is taken', async () => {
    const caller = await freshTenant();
    await put(under, caller, 'k', 'kept');
    const lines = await exported(caller);
    await under.store.contexts.delete(caller, { key: asKey('k') });
    expect(await importLines(caller, lines)).toMatchObject({ imported: 1, skipped: 0 });
    expect(await read(caller)).toEqual([3, '"kept"']);
  });

  it('is in the change feed, version by version, and wakes links', async () => {
    const { mine, lines } = await scene();
    await under.admin('DELETE FROM outbox');
    await untilShown(under);
    const { cursor } = await under.store.contexts.changes(mine, { since: 'now', limit: 1 });
    await importLines(mine, lines, 'overwrite');
    await expect
      .poll(
        async () => {
          const { changes } = await under.store.contexts.changes(mine, {
            since: cursor,
            limit: 10,
          });
          return changes.map((change) => `${change.key} ${change.version}`);
        },
        { timeout: 20_000, interval: 20 },
      )
      .toEqual(['k 2', 'new 1']);
    const sent = await under.admin<{ keys: string[] }>(
      `SELECT payload->'keys' AS keys FROM outbox WHERE tenant_id = $1`,
      [mine.tenant],
    );
    expect(sent.flatMap((row) => row.keys).sort()).toEqual(['k', 'new']);
  });
});

describe('an import under way', () => {
  it('leaves alone what somebody else wrote between two of its lines', async () => {
    const [mine, theirs] = [await freshTenant(), await freshTenant()];
    await put(under, theirs, 'k', 'first');
    await put(under, theirs, 'k', 'second');
    const lines = (await exported(theirs)).map((text, nth) => versionOf(text, nth + 1));
    async function* slowly(): AsyncGenerator<ImportVersion> {
      yield lines[0]!;
      // More than is written together.
      for (let nth = 0; nth < 600; nth += 1) yield { ...lines[0]!, key: asKey(`between/${nth}`) };
      await put(under, mine, 'k', 'mine');
      yield lines[1]!;
      yield { ...lines[1]!, version: 9 };
    }
    const result = await under.store.importer.import(mine, 'skip', slowly());
    expect(result).toMatchObject({ imported: 601, skipped: 2, failed: 0 });
    expect(await under.store.contexts.get(mine, asKey('k'))).toMatchObject({ data: 'mine' });
  });
});

describe('a broken line', () => {
  it('is told with its number, and costs no other', async () => {
    const [from, to] = [await freshTenant(), await freshTenant()];
    for (const key of ['a', 'b', 'c', 'd']) await put(under, from, key, key);
    const lines = await exported(from);
    lines[1] = lines[1]!.replace('"data":"b"', '"data":"x"');
    lines[2] = changed(lines[2]!, { parentId: 'c' });
    lines[3] = changed(lines[3]!, { encrypted: true });
    const result = await importLines(to, lines);
    expect(result).toMatchObject({ imported: 1, skipped: 0, failed: 3 });
    expect(result.errors.map(({ line, code }) => [line, code])).toEqual([
      [2, 'VALIDATION'],
      [3, 'VALIDATION'],
      [4, 'ENCRYPTION_NOT_CONFIGURED'],
    ]);
    expect(await exported(to)).toEqual([lines[0]]);
  });

  it('too many of them: the first hundred are told, all are counted', async () => {
    const [from, to] = [await freshTenant(), await freshTenant()];
    await put(under, from, 'a', 1);
    const [line = ''] = await exported(from);
    const many = Array.from({ length: 250 }, (_, n) => line.replace('"data":1', `"data":${n + 2}`));
    const result = await importLines(to, many);
    expect(result.failed).toBe(250);
    expect(result.errors).toHaveLength(100);
  });
});

describe('parents that change places', () => {
  /** A tenant with `a` below `b` below `c`, and lines that put them in other places. */
  async function family(places: Readonly<Record<string, string | null>>) {
    const mine = await freshTenant();
    for (const [key, parentId] of Object.entries({ c: null, b: 'c', a: 'b' })) {
      const options = { ttl: null, parentId };
      await under.store.contexts.store(mine, { key: asKey(key), data: 1, options });
    }
    const lines = (await exported(mine)).map((line) => {
      const { key } = JSON.parse(line) as { key: string };
      const parentId = places[key] ?? null;
      return changed(line, { parentId, version: 2, changeType: 'update' });
    });
    const parents = async () =>
      Object.fromEntries(
        (await under.store.contexts.list(mine, { limit: 9 })).items.map((row) => [
          row.key,
          row.parentId,
        ]),
      );
    return { mine, lines, parents };
  }

  it.each([['forwards'], ['backwards']])('are taken, with the lines %s', async (order) => {
    const places = { a: null, b: 'a', c: 'b' };
    const { mine, lines, parents } = await family(places);
    const sent = order === 'forwards' ? lines : lines.toReversed();
    expect(await importLines(mine, sent, 'overwrite')).toMatchObject({ imported: 3, failed: 0 });
    expect(await parents()).toEqual(places);
  });

  it.each([['forwards'], ['backwards']])(
    'are refused only where they close a cycle, with the lines %s',
    async (order) => {
      const { mine, lines, parents } = await family({ a: 'b', b: 'c', c: 'a' });
      const sent = order === 'forwards' ? lines : lines.toReversed();
      const result = await importLines(mine, sent, 'overwrite');
      expect(result).toMatchObject({ imported: 2, failed: 1, errors: [{ code: 'VALIDATION' }] });
      expect(await parents()).toEqual({ a: 'b', b: 'c', c: null });
    },
  );

  it('leave no cycle where a refused key goes back to the parent it had', async () => {
    // b cannot be its own parent and stays below c: beside c below a that is sound, beside c below b not.
    const { mine, lines, parents } = await family({ a: null, b: 'b', c: 'a' });
    const result = await importLines(mine, lines, 'overwrite');
    expect(result.errors.map(({ line }) => line)).toEqual([2]);
    expect(await parents()).toEqual({ a: null, b: 'c', c: 'a' });
    const second = await family({ a: null, b: 'b', c: 'b' });
    const left = await importLines(second.mine, second.lines, 'overwrite');
    expect(left.errors.map(({ line }) => line)).toEqual([2, 3]);
    expect(await second.parents()).toEqual({ a: null, b: 'c', c: null });
  });
});

describe('a key with more versions than fit into one batch', () => {
  it('comes over whole', async () => {
    const [from, to] = [await freshTenant(), await freshTenant()];
    await put(under, from, 'long', 1);
    const [line = ''] = await exported(from);
    const lines = Array.from({ length: 1_300 }, (_, n) =>
      changed(line, { version: n + 1, data: n, changeType: n === 0 ? 'create' : 'update' }),
    );
    expect(await importLines(to, lines)).toMatchObject({ imported: 1_300, failed: 0 });
    expect(await exported(to)).toHaveLength(1_300);
    expect(await importLines(to, lines)).toMatchObject({ imported: 0, skipped: 1_300 });
  });
});
