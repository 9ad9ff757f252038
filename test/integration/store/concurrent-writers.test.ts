import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Json } from '../../../domain/json.ts';
import { CALLER } from '../../support/engine.ts';
import { hasRealPostgres } from '../../support/servers.ts';
import { asKey, openStore, put, type StoreUnderTest } from './store-under-test.ts';

const WRITERS = 20;
const TRIES = 20;

let under: StoreUnderTest;
beforeAll(async () => {
  under = await openStore();
});
afterAll(() => under.close());

const key = (name: string) => asKey(`c/${name}`);
const codesOf = (results: readonly PromiseSettledResult<unknown>[]): string[] =>
  results.flatMap((one) =>
    one.status === 'rejected' ? [String((one.reason as { code?: unknown }).code)] : [],
  );

/** Versions of a key in the change feed, as often as they are in it. */
async function versionsInFeed(name: string, expected: number): Promise<number[]> {
  const read = async (): Promise<number[]> => {
    const query = { since: null, limit: 1000, prefix: key(name) };
    return (await under.store.contexts.changes(CALLER, query)).changes.map(
      (change) => change.version,
    );
  };
  await expect.poll(async () => (await read()).length).toBeGreaterThanOrEqual(expected);
  return read();
}

const upTo = (n: number): number[] => Array.from({ length: n }, (_, nth) => nth + 1);

describe.skipIf(!hasRealPostgres())('writers of one key at once', () => {
  it('lose no acknowledged update under ifVersion, and leave a history without a gap', async () => {
    await put(under, CALLER, key('count'), []);
    const acknowledged: string[] = [];
    const conflicts: number[] = [];
    async function writer(name: string): Promise<void> {
      for (let nth = 0; nth < TRIES; nth += 1) {
        const now = await under.store.contexts.get(CALLER, key('count'));
        const mark = `${name}.${nth}`;
        const write = {
          key: key('count'),
          data: [...(now!.data as string[]), mark] as Json,
          changeType: 'replace' as const,
        };
        const options = { ifVersion: now!.version };
        const outcome = await under.store.contexts
          .update(CALLER, { ...write, options })
          .catch((error: unknown) => error as { code: string; extra: { currentVersion: number } });
        if ('hash' in outcome) acknowledged.push(mark);
        else {
          expect(outcome.code).toBe('VERSION_CONFLICT');
          conflicts.push(outcome.extra.currentVersion - now!.version);
        }
      }
    }
    await Promise.all(upTo(WRITERS).map((nth) => writer(String(nth))));

    const last = await under.store.contexts.get(CALLER, key('count'));
    expect(acknowledged.length + conflicts.length).toBe(WRITERS * TRIES);
    expect(conflicts.every((ahead) => ahead > 0)).toBe(true);
    expect([...(last!.data as string[])].sort()).toEqual([...acknowledged].sort());
    expect(last!.version).toBe(acknowledged.length + 1);
    const { items } = await under.store.contexts.versions(CALLER, {
      key: key('count'),
      limit: 1000,
    });
    expect(items.map((row) => row.version).reverse()).toEqual(upTo(last!.version));
    expect(await versionsInFeed('count', last!.version)).toEqual(upTo(last!.version));
  });

  it('all get a version when they do not ask for one, first creation included', async () => {
    const write = (nth: number) =>
      under.store.contexts.store(CALLER, { key: key('first'), data: nth, options: { ttl: null } });
    const results = await Promise.all(upTo(WRITERS).map(write));
    expect(results.filter((one) => one.created)).toHaveLength(1);
    expect(results.map((one) => one.envelope.version).sort((a, b) => a - b)).toEqual(upTo(WRITERS));
    expect((await versionsInFeed('first', WRITERS)).sort((a, b) => a - b)).toEqual(upTo(WRITERS));
  });

  it('create it once when all say that it must not exist', async () => {
    const options = { ttl: null, ifVersion: 0 };
    const results = await Promise.allSettled(
      upTo(WRITERS).map((nth) =>
        under.store.contexts.store(CALLER, { key: key('once'), data: nth, options }),
      ),
    );
    expect(codesOf(results)).toEqual(Array.from({ length: WRITERS - 1 }, () => 'VERSION_CONFLICT'));
    expect(await versionsInFeed('once', 1)).toEqual([1]);
  });

  it('delete it once, and only one creates it again', async () => {
    await put(under, CALLER, key('gone'), 1);
    const deleted = await Promise.allSettled(
      upTo(WRITERS).map(() => under.store.contexts.delete(CALLER, { key: key('gone') })),
    );
    expect(codesOf(deleted)).toEqual(
      Array.from({ length: WRITERS - 1 }, () => 'CONTEXT_NOT_FOUND'),
    );
    const options = { ttl: null, ifVersion: 0 };
    const again = await Promise.allSettled(
      upTo(WRITERS).map((nth) =>
        under.store.contexts.store(CALLER, { key: key('gone'), data: nth, options }),
      ),
    );
    expect(codesOf(again)).toHaveLength(WRITERS - 1);
    expect((await under.store.contexts.get(CALLER, key('gone')))?.version).toBe(3);
  });

  it('append without losing an element', async () => {
    await put(under, CALLER, key('log'), []);
    const append = (nth: number) =>
      under.store.contexts.update(CALLER, {
        key: key('log'),
        data: [nth],
        changeType: 'append',
        options: {},
      });
    await Promise.all(upTo(WRITERS).map(append));
    const log = (await under.store.contexts.get(CALLER, key('log')))?.data as number[];
    expect(log.sort((a, b) => a - b)).toEqual(upTo(WRITERS));
  });
});

describe.skipIf(!hasRealPostgres())('writers of many keys with the same bodies', () => {
  it('all succeed: equal blobs make nobody fail', async () => {
    const bodies = upTo(5).map((nth) => ({ body: nth }));
    const writes = upTo(100).map((nth) => put(under, CALLER, `many/${nth}`, bodies[nth % 5]!));
    expect((await Promise.all(writes)).every((one) => one.created)).toBe(true);
  });
});
