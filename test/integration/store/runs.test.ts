import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Link } from '../../../domain/link.ts';
import { readOps } from '../../../store/run-ops.ts';
import { CALLER } from '../../support/engine.ts';
import { openLinkedRemotes, type LinkedRemotes } from './linked-remotes.ts';
import { asKey, codeOf } from './store-under-test.ts';

let linked: LinkedRemotes;
beforeAll(async () => {
  linked = await openLinkedRemotes();
});
afterAll(() => linked.engine.close());

const people = (n: number): string[] => Array.from({ length: n }, (_, nth) => `person${nth}`);

describe('asking for a run', () => {
  const request = (link: Link, reason: string) =>
    linked.engine.store.runs.request(CALLER, link.id, reason);

  it('joins the run that waits already, and makes a new one once that is taken up', async () => {
    const { link, sync } = await linked.add(['Ann']);
    const first = await request(link, 'one');
    expect(await request(link, 'two')).toEqual(first);
    expect(first).toMatchObject({ status: 'running', trigger: 'one', endedAt: null });
    await sync();
    expect(await linked.engine.store.runs.get(CALLER, first.id)).toMatchObject({
      status: 'settled',
      counters: { applied: 1 },
    });
    expect((await request(link, 'three')).id).not.toBe(first.id);
  });

  it('is recorded even when nothing was to do', async () => {
    const { link, sync } = await linked.add([]);
    const { id } = await request(link, 'just look');
    await sync();
    const { items } = await linked.engine.store.runs.list(CALLER, { linkId: link.id, limit: 10 });
    expect(items).toMatchObject([{ id, status: 'settled', trigger: 'just look' }]);
  });

  it('joins from many askers at once, so that one run waits', async () => {
    const { link } = await linked.add([]);
    const all = await Promise.all(Array.from({ length: 10 }, () => request(link, 'crowd')));
    expect(new Set(all.map((run) => run.id)).size).toBe(1);
  });

  it('lists runs newest first, a page at a time, each once', async () => {
    const { link, sync } = await linked.add([]);
    const made: string[] = [];
    for (let nth = 0; nth < 5; nth += 1) {
      made.unshift((await request(link, String(nth))).id);
      await sync();
    }
    const seen: string[] = [];
    for (let cursor: string | undefined; ;) {
      const page = await linked.engine.store.runs.list(CALLER, {
        linkId: link.id,
        limit: 2,
        cursor,
      });
      seen.push(...page.items.map((run) => run.id));
      if (page.nextCursor === null) break;
      cursor = page.nextCursor;
    }
    expect([...seen].sort()).toEqual([...made].sort());
    expect(seen).toHaveLength(5);
  });
});

describe('a parked plan', () => {
  async function parked() {
    const names = people(20);
    const made = await linked.add(names);
    await made.sync();
    for (const name of names.slice(0, 15)) made.remote.remove(name);
    expect((await made.sync()).status).toBe('parked');
    const [run] = (await linked.engine.store.runs.list(CALLER, { linkId: made.link.id, limit: 1 }))
      .items;
    return { ...made, planId: run!.id };
  }

  it('shows its ops, is executed once approved, and cannot be approved twice', async () => {
    const { planId, sync, keys } = await parked();
    const { runs } = linked.engine.store;
    const { items: ops } = await runs.ops(CALLER, planId, { limit: 100 });
    expect(ops).toHaveLength(15);
    expect(ops[0]).toMatchObject({
      op: 'delete',
      side: 'hub',
      state: 'planned',
      before: { name: 'person0' },
      after: null,
    });
    expect(await runs.approve(CALLER, planId)).toMatchObject({
      id: planId,
      status: 'running',
      guard: null,
    });
    expect(await codeOf(runs.approve(CALLER, planId))).toBe('PLAN_ALREADY_EXECUTED');
    expect(await sync()).toMatchObject({ status: 'settled', counters: { deletedHub: 15 } });
    expect(await codeOf(runs.approve(CALLER, planId))).toBe('PLAN_ALREADY_EXECUTED');
    expect(await keys()).toHaveLength(5);
  });

  it('shows no more bodies at once than a page has room for, and each of them on some page', async () => {
    const { planId } = await parked();
    const page = (after: number, maxBytes: number) =>
      linked.engine.database.withTenant(CALLER.tenant, (tx) =>
        readOps(tx, planId, { after, limit: 10, maxBytes }),
      );
    const all = await page(0, 1_000_000);
    expect(all.items.some(({ isCut }) => isCut)).toBe(false);
    const bytes = all.items.map(({ before }) => JSON.stringify(before).length);
    const room = bytes[0]! + bytes[1]! + bytes[2]!;
    const cut = await page(0, room);
    expect(cut.nextCursor).toBe(all.nextCursor);
    expect(cut.items.slice(0, 3)).toEqual(all.items.slice(0, 3));
    expect(cut.items.slice(3)).toEqual(
      all.items.slice(3).map((op) => ({ ...op, before: null, after: null, isCut: true })),
    );
    const [first, second] = (await page(3, 1)).items;
    expect(first).toEqual(all.items[3]);
    expect(second).toMatchObject({ key: all.items[4]!.key, before: null, isCut: true });
  });

  it('drops what changed while it waited, and says so', async () => {
    const { planId, sync, keys } = await parked();
    const { contexts, runs } = linked.engine.store;
    const key = asKey((await keys())[3]!);
    const data = { observations: ['edited meanwhile'] };
    await contexts.update(CALLER, { key, data, changeType: 'merge', options: {} });
    await runs.approve(CALLER, planId);
    await sync();
    const { items: ops } = await runs.ops(CALLER, planId, { limit: 100 });
    expect(ops.filter((op) => op.state === 'stale').map((op) => op.key)).toEqual([key]);
    expect((await contexts.get(CALLER, key))?.data).toMatchObject(data);
  });

  it('drops an op whose item the link no longer knows', async () => {
    const { planId, link, sync, keys } = await parked();
    const [key] = await keys();
    await linked.engine.database.withTenant(CALLER.tenant, (tx) =>
      tx.query('DELETE FROM sync_items WHERE link_id = $1 AND key = $2', [link.id, key]),
    );
    await linked.engine.store.runs.approve(CALLER, planId);
    await sync();
    const { items: ops } = await linked.engine.store.runs.ops(CALLER, planId, { limit: 100 });
    expect(ops.filter((op) => op.state === 'stale').map((op) => op.key)).toEqual([key]);
    expect(ops.filter((op) => op.state === 'done')).toHaveLength(14);
  });

  it('cannot be approved after seven days, and a run that is not parked has no plan', async () => {
    const { planId, link } = await parked();
    await linked.engine.database.withTenant(CALLER.tenant, (tx) =>
      tx.query(`UPDATE sync_runs SET expires_at = expires_at - interval '8 days' WHERE id = $1`, [
        planId,
      ]),
    );
    expect(await codeOf(linked.engine.store.runs.approve(CALLER, planId))).toBe('PLAN_EXPIRED');
    const run = await linked.engine.store.runs.request(CALLER, link.id, 'look again');
    expect(await codeOf(linked.engine.store.runs.approve(CALLER, run.id))).toBe('PLAN_NOT_FOUND');
  });
});
