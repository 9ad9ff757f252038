/** P17: contexts never form a cycle of parents, whoever sets them and in whatever order. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MAX_ANCESTORS } from '../../../store/parents.ts';
import { CALLER } from '../../support/engine.ts';
import { hasRealPostgres } from '../../support/servers.ts';
import { asKey, codeOf, openStore, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
let count = 0;
beforeAll(async () => {
  under = await openStore();
});
afterAll(() => under.close());

/** Keys of a family of their own. */
function family() {
  count += 1;
  const prefix = `family${count}/`;
  const { contexts } = under.store;
  const named = (parent: string | null) => (parent === null ? null : prefix + parent);
  const parentOf = async (name: string): Promise<string | null> =>
    (await contexts.get(CALLER, asKey(prefix + name)))?.parentId?.slice(prefix.length) ?? null;
  return {
    prefix,
    parentOf,
    put: (name: string, parent: string | null, caller = CALLER) =>
      contexts.store(caller, {
        key: asKey(prefix + name),
        data: 1,
        options: { ttl: null, parentId: named(parent) },
      }),
    move: (name: string, parent: string | null) =>
      contexts.update(CALLER, {
        key: asKey(prefix + name),
        data: 2,
        changeType: 'replace',
        options: { parentId: named(parent) },
      }),
    remove: (name: string) => contexts.delete(CALLER, { key: asKey(prefix + name) }),
    /** The chain from a context up; fails when it comes back to where it was. */
    async ancestors(name: string): Promise<string[]> {
      const chain: string[] = [];
      for (let at = await parentOf(name); at !== null; at = await parentOf(at)) {
        expect(chain, `a cycle above ${name}`).not.toContain(at);
        chain.push(at);
      }
      return chain;
    },
  };
}

describe('a parent', () => {
  it('may be set, changed, taken away, and named before it exists', async () => {
    const { put, move, ancestors } = family();
    await put('b', 'a');
    await put('c', 'b');
    await put('a', null);
    expect(await ancestors('c')).toEqual(['b', 'a']);
    await move('c', 'a');
    expect(await ancestors('c')).toEqual(['a']);
    await move('c', null);
    await move('a', 'c');
    expect(await ancestors('b')).toEqual(['a', 'c']);
  });

  it('is refused where it would close a cycle, and nothing is written', async () => {
    const { prefix, put, move, ancestors } = family();
    await put('a', null);
    await put('b', 'a');
    await put('c', 'b');
    const detail = `"${prefix}c" cannot be the parent of "${prefix}a": it is below it, so the two would form a cycle.`;
    await expect(move('a', 'c')).rejects.toMatchObject({
      code: 'VALIDATION',
      message: detail,
      extra: {},
      errors: [{ pointer: '/options/parentId', detail }],
    });
    expect(await codeOf(put('a', 'b'))).toBe('VALIDATION');
    expect(await codeOf(put('a', 'a'))).toBe('VALIDATION');
    expect(await codeOf(put('new', 'new'))).toBe('VALIDATION');
    expect(await ancestors('c')).toEqual(['b', 'a']);
  });

  it('is refused where the cycle is closed by the context that did not exist yet', async () => {
    const { put } = family();
    await put('a', 'b');
    expect(await codeOf(put('b', 'a'))).toBe('VALIDATION');
  });

  it('that was deleted still counts, for it may come back with the parent it had', async () => {
    const { put, remove } = family();
    await put('a', null);
    await put('b', 'a');
    await put('c', 'b');
    await remove('b');
    expect(await codeOf(put('a', 'c'))).toBe('VALIDATION');
    await put('b', null);
    await put('a', 'c');
  });

  it('that stays is not asked about again', async () => {
    const { put, move, ancestors } = family();
    await put('a', 'b');
    await under.admin('UPDATE contexts SET parent_id = $1 WHERE key = $1', [`family${count}/a`]);
    await put('a', 'a');
    await move('a', 'b');
    expect(await ancestors('a')).toEqual(['b']);
  });

  it('is refused above a bound, so that a check never takes long', async () => {
    const { prefix, put } = family();
    await put('0', null);
    await under.admin(
      `INSERT INTO contexts (tenant_id, key, version, hash, kind, parent_id, size, compressed,
         created_at, updated_at, deleted)
       SELECT tenant_id, $1 || nth, 1, hash, kind, $1 || (nth - 1), size, compressed, created_at,
         updated_at, deleted
       FROM contexts, generate_series(1, $2::int) AS nth WHERE key = $1 || '0'`,
      [prefix, MAX_ANCESTORS],
    );
    await put('last', `${MAX_ANCESTORS - 2}`);
    expect(await codeOf(put('one more', `${MAX_ANCESTORS}`))).toBe('VALIDATION');
  });

  it('of another tenant is none of ours', async () => {
    const { put } = family();
    const other = await under.addTenant(`other${count}`);
    await put('a', 'b');
    await put('b', 'a', other);
  });
});

describe('whatever is asked for', () => {
  const NAMES = ['a', 'b', 'c', 'd', 'e'];
  const name = fc.constantFrom(...NAMES);
  const step = fc.record({
    what: fc.constantFrom('put' as const, 'put' as const, 'move' as const, 'remove' as const),
    name,
    parent: fc.option(name),
  });
  const refusals = ['VALIDATION', 'CONTEXT_NOT_FOUND'];

  it('no context is ever its own ancestor', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 12 }), async (steps) => {
        const all = family();
        for (const { what, name: of, parent } of steps) {
          const work = what === 'remove' ? all.remove(of) : all[what](of, parent);
          const [done] = await Promise.allSettled([work]);
          const refusal: unknown = done.status === 'rejected' ? done.reason : { code: refusals[0] };
          expect(refusals).toContain((refusal as { code: string }).code);
        }
        for (const of of NAMES) await all.ancestors(of);
      }),
      { numRuns: 25 },
    );
  });

  it.skipIf(!hasRealPostgres())('not even when all is asked at once', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { put, move, ancestors } = family();
      for (const of of NAMES) await put(of, null);
      const ring = NAMES.map((of, nth) => move(of, NAMES[(nth + 1) % NAMES.length]!));
      const moved = await Promise.allSettled(ring);
      expect(moved.filter(({ status }) => status === 'rejected')).toHaveLength(1);
      for (const of of NAMES) await ancestors(of);
    }
  });
});
