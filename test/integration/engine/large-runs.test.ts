/** Runs of more than one batch: plain creates are settled many at once, everything else as always. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import { AppError } from '../../../domain/errors.ts';
import { itemKey } from '../../../domain/item.ts';
import { CALLER, createTestEngine, TENANT, type TestEngine } from '../../support/engine.ts';

const ITEMS = 1_300;

/** What is recorded of the items of a first run, without what tells one item from another. */
const SHAPES = `
SELECT count(*)::int AS items, count(DISTINCT c.hash)::int AS bodies
FROM contexts c
JOIN context_versions v ON v.tenant_id = c.tenant_id AND v.key = c.key AND v.version = c.version
JOIN changes f ON f.tenant_id = c.tenant_id AND f.key = c.key AND f.version = c.version
JOIN sync_items i ON i.tenant_id = c.tenant_id AND i.key = c.key
JOIN sync_ops o ON o.tenant_id = c.tenant_id AND o.key = c.key
WHERE starts_with(c.key, $1)
GROUP BY c.version, c.kind, c.source, c.parent_id, c.session_id, c.agent_id, c.tags, c.metadata::text,
  c.encrypted, c.compressed, c.size, c.created_by, c.updated_by, c.created_at = c.updated_at,
  c.expires_at, c.deleted, c.delete_reason, c.hash = v.hash, v.change_type, v.reason, v.changed_by,
  v.changed_at = c.created_at, v.kind, v.source, v.tags, v.metadata::text, v.encrypted, v.compressed,
  v.size, v.expires_at, f.change_type, f.reason, f.changed_by, f.changed_at = c.created_at, f.origin,
  i.link_id, i.kind, i.state, i.base_version, i.base_hub_hash = c.hash,
  i.base_remote_hash = i.remote_hash, i.remote_status, i.remote_version IS NULL, i.missing_scans,
  i.dirty, i.dirty_since, i.fault::text, i.attempts, i.retry_at, o.action, o.side, o.reason, o.state,
  o.detail, o.hub_after = c.hash, o.remote_written`;

describe('a run of more than one batch', () => {
  const remotes = new Map([['none', createFakeRemote({ grade: 'A' })]]);
  let engine: TestEngine;
  beforeAll(async () => {
    engine = await createTestEngine({ types: [createFakeType(remotes)] });
  });
  afterAll(() => engine.close());

  const item = (nth: number, wording = 'first') => ({
    name: `item ${String(nth).padStart(5, '0')}`,
    type: 'thing',
    observations: [wording, String(nth).padStart(5, '0')],
    relations: [],
  });
  function fullRemote(name: string): FakeRemote {
    const remote = createFakeRemote({ grade: 'A' });
    for (let nth = 0; nth < ITEMS; nth += 1) remote.put(item(nth));
    remotes.set(name, remote);
    return remote;
  }

  it('records every create alike, whichever way it was settled', async () => {
    fullRemote('alike');
    const link = await engine.addLink('fake', { remote: 'alike' }, { scope: { prefix: 'alike/' } });
    const { status, counters, stale } = await engine.pass(link);
    expect({ status, stale, applied: counters.applied }).toEqual({
      status: 'settled',
      stale: 0,
      applied: ITEMS,
    });
    const shapes = await engine.database.withTenant(TENANT, (tx) => tx.query(SHAPES, ['alike/']));
    expect(shapes).toEqual([{ items: ITEMS, bodies: ITEMS }]);
    const after = await engine.pass(link);
    expect({ planned: after.counters.planned, echo: after.counters.echo }).toEqual({
      planned: 0,
      echo: ITEMS,
    });
  });

  it('settles nothing over a context that came meanwhile', async () => {
    fullRemote('raced');
    const link = await engine.addLink('fake', { remote: 'raced' }, { scope: { prefix: 'raced/' } });
    const raced = item(ITEMS - 1, 'of the hub');
    const key = itemKey('raced/', 'memory', raced.name);
    const { settleCreates } = engine.store.sync;
    const options = { kind: 'memory', ttl: null } as const;
    let written: Promise<unknown> | null = null;
    engine.store.sync.settleCreates = async (...args) => {
      await (written ??= engine.store.contexts.store(CALLER, { key, data: raced, options }));
      return settleCreates(...args);
    };
    const first = await engine.pass(link);
    engine.store.sync.settleCreates = settleCreates;
    expect({ applied: first.counters.applied, stale: first.stale }).toEqual({
      applied: ITEMS - 1,
      stale: 1,
    });
    expect((await engine.store.contexts.get(CALLER, key))?.data).toEqual(raced);
    const next = await engine.drain(link);
    // Both texts are lists of words, so they unite.
    expect(next.counters).toMatchObject({ merged: 1, applied: 1, conflicts: 0 });
  });

  it('brings a full hub to an empty remote and then rests', async () => {
    const source = fullRemote('source');
    const target = createFakeRemote({ grade: 'A' });
    remotes.set('target', target);
    const scope = { prefix: 'both/' };
    await engine.drain(await engine.addLink('fake', { remote: 'source' }, { scope }));
    const link = await engine.addLink('fake', { remote: 'target' }, { scope });
    const { status, counters } = await engine.pass(link);
    expect({ status, applied: counters.applied }).toEqual({ status: 'settled', applied: ITEMS });
    expect(target.all().map(({ value }) => value)).toEqual(source.all().map(({ value }) => value));
    expect((await engine.pass(link)).counters.planned).toBe(0);
  });

  it('keeps two items that claim one key apart, on whichever pages they come', async () => {
    const twins = createFakeRemote({ grade: 'A', ids: 'assigned', pageSize: 40 });
    remotes.set('twins', twins);
    for (let nth = 0; nth < 200; nth += 1) twins.put(item(nth));
    for (let nth = 0; nth < 200; nth += 1) twins.putTwin(item(nth, 'its twin'));
    const link = await engine.addLink('fake', { remote: 'twins' }, { scope: { prefix: 'twins/' } });
    await engine.pass(link);
    const [rows] = await engine.database.withTenant(TENANT, (tx) =>
      tx.query('SELECT count(*)::int AS items FROM sync_items WHERE link_id = $1', [link.id]),
    );
    expect(rows).toEqual({ items: 400 });
  });

  it('misses what a first look that was cut short had shown, and creates it nowhere', async () => {
    const remote = createFakeRemote({ grade: 'A', pageSize: 10 });
    for (let nth = 0; nth < 30; nth += 1) remote.put(item(nth));
    remotes.set('cut short', remote);
    const scope = { prefix: 'cut/' };
    const link = await engine.addLink('fake', { remote: 'cut short' }, { scope });
    remote.hooks.beforeCall = ({ method, page }) => {
      if (method === 'observe' && page?.endsWith(':20'))
        throw new AppError('CONNECTOR_UNREACHABLE', 'It is out.');
    };
    expect(await engine.pass(link)).toMatchObject({ status: 'failed' });
    remote.hooks.beforeCall = undefined;
    remote.remove(item(3).name);
    expect(await engine.drain(link)).toMatchObject({
      status: 'settled',
      counters: { applied: 29 },
    });
    expect(
      await engine.store.contexts.get(CALLER, itemKey('cut/', 'memory', item(3).name)),
    ).toBeNull();
  });
});
