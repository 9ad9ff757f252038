import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_GUARDS } from '../../../domain/link.ts';
import type { NewLink } from '../../../store/contract.ts';
import { CALLER } from '../../support/engine.ts';
import { memory, openLinkedRemotes, type LinkedRemotes } from './linked-remotes.ts';
import { newLink } from '../../support/sample-link.ts';
import { asKey, codeOf } from './store-under-test.ts';

let linked: LinkedRemotes;
beforeAll(async () => {
  linked = await openLinkedRemotes();
});
afterAll(() => linked.engine.close());

const links = () => linked.engine.store.links;
const people = (n: number): string[] => Array.from({ length: n }, (_, nth) => `person${nth}`);

describe('a link', () => {
  it('comes back as it was made, by id and by name', async () => {
    const wanted = newLink({
      name: 'all of it',
      config: { remote: 'first', nested: { a: [1, null] } },
      direction: 'pull',
      strategy: 'union',
      strategies: [{ kind: 'memory', pointer: '/type', strategy: 'latest' }],
      intervalMs: 1234,
      trigger: 'manual',
      guards: { ...DEFAULT_GUARDS, maxDeleteCount: 3, canary: 'p/canary' },
    });
    const link = await links().create(CALLER, wanted);
    expect(link).toMatchObject({ ...wanted, state: 'active', guard: null, epoch: 1 });
    expect(await links().get(CALLER, link.id)).toEqual(link);
    expect(await links().get(CALLER, 'all of it')).toEqual(link);
    expect(await codeOf(links().get(CALLER, 'all of'))).toBe('LINK_NOT_FOUND');
  });

  it('has a name of its own: a second one of that name is refused, by create and by patch', async () => {
    const first = await links().create(CALLER, newLink({ name: 'taken' }));
    const second = await links().create(CALLER, newLink({ name: 'free' }));
    const refused = { code: 'VALIDATION', errors: [{ pointer: '/name' }] };
    await expect(links().create(CALLER, newLink({ name: 'taken' }))).rejects.toMatchObject(refused);
    await expect(links().patch(CALLER, second.id, { name: 'taken' })).rejects.toMatchObject(
      refused,
    );
    expect((await links().get(CALLER, second.id)).name).toBe('free');
    await links().remove(CALLER, first.id);
    expect((await links().patch(CALLER, second.id, { name: 'taken' })).name).toBe('taken');
  });

  it('takes its items, runs and ops with it when it is removed, and nobody else’s', async () => {
    const [gone, kept] = [await linked.add(people(3)), await linked.add(people(3))];
    for (const { sync } of [gone, kept]) await sync();
    await links().remove(CALLER, gone.link.id);
    for (const table of ['sync_items', 'sync_runs', 'sync_ops']) {
      const rows = await linked.engine.database.withTenant(CALLER.tenant, (tx) =>
        tx.query<{ id: string }>(
          `SELECT DISTINCT link_id AS id FROM ${table} WHERE link_id = ANY($1::uuid[])`,
          [[gone.link.id, kept.link.id]],
        ),
      );
      expect(rows, table).toEqual([{ id: kept.link.id }]);
    }
  });

  it('leaves an audit row with each change, naming who did it', async () => {
    const link = await links().create(CALLER, newLink());
    await links().patch(CALLER, link.id, { intervalMs: 9_000 });
    await links().pause(CALLER, link.id);
    await links().resume(CALLER, link.id);
    await links().reset(CALLER, link.id);
    await links().remove(CALLER, link.id);
    const rows = await linked.engine.database.withTenant(CALLER.tenant, (tx) =>
      tx.query<{ action: string; actor: string }>(
        'SELECT action, actor FROM audit WHERE target = $1 ORDER BY id',
        [link.id],
      ),
    );
    const actions = ['create', 'patch', 'pause', 'resume', 'reset', 'remove'];
    expect(rows).toEqual(actions.map((action) => ({ action: `link.${action}`, actor: 'test' })));
  });
});

describe('patching a link', () => {
  const same: [string, Partial<NewLink>][] = [
    ['its name', { name: 'another name' }],
    ['its interval', { intervalMs: 60_000 }],
    ['its trigger', { trigger: 'manual' }],
    ['nothing', {}],
    ['its strategy to what it is', { strategy: 'three-way' }],
    ['its guards to what they are, written in another order', { guards: reversed(DEFAULT_GUARDS) }],
  ];
  it.each(same)('opens no new epoch for %s', async (_, changes) => {
    const link = await links().create(CALLER, newLink());
    const after = await links().patch(CALLER, link.id, changes);
    expect(after).toMatchObject({ ...changes, epoch: 1 });
  });

  const different: [string, Partial<NewLink>][] = [
    ['its scope', { scope: { prefix: 'q/' } }],
    ['its direction', { direction: 'push' }],
    ['its strategy', { strategy: 'latest' }],
    ['its strategies', { strategies: [{ kind: 'memory', strategy: 'union' }] }],
    ['its guards', { guards: { ...DEFAULT_GUARDS, maxDeleteCount: 11 } }],
  ];
  it.each(different)('opens a new epoch for %s', async (_, changes) => {
    const link = await links().create(CALLER, newLink());
    expect(await links().patch(CALLER, link.id, changes)).toMatchObject({ ...changes, epoch: 2 });
    expect((await links().patch(CALLER, link.id, changes)).epoch).toBe(2);
  });

  it('to another scope deletes nothing on either side', async () => {
    const { remote, link, prefix, sync, keys } = await linked.add(['Ann', 'Bob']);
    await sync();
    await links().patch(CALLER, link.id, { scope: { prefix: `${prefix}sub/` } });
    expect(await sync()).toMatchObject({
      status: 'settled',
      counters: { deletedHub: 0, deletedRemote: 0 },
    });
    expect(await keys()).toEqual(expect.arrayContaining([`${prefix}ann`, `${prefix}bob`]));
    expect([remote.get('Ann'), remote.get('Bob')]).toEqual([memory('Ann'), memory('Bob')]);
  });
});

describe('patching a link to an overlapping scope', () => {
  it.each([
    ['wider', (prefix: string) => prefix.slice(0, -1)],
    ['narrower', (prefix: string) => `${prefix}b`],
  ])('that is %s copies and deletes nothing that stays in it', async (_, change) => {
    const { remote, link, prefix, sync, keys } = await linked.add(['Ann', 'bob', '7']);
    await sync();
    const before = remote.all();
    const scope = { prefix: change(prefix) };
    await links().patch(CALLER, link.id, { scope });
    await sync();
    expect(remote.all()).toEqual(before);
    expect(await keys()).toEqual(
      expect.arrayContaining([`${prefix}ann`, `${prefix}bob~a`, `${prefix}7`]),
    );
    remote.put({ ...memory('bob'), type: 'edited' });
    await sync();
    const seen = await linked.engine.store.contexts.get(CALLER, asKey(`${prefix}bob~a`));
    expect(seen?.data).toEqual({ ...memory('bob'), type: 'edited' });
  });

  it('does not finish a write that was under way in the old one', async () => {
    const { remote, link, prefix, sync } = await linked.add(['Ann', 'Bob']);
    await sync();
    await linked.engine.store.contexts.delete(CALLER, { key: asKey(`${prefix}ann`) });
    remote.hooks.beforeCall = ({ method }) => {
      if (method === 'apply') throw new Error('cut off');
    };
    await expect(sync()).rejects.toThrow('cut off');
    remote.hooks.beforeCall = undefined;
    await links().patch(CALLER, link.id, { scope: { prefix: `${prefix}sub/` } });
    expect(await sync()).toMatchObject({ status: 'settled', counters: { deletedRemote: 0 } });
    expect(remote.get('Ann')).toEqual(memory('Ann'));
    const [excluded] = await linked.engine.database.withTenant(CALLER.tenant, (tx) =>
      tx.query('SELECT state, remote_id FROM sync_items WHERE link_id = $1 AND key = $2', [
        link.id,
        `${prefix}ann`,
      ]),
    );
    expect(excluded).toEqual({ state: 'excluded', remote_id: null });
  });

  it.each(['still in scope', 'out of scope'])(
    'keeps in history what such a write overwrote, %s',
    async (where) => {
      const { remote, link, prefix, sync } = await linked.add(['Ann'], { strategy: 'latest' });
      await sync();
      const key = asKey(`${prefix}ann`);
      const typed = (type: string) => ({ ...memory('Ann'), type });
      remote.put(typed('from the remote'));
      const options = { kind: 'memory', ttl: null };
      await linked.engine.store.contexts.store(CALLER, {
        key,
        data: typed('from the hub'),
        options,
      });
      remote.hooks.afterCall = ({ method }) => {
        if (method === 'apply') throw new Error('cut off');
      };
      await expect(sync()).rejects.toThrow('cut off');
      remote.hooks.afterCall = undefined;
      expect(remote.get('Ann')).toEqual(typed('from the hub'));
      const next = where === 'out of scope' ? `${prefix}sub/` : prefix.slice(0, -1);
      await links().patch(CALLER, link.id, { scope: { prefix: next } });
      await sync();
      const { contexts } = linked.engine.store;
      const { items } = await contexts.versions(CALLER, { key, limit: 10 });
      const bodies = await Promise.all(
        items.map(async ({ version }) => (await contexts.get(CALLER, key, version))?.data),
      );
      expect(bodies[0]).toEqual(typed('from the hub'));
      expect(bodies).toContainEqual(typed('from the remote'));
    },
  );
});

describe('resetting a link', () => {
  it('forgets every base: what one side deleted meanwhile comes back, and nothing is deleted', async () => {
    const { remote, link, prefix, sync, keys } = await linked.add(['Ann', 'Bob']);
    await sync();
    remote.remove('Ann');
    expect((await links().reset(CALLER, link.id)).epoch).toBe(2);
    expect(await sync()).toMatchObject({ counters: { deletedHub: 0, deletedRemote: 0 } });
    expect(remote.get('Ann')).toEqual(memory('Ann'));
    expect(await keys()).toEqual([`${prefix}ann`, `${prefix}bob`]);
  });

  it('takes a parked plan with it: neither approved before nor after does it delete anything', async () => {
    for (const order of ['approve first', 'reset first']) {
      const names = people(20);
      const { remote, link, sync, keys } = await linked.add(names);
      await sync();
      for (const name of names.slice(0, 15)) remote.remove(name);
      const parked = await sync();
      expect(parked.status).toBe('parked');
      const planId = (await linked.engine.store.runs.list(CALLER, { linkId: link.id, limit: 1 }))
        .items[0]!.id;
      if (order === 'approve first') await linked.engine.store.runs.approve(CALLER, planId);
      await links().reset(CALLER, link.id);
      if (order === 'reset first') {
        expect(await codeOf(linked.engine.store.runs.approve(CALLER, planId))).toBe('PLAN_EXPIRED');
      }
      for (let nth = 0; nth < 3; nth += 1) await sync();
      expect(await keys(), order).toHaveLength(20);
      expect(remote.get('person0'), order).toEqual(memory('person0'));
    }
  });
});

describe('removing a link', () => {
  it('leaves the contexts and the remote alone, and takes items, runs and conflicts with it', async () => {
    const { remote, link, sync, keys } = await linked.add(['Ann', 'Bob']);
    await sync();
    await links().remove(CALLER, link.id);
    expect(await codeOf(links().get(CALLER, link.id))).toBe('LINK_NOT_FOUND');
    expect(await keys()).toHaveLength(2);
    expect(remote.get('Ann')).toEqual(memory('Ann'));
    const left = await linked.engine.database.withTenant(CALLER.tenant, (tx) =>
      tx.query(
        `SELECT 1 FROM sync_items WHERE link_id = $1 UNION ALL SELECT 1 FROM sync_runs WHERE link_id = $1
         UNION ALL SELECT 1 FROM sync_ops WHERE link_id = $1`,
        [link.id],
      ),
    );
    expect(left).toEqual([]);
    expect((await linked.engine.pass(link)).status).toBe('refused');
  });
});

describe('pausing a link', () => {
  it('refuses runs until it is resumed', async () => {
    const { link, sync } = await linked.add(['Ann']);
    expect((await links().pause(CALLER, link.id)).state).toBe('paused');
    expect(await codeOf(linked.engine.store.runs.request(CALLER, link.id, 'now'))).toBe(
      'LINK_PAUSED',
    );
    expect((await linked.engine.pass(link)).status).toBe('refused');
    expect((await links().status(CALLER, link.id)).nextRunAt).toBeNull();
    expect((await links().resume(CALLER, link.id)).state).toBe('active');
    expect(await sync()).toMatchObject({ status: 'settled', counters: { applied: 1 } });
  });

  it('does not stop plans: reset is allowed and keeps it paused', async () => {
    const { link } = await linked.add([]);
    await links().pause(CALLER, link.id);
    expect(await links().reset(CALLER, link.id)).toMatchObject({ state: 'paused', epoch: 2 });
  });
});

describe('the status of a link', () => {
  it('counts items and says when both sides were last proved to agree', async () => {
    const { link, sync } = await linked.add(['Ann', 'Bob']);
    expect(await links().status(CALLER, link.id)).toMatchObject({ items: 0, lastSettledAt: null });
    await sync();
    await sync();
    const status = await links().status(CALLER, link.id);
    expect(status).toMatchObject({
      state: 'active',
      items: 2,
      conflicts: 0,
      quarantined: 0,
      lagMs: 0,
      clockSkew: false,
      skewMs: expect.any(Number) as number,
      proof: null,
    });
    expect(status.lastSettledAt).not.toBeNull();
    expect(Date.parse(status.nextRunAt!)).toBeGreaterThan(Date.now() - 60_000);
  });

  it('says that a clock is off when the remote dates an item ahead of now', async () => {
    const { link, sync } = await linked.add(['Ann']);
    await sync();
    const date = (ahead: string) =>
      linked.engine.database.withTenant(CALLER.tenant, (tx) =>
        tx.query(
          'UPDATE sync_items SET remote_changed_at = now() + $2::interval WHERE link_id = $1',
          [link.id, ahead],
        ),
      );
    await date('-1 hour');
    expect(await links().status(CALLER, link.id)).toMatchObject({ clockSkew: false });
    await date('1 hour');
    const { clockSkew, skewMs } = await links().status(CALLER, link.id);
    expect(clockSkew).toBe(true);
    expect(skewMs).toBeGreaterThan(3_500_000);
  });

  it('names what is quarantined, and why', async () => {
    const { link, prefix, sync } = await linked.add(['Ann']);
    const options = { kind: 'memory', ttl: null };
    await linked.engine.store.contexts.store(CALLER, {
      key: asKey(`${prefix}bad`),
      data: 'not a memory',
      options,
    });
    await sync();
    expect(await links().quarantined(CALLER, link.id)).toMatchObject([
      { key: `${prefix}bad`, code: 'ITEM_INVALID' },
    ]);
    expect(await links().status(CALLER, link.id)).toMatchObject({ quarantined: 1, items: 2 });
  });
});

function reversed<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).reverse()) as T;
}
