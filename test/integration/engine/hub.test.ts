import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createFakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import type { ContextKey } from '../../../domain/ids.ts';
import { canonicalMemory, type Memory } from '../../../domain/item.ts';
import type { Json } from '../../../domain/json.ts';
import type { Link } from '../../../domain/link.ts';
import type { RetentionPolicy } from '../../../store/contract.ts';
import { CALLER, TENANT } from '../../support/engine.ts';
import { createRandom } from '../../support/random.ts';
import { startHubNode, type HubNode } from '../../support/hub-node.ts';
import { startLossyProxy } from '../../support/lossy-proxy.ts';

const memory = (name: string, observations: string[], type = 'thing'): Memory =>
  canonicalMemory({ name, type, observations, relations: [] });

interface Linked {
  readonly node: HubNode;
  readonly link: Link;
}

/** Everything that may go goes at once, seen by links or not. */
const AT_ONCE: RetentionPolicy = {
  keepDeletedMs: 0,
  horizonMs: 0,
  maxVersions: 1,
  keepRunsMs: 0,
  keepRunsPerLink: 0,
  keepAuditMs: 0,
  blobGraceMs: 0,
};

let nodes: [HubNode, HubNode, HubNode];
const local = createFakeRemote({ grade: 'C', kinds: ['memory'] });
let count = 0;

beforeAll(async () => {
  const types = [createFakeType(new Map([['local', local]]))];
  nodes = [await startHubNode({ types }), await startHubNode(), await startHubNode()];
});
afterAll(() => Promise.all(nodes.map((node) => node.close())));

const freshPrefix = (): string => `t${(count += 1)}/`;

async function allShown(): Promise<void> {
  await Promise.all(nodes.map((node) => node.shown()));
}

/** One look of every link, in turn; answers how many writes were planned and conflicts opened. */
async function round(links: readonly Linked[]): Promise<{ planned: number; conflicts: number }> {
  const sum = { planned: 0, conflicts: 0 };
  for (const { node, link } of links) {
    await allShown();
    const { status, counters, error } = await node.engine.drain(link);
    expect({ status, error }).toEqual({ status: 'settled', error: null });
    sum.planned += counters.planned;
    sum.conflicts += counters.conflicts;
  }
  return sum;
}

/** Rounds until one plans nothing; fails when that takes long. Answers how many rounds it took. */
async function untilQuiet(links: readonly Linked[], limit = 12): Promise<number> {
  for (let nth = 1; nth <= limit; nth += 1) if ((await round(links)).planned === 0) return nth;
  throw new Error(`not quiet after ${limit} rounds`);
}

async function expectSilence(links: readonly Linked[]): Promise<void> {
  const versions = () => Promise.all(nodes.map((node) => node.versions()));
  const before = await versions();
  for (let nth = 0; nth < 3; nth += 1) expect(await round(links)).toMatchObject({ planned: 0 });
  expect(await versions()).toEqual(before);
}

async function everywhere(key: string, among: readonly HubNode[] = nodes): Promise<unknown[]> {
  return Promise.all(among.map((node) => node.get(key)));
}

describe('a link to another hub', () => {
  async function pair(more?: Parameters<HubNode['linkTo']>[1]) {
    const [a, b] = nodes;
    const prefix = freshPrefix();
    const link = await a.linkTo(b.url, { scope: { prefix }, ...more });
    return { a, b, prefix, link, links: [{ node: a, link }] };
  }

  it('carries every context under the prefix, whatever its kind and value', async () => {
    const { a, b, prefix, links } = await pair();
    const values: readonly (readonly [string, Json, string])[] = [
      ['object', { deep: { list: [1, -0, 'x\u0000', null] }, __proto: 1 }, 'json'],
      ['list', [1, 2, { three: 3 }], 'note'],
      ['text', '', 'plan'],
      ['number', 0, 'json'],
      ['nothing', null, 'json'],
      ['no', false, 'json'],
      ['Ünï cödé %/~', { a: 1 }, 'json'],
      ['memory', memory('Alice', ['likes tea']), 'memory'],
      ['', { key: 'the prefix itself' }, 'json'],
    ];
    for (const [tail, value, kind] of values) await a.put(`${prefix}a/${tail}`, value, kind);
    for (const [tail, value, kind] of values) await b.put(`${prefix}b/${tail}`, value, kind);
    await b.put('elsewhere', 1);
    await untilQuiet(links);
    for (const side of ['a', 'b']) {
      for (const [tail, value, kind] of values) {
        const key = `${prefix}${side}/${tail}`;
        expect(await everywhere(key, [a, b]), key).toEqual([value, value]);
        expect([await a.kindOf(key), await b.kindOf(key)], key).toEqual([kind, kind]);
      }
    }
    expect(await a.get('elsewhere')).toBeUndefined();
    await expectSilence(links);
  });

  it('carries edits and deletes of both sides', async () => {
    const { a, b, prefix, links } = await pair();
    for (const tail of ['1', '2', '3', '4', '5']) await a.put(prefix + tail, { at: 'a' });
    await untilQuiet(links);
    await a.put(`${prefix}1`, { at: 'a again' });
    await b.put(`${prefix}2`, { at: 'b' });
    await a.remove(`${prefix}3`);
    await b.remove(`${prefix}4`);
    await untilQuiet(links);
    expect(await everywhere(`${prefix}1`, [a, b])).toEqual([{ at: 'a again' }, { at: 'a again' }]);
    expect(await everywhere(`${prefix}2`, [a, b])).toEqual([{ at: 'b' }, { at: 'b' }]);
    expect(await everywhere(`${prefix}3`, [a, b])).toEqual([undefined, undefined]);
    expect(await everywhere(`${prefix}4`, [a, b])).toEqual([undefined, undefined]);
    expect(await everywhere(`${prefix}5`, [a, b])).toEqual([{ at: 'a' }, { at: 'a' }]);
    await expectSilence(links);
  });

  it('merges plain JSON by member and memories as memories', async () => {
    const { a, b, prefix, links } = await pair();
    const [plain, alice] = [`${prefix}plain`, `${prefix}alice`];
    await a.put(plain, { x: 1, y: 1 });
    await a.put(alice, memory('Alice', ['old']), 'memory');
    await untilQuiet(links);
    await a.put(plain, { x: 2, y: 1 });
    await b.put(plain, { x: 1, y: 2, z: 3 });
    await a.put(alice, memory('Alice', ['old', 'from a']), 'memory');
    await b.put(alice, memory('Alice', ['old', 'from b']), 'memory');
    await untilQuiet(links);
    const merged = memory('Alice', ['old', 'from a', 'from b']);
    expect(await everywhere(plain, [a, b])).toEqual(Array(2).fill({ x: 2, y: 2, z: 3 }));
    expect(await everywhere(alice, [a, b])).toEqual([merged, merged]);
    expect([await a.kindOf(alice), await b.kindOf(alice)]).toEqual(['memory', 'memory']);
  });

  it('keeps a chosen kind where the other side stores without naming one', async () => {
    const { a, b, prefix, links } = await pair();
    const key = `${prefix}alice`;
    await a.put(key, memory('Alice', ['old']), 'memory');
    await untilQuiet(links);
    await b.put(key, memory('Alice', ['new']));
    await untilQuiet(links);
    expect(await a.get(key)).toEqual(memory('Alice', ['new']));
    expect(await a.kindOf(key)).toBe('memory');
    await b.put(key, { entirely: 'else' }, 'note');
    await untilQuiet(links);
    expect(await a.kindOf(key)).toBe('note');
  });

  it('opens a conflict for one value changed on both sides, and carries its resolution', async () => {
    const { a, b, prefix, link, links } = await pair();
    const key = `${prefix}x`;
    await a.put(key, { v: 0 });
    await untilQuiet(links);
    await a.put(key, { v: 1 });
    await b.put(key, { v: 2 });
    expect(await round(links)).toMatchObject({ conflicts: 1 });
    const { items } = await a.engine.store.conflicts.list(CALLER, { linkId: link.id, limit: 10 });
    expect(items).toMatchObject([{ base: { v: 0 }, hub: { v: 1 }, remote: { v: 2 } }]);
    const { id } = items[0]!;
    await a.engine.store.conflicts.resolve(CALLER, id, { choice: 'remote', by: 'a person' });
    await untilQuiet(links);
    expect(await everywhere(key, [a, b])).toEqual([{ v: 2 }, { v: 2 }]);
  });

  it('takes null for a value: it is copied, beats a delete, and is deleted like any other', async () => {
    const { a, b, prefix, links } = await pair();
    const keys = ['new', 'edited', 'against a delete', 'deleted'].map((tail) => prefix + tail);
    const [fresh, edited, against, deleted] = keys as [string, string, string, string];
    for (const key of [edited, against]) await a.put(key, { v: 1 });
    for (const key of [fresh, deleted]) await b.put(key, null);
    await untilQuiet(links);
    expect(await everywhere(deleted, [a, b])).toEqual([null, null]);
    await b.put(edited, null);
    await a.put(against, null);
    await b.remove(against);
    await b.remove(deleted);
    await untilQuiet(links);
    for (const key of [fresh, edited, against]) {
      expect(await everywhere(key, [a, b]), key).toEqual([null, null]);
    }
    expect(await everywhere(deleted, [a, b])).toEqual([undefined, undefined]);
    await expectSilence(links);
  });

  it.each([
    ['hub', { base: 0, a: null, b: 2 }, null],
    ['remote', { base: 0, a: 1, b: null }, null],
    ['base', { base: null, a: 1, b: 2 }, null],
    ['merged', { base: null, a: 1, b: 2 }, null],
    ['hub', { base: undefined, a: null, b: 2 }, null],
    ['remote', { base: undefined, a: 1, b: null }, null],
    ['remote', { base: 0, a: null, b: 2 }, 2],
    ['hub', { base: 0, a: 1, b: null }, 1],
    ['value', { base: 0, a: 1, b: 2 }, null],
  ] as const)(
    'writes what "%s" stands for in a conflict of %o, null included',
    async (choice, { base, a: here, b: there }, decided) => {
      const { a, b, prefix, link, links } = await pair();
      const key = `${prefix}x`;
      // Without another item a delete would empty a side, which parks.
      await a.put(`${prefix}other`, 1);
      if (base !== undefined) await a.put(key, base);
      await untilQuiet(links);
      await a.put(key, here);
      await b.put(key, there);
      expect(await round(links)).toMatchObject({ conflicts: 1 });
      const { conflicts } = a.engine.store;
      const { items } = await conflicts.list(CALLER, { linkId: link.id, limit: 10 });
      const resolution = { choice, by: 'a person', ...(choice === 'value' ? { value: null } : {}) };
      expect(await conflicts.resolve(CALLER, items[0]!.id, resolution)).toMatchObject({
        status: 'resolved',
      });
      await untilQuiet(links);
      expect(await everywhere(key, [a, b])).toEqual([decided, decided]);
      await expectSilence(links);
    },
  );

  it('never passes on that a context ran out', async () => {
    const { a, b, prefix, links } = await pair();
    const key = `${prefix}short`;
    await b.put(key, { v: 1 });
    await untilQuiet(links);
    await b.engine.store.contexts.delete(CALLER, { key: key as ContextKey, reason: 'ttl' });
    await untilQuiet(links);
    expect(await everywhere(key, [a, b])).toEqual([{ v: 1 }, undefined]);
  });

  async function audited(node: HubNode, link: Link) {
    await node.engine.store.audits.request(CALLER, link.id);
    await allShown();
    const { status } = await node.engine.drain(link);
    expect(status).toBe('settled');
    return (await node.engine.store.links.status(CALLER, link.id)).proof;
  }
  const runOut = (node: HubNode, key: string) =>
    node.engine.store.contexts.delete(CALLER, { key: key as ContextKey, reason: 'ttl' });
  const sql = (node: HubNode, text: string, values: unknown[]) =>
    node.engine.database.withTenant(TENANT, (tx) => tx.query(text, values));

  it('keeps through an audit what ran out there, swept or not, and counts it apart', async () => {
    const { a, b, prefix, link, links } = await pair();
    const keys = ['swept', 'unswept', 'kept'].map((tail) => prefix + tail);
    for (const key of keys) await b.put(key, { v: 1 });
    await untilQuiet(links);
    await runOut(b, keys[0]!);
    await sql(b, `UPDATE contexts SET expires_at = now() - interval '1 s' WHERE key = $1`, [
      keys[1],
    ]);
    const resting = { isEqual: true, items: 1, expired: 2, unequal: 0 };
    expect(await audited(a, link)).toMatchObject(resting);
    expect(await audited(a, link)).toMatchObject(resting);
    for (const key of keys) expect(await a.get(key), key).toEqual({ v: 1 });
    await b.put(keys[0]!, { v: 2 });
    await untilQuiet(links);
    expect(await a.get(keys[0]!)).toEqual({ v: 2 });
    expect(await audited(a, link)).toMatchObject({ items: 2, expired: 1, unequal: 0 });
    await b.remove(keys[0]!);
    await untilQuiet(links);
    expect(await everywhere(keys[0]!, [a, b])).toEqual([undefined, undefined]);
  });

  it('sends an edit of what ran out there as a new context, whatever the strategy', async () => {
    const { a, b, prefix, link, links } = await pair({ strategy: 'prefer-remote' });
    const key = `${prefix}short`;
    await b.put(key, { v: 1 });
    await b.put(`${prefix}other`, 1);
    await untilQuiet(links);
    await runOut(b, key);
    await audited(a, link);
    expect(await a.get(key)).toEqual({ v: 1 });
    await a.put(key, { v: 2 });
    await untilQuiet(links);
    expect(await everywhere(key, [a, b])).toEqual([{ v: 2 }, { v: 2 }]);
    expect(await audited(a, link)).toMatchObject({ items: 2, expired: 0, unequal: 0 });
  });

  it('deletes after a feed that broke off what was deleted there, and nothing else', async () => {
    const { a, b, prefix, link, links } = await pair();
    const [short, deleted, lost, kept] = ['short', 'deleted', 'lost', 'kept'].map(
      (tail) => prefix + tail,
    ) as [string, string, string, string];
    for (const key of [short, deleted, lost, kept]) await b.put(key, { v: 1 });
    await untilQuiet(links);
    await runOut(b, short);
    await b.remove(deleted);
    for (const table of ['contexts', 'context_versions'])
      await sql(b, `DELETE FROM ${table} WHERE key = $1`, [lost]);
    await b.put(`${prefix}new`, { v: 1 });
    await allShown();
    await b.engine.store.retention.collect(TENANT, AT_ONCE);
    await untilQuiet(links);
    expect(await everywhere(short, [a, b])).toEqual([{ v: 1 }, undefined]);
    expect(await everywhere(deleted, [a, b])).toEqual([undefined, undefined]);
    expect(await everywhere(lost, [a, b])).toEqual([{ v: 1 }, undefined]);
    expect(await everywhere(`${prefix}new`, [a, b])).toEqual([{ v: 1 }, { v: 1 }]);
    expect(await audited(a, link)).toMatchObject({ isEqual: true, items: 2, expired: 2 });
    await expectSilence(links);
  });

  it('goes through a prefix of its own on the other side', async () => {
    const [a, b] = nodes;
    const [here, there] = [freshPrefix(), freshPrefix()];
    const config = { url: b.url, prefix: there };
    const link = await a.engine.addLink('hub', config, { scope: { prefix: here } });
    await a.put(`${here}x`, 1);
    await b.put(`${there}y`, 2);
    await untilQuiet([{ node: a, link }]);
    expect(await b.get(`${there}x`)).toBe(1);
    expect(await a.get(`${here}y`)).toBe(2);
  });

  it('starts anew when its prefix changes, and leaves what was under the old one alone', async () => {
    const { a, b, prefix: old, link, links } = await pair();
    const next = freshPrefix();
    await a.put(`${old}x`, { at: 'old' });
    await untilQuiet(links);
    await b.put(`${next}x`, { at: 'next, there' });
    await a.put(`${next}y`, { at: 'next, here' });
    const moved = await a.engine.store.links.patch(CALLER, link.id, { scope: { prefix: next } });
    await b.put(`${old}x`, { at: 'old, edited since' });
    await untilQuiet([{ node: a, link: moved }]);
    expect(await everywhere(`${next}x`, [a, b])).toEqual(Array(2).fill({ at: 'next, there' }));
    expect(await everywhere(`${next}y`, [a, b])).toEqual(Array(2).fill({ at: 'next, here' }));
    expect(await everywhere(`${old}x`, [a, b])).toEqual([
      { at: 'old' },
      { at: 'old, edited since' },
    ]);
    const back = await a.engine.store.links.patch(CALLER, link.id, { scope: { prefix: old } });
    await a.put(`${old}z`, 1);
    await untilQuiet([{ node: a, link: back }]);
    expect(await everywhere(`${old}z`, [a, b])).toEqual([1, 1]);
    expect(await b.get(`${next}y`)).toEqual({ at: 'next, here' });
  });

  describe.each([
    ['wider', 'sub/', ''],
    ['narrower', '', 'sub/'],
  ])('whose prefix becomes %s', (_, from, to) => {
    async function overlapping() {
      const [a, b] = nodes;
      const root = freshPrefix();
      const link = await a.linkTo(b.url, { scope: { prefix: root + from } });
      return { a, b, root, link };
    }
    const widths = { outer: 'x', inner: 'sub/x', innermost: 'sub/sub/x' };

    it('keeps every item what it is: none is taken for one of another key', async () => {
      const { a, b, root, link } = await overlapping();
      for (const [name, tail] of Object.entries(widths)) {
        await b.put(root + tail, { is: name });
        await a.put(root + tail.replace('x', 'y'), { is: name });
      }
      await untilQuiet([{ node: a, link }]);
      await b.put(`${root}sub/x`, { is: 'inner', edited: true });
      const scope = { prefix: root + to };
      const moved = await a.engine.store.links.patch(CALLER, link.id, { scope });
      await untilQuiet([{ node: a, link: moved }]);
      const isSeen = (tail: string) => from === '' || tail.startsWith(to);
      for (const [name, tail] of Object.entries(widths)) {
        const edited = name === 'inner';
        const value = { is: name, ...(edited ? { edited } : {}) };
        expect(await b.get(root + tail), tail).toEqual(value);
        const isStale = edited && !isSeen(tail);
        expect(await a.get(root + tail), tail).toEqual(isStale ? { is: name } : value);
        const key = root + tail.replace('x', 'y');
        expect(await everywhere(key, [a, b]), key).toEqual(Array(2).fill({ is: name }));
      }
      for (const node of [a, b]) {
        const { items } = await node.engine.store.contexts.list(CALLER, { prefix: root, limit: 9 });
        expect(items).toHaveLength(6);
      }
      await expectSilence([{ node: a, link: moved }]);
    });

    it('forgets the writes under way: none of them reaches an item of another key', async () => {
      const { a, b, root, link } = await overlapping();
      for (const tail of Object.values(widths)) await a.put(root + tail, { at: tail });
      for (const tail of Object.values(widths)) await b.put(root + tail, { at: tail });
      await untilQuiet([{ node: a, link }]);
      await a.remove(`${root}sub/x`);
      await allShown();
      const call = globalThis.fetch;
      const broken = vi.spyOn(globalThis, 'fetch').mockImplementation((to, init) => {
        const isWrite = init?.method !== undefined && init.method !== 'GET';
        return isWrite ? Promise.reject(new TypeError('cut off')) : call(to, init);
      });
      expect(await a.engine.pass(link)).toMatchObject({ status: 'failed' });
      broken.mockRestore();
      const scope = { prefix: root + to };
      const moved = await a.engine.store.links.patch(CALLER, link.id, { scope });
      await untilQuiet([{ node: a, link: moved }]);
      for (const tail of Object.values(widths)) {
        expect(await b.get(root + tail), tail).toEqual({ at: tail });
      }
      expect(await a.get(`${root}x`)).toEqual({ at: 'x' });
      expect(await a.get(`${root}sub/sub/x`)).toEqual({ at: 'sub/sub/x' });
      await expectSilence([{ node: a, link: moved }]);
    });
  });

  it('brings a local memory to the other hub and back', async () => {
    const [a, b] = nodes;
    const prefix = freshPrefix();
    const scope = { prefix };
    const near = await a.engine.addLink('fake', { remote: 'local' }, { scope });
    const links = [
      { node: a, link: near },
      { node: a, link: await a.linkTo(b.url, { scope }) },
    ];
    local.put(memory('Alice', ['likes tea']));
    await untilQuiet(links);
    expect(await b.get(`${prefix}alice`)).toEqual(memory('Alice', ['likes tea']));
    await b.put(`${prefix}alice`, memory('Alice', ['likes tea', 'and milk']), 'memory');
    await untilQuiet(links);
    expect(local.get('Alice')).toEqual(memory('Alice', ['likes tea', 'and milk']));
    await expectSilence(links);
  });
});

describe('a write whose answer is lost', () => {
  it('is done once, whether it creates, changes or deletes', async () => {
    const [a, b] = nodes;
    const proxy = await startLossyProxy(b.url);
    const prefix = freshPrefix();
    const link = await a.linkTo(proxy.url, { scope: { prefix } });
    const key = `${prefix}x`;
    const versionsOfB = async (): Promise<number> => {
      const asked = { key: key as ContextKey, limit: 100 };
      return (await b.engine.store.contexts.versions(CALLER, asked)).items.length;
    };
    // Deleting the only item would be an emptied side, which parks.
    await a.put(`${prefix}other`, 0);
    await untilQuiet([{ node: a, link }]);
    const edits: readonly (() => Promise<void>)[] = [
      () => a.put(key, { v: 1 }),
      () => a.put(key, { v: 2 }),
      () => a.remove(key),
    ];
    for (const [nth, edit] of edits.entries()) {
      await edit();
      await allShown();
      proxy.loseAnswers(1);
      expect(await a.engine.pass(link)).toMatchObject({ status: 'failed' });
      await untilQuiet([{ node: a, link }]);
      expect(await versionsOfB()).toBe(nth + 1);
    }
    expect(await everywhere(key, [a, b])).toEqual([undefined, undefined]);
    await proxy.close();
  });

  it('keeps the edit somebody made there right after it', async () => {
    const [a, b] = nodes;
    const proxy = await startLossyProxy(b.url);
    const prefix = freshPrefix();
    const link = await a.linkTo(proxy.url, { scope: { prefix } });
    const key = `${prefix}x`;
    await a.put(key, { v: 1 });
    await allShown();
    proxy.loseAnswers(1);
    expect(await a.engine.pass(link)).toMatchObject({ status: 'failed' });
    await b.put(key, { v: 1, more: true });
    await untilQuiet([{ node: a, link }]);
    expect(await everywhere(key, [a, b])).toEqual(Array(2).fill({ v: 1, more: true }));
    await proxy.close();
  });

  it('is told to wait by the other hub with a code and a delay', async () => {
    const [a, b] = nodes;
    const proxy = await startLossyProxy(b.url);
    const prefix = freshPrefix();
    const link = await a.linkTo(proxy.url, { scope: { prefix } });
    await untilQuiet([{ node: a, link }]);
    await a.put(`${prefix}x`, 1);
    await allShown();
    proxy.refuse(1, 7);
    expect(await a.engine.pass(link)).toMatchObject({
      status: 'failed',
      error: { code: 'RATE_LIMITED' },
    });
    await proxy.close();
  });
});

describe('two hubs linked from both ends', () => {
  it('agree, rest, and pass an edit on once', async () => {
    const [a, b] = nodes;
    const scope = { prefix: freshPrefix() };
    const links = [
      { node: a, link: await a.linkTo(b.url, { scope }) },
      { node: b, link: await b.linkTo(a.url, { scope }) },
    ];
    for (const [nth, node] of [a, b].entries()) {
      for (let at = 0; at < 5; at += 1) await node.put(`${scope.prefix}${nth}-${at}`, { nth, at });
    }
    await a.put(`${scope.prefix}both`, memory('Both', ['a']), 'memory');
    await b.put(`${scope.prefix}both`, memory('Both', ['b']), 'memory');
    await untilQuiet(links);
    expect(await everywhere(`${scope.prefix}both`, [a, b])).toEqual(
      Array(2).fill(memory('Both', ['a', 'b'])),
    );
    await expectSilence(links);
    const before = await b.versions();
    await a.put(`${scope.prefix}0-0`, { edited: true });
    await untilQuiet(links);
    expect(await b.versions()).toBe(before + 1);
    await a.remove(`${scope.prefix}0-1`);
    await b.remove(`${scope.prefix}1-1`);
    await untilQuiet(links);
    expect(await everywhere(`${scope.prefix}0-1`, [a, b])).toEqual([undefined, undefined]);
    expect(await everywhere(`${scope.prefix}1-1`, [a, b])).toEqual([undefined, undefined]);
    await expectSilence(links);
  });

  it('keep both edits when both links work at the same time', async () => {
    const [a, b] = nodes;
    const scope = { prefix: freshPrefix() };
    const key = `${scope.prefix}x`;
    const links = [
      { node: a, link: await a.linkTo(b.url, { scope }) },
      { node: b, link: await b.linkTo(a.url, { scope }) },
    ];
    await a.put(key, memory('X', ['base']), 'memory');
    await untilQuiet(links);
    for (let nth = 0; nth < 5; nth += 1) {
      for (const [at, node] of [a, b].entries()) {
        const now = (await node.get(key)) as unknown as Memory;
        const more = memory('X', [...now.observations, `${nth} at ${at}`]);
        await node.put(key, more, 'memory');
      }
      await allShown();
      await Promise.all(links.map(({ node, link }) => node.engine.pass(link)));
    }
    await untilQuiet(links);
    const said = [0, 1, 2, 3, 4].flatMap((nth) => [`${nth} at 0`, `${nth} at 1`]);
    expect(await everywhere(key, [a, b])).toEqual(Array(2).fill(memory('X', ['base', ...said])));
    await expectSilence(links);
  });
});

describe('a ring of three hubs', () => {
  async function ring() {
    const [a, b, c] = nodes;
    const scope = { prefix: freshPrefix() };
    const links: Linked[] = [
      { node: a, link: await a.linkTo(b.url, { scope }) },
      { node: b, link: await b.linkTo(c.url, { scope }) },
      { node: c, link: await c.linkTo(a.url, { scope }) },
    ];
    return { links, prefix: scope.prefix };
  }

  it('converges on edits at all three at once, and becomes quiet', async () => {
    const { links, prefix } = await ring();
    for (const [at, node] of nodes.entries()) await node.put(`${prefix}own-${at}`, { at });
    await nodes[0].put(`${prefix}shared`, memory('Shared', ['base']), 'memory');
    await untilQuiet(links);
    for (const [at, node] of nodes.entries()) {
      await node.put(`${prefix}shared`, memory('Shared', ['base', `from ${at}`]), 'memory');
      await node.put(`${prefix}new-${at}`, { at });
    }
    await untilQuiet(links);
    const shared = memory('Shared', ['base', 'from 0', 'from 1', 'from 2']);
    expect(await everywhere(`${prefix}shared`)).toEqual([shared, shared, shared]);
    for (const at of [0, 1, 2]) {
      expect(await everywhere(`${prefix}new-${at}`)).toEqual(Array(3).fill({ at }));
    }
    await expectSilence(links);
  });

  it('does not bring back what was deleted, wherever that was', async () => {
    const { links, prefix } = await ring();
    for (let at = 0; at < 6; at += 1) await nodes[0].put(`${prefix}${at}`, { at });
    await untilQuiet(links);
    for (const [at, node] of nodes.entries()) await node.remove(`${prefix}${at}`);
    await untilQuiet(links);
    for (const at of [0, 1, 2]) {
      expect(await everywhere(`${prefix}${at}`)).toEqual([undefined, undefined, undefined]);
    }
    expect(await everywhere(`${prefix}3`)).toEqual(Array(3).fill({ at: 3 }));
    await expectSilence(links);
  });

  it('asks about a contradiction at each link that meets it, and one answer settles all', async () => {
    const { links, prefix } = await ring();
    const key = `${prefix}x`;
    await nodes[0].put(key, { v: 0 });
    await untilQuiet(links);
    await nodes[0].put(key, { v: 1 });
    await nodes[1].put(key, { v: 2 });
    await untilQuiet(links);
    const open = async ({ node, link }: Linked) =>
      (
        await node.engine.store.conflicts.list(CALLER, {
          linkId: link.id,
          status: 'open',
          limit: 10,
        })
      ).items;
    const asked = await open(links[0]!);
    expect(asked).toHaveLength(1);
    expect(await open(links[2]!)).toHaveLength(1);
    await nodes[0].engine.store.conflicts.resolve(CALLER, asked[0]!.id, {
      choice: 'remote',
      by: 'a person',
    });
    await untilQuiet(links);
    expect(await everywhere(key)).toEqual(Array(3).fill({ v: 2 }));
    for (const link of links) expect(await open(link)).toEqual([]);
    await expectSilence(links);
  });

  it('does not bring back a delete that meets links working at the same time', async () => {
    const { links, prefix } = await ring();
    for (let at = 0; at < 6; at += 1) await nodes[0].put(`${prefix}${at}`, { at });
    await untilQuiet(links);
    await nodes[1].remove(`${prefix}0`);
    for (let nth = 0; nth < 3; nth += 1) {
      await allShown();
      await Promise.all(links.map(({ node, link }) => node.engine.pass(link)));
    }
    await untilQuiet(links);
    expect(await everywhere(`${prefix}0`)).toEqual([undefined, undefined, undefined]);
    await expectSilence(links);
  });

  it.each([1, 2, 3])('converges after random edits everywhere (seed %i)', async (seed) => {
    const { links, prefix } = await ring();
    const random = createRandom(seed);
    const names = ['A', 'B', 'C', 'D', 'E', 'F'];
    for (const name of names) await nodes[0].put(prefix + name, memory(name, ['base']), 'memory');
    await untilQuiet(links);
    for (let step = 0; step < 40; step += 1) {
      const node = random.pick(nodes);
      const name = random.pick(names);
      const now = (await node.get(prefix + name)) as unknown as Memory | undefined;
      const what = random.next();
      if (what < 0.15 && now) await node.remove(prefix + name);
      else if (what < 0.7) {
        const facts = [...(now?.observations ?? []), `step ${step}`];
        await node.put(prefix + name, memory(name, facts), 'memory');
      } else {
        await node.shown();
        const { node: looking, link } = random.pick(links);
        await looking.engine.pass(link);
      }
    }
    await untilQuiet(links);
    for (const name of names) {
      const [first, ...others] = await everywhere(prefix + name);
      for (const other of others) expect(other, name).toEqual(first);
    }
    await expectSilence(links);
  });
});
