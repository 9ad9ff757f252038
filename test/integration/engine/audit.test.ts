import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import type { ContextKey } from '../../../domain/ids.ts';
import type { Memory } from '../../../domain/item.ts';
import { createDigests } from '../../../activities/bucket-digest.ts';
import { CALLER, createTestEngine, TENANT, type TestEngine } from '../../support/engine.ts';

const memory = (name: string, observations: string[]): Memory => ({
  name,
  type: 'thing',
  observations,
  relations: [],
});

describe.each(['A', 'B', 'C'] as const)('an audit of a link with a grade-%s remote', (grade) => {
  const remotes = new Map([['first', createFakeRemote({ grade })]]);
  let engine: TestEngine;
  let count = 0;
  beforeAll(async () => {
    engine = await createTestEngine({ types: [createFakeType(remotes)] });
  });
  afterAll(() => engine.close());

  /** A settled link with items on both sides. */
  async function settled(more?: Parameters<TestEngine['addLink']>[2]) {
    count += 1;
    const remote = createFakeRemote({ grade, pageSize: 2 });
    remotes.set(`r${count}`, remote);
    const prefix = `p${count}/`;
    const at = (tail: string): ContextKey => `${prefix}${tail}` as ContextKey;
    const link = await engine.addLink(
      'fake',
      { remote: `r${count}` },
      { scope: { prefix }, ...more },
    );
    for (const name of ['Alice', 'Bob', 'Carol', 'Dave'])
      remote.put(memory(name, [`about ${name}`]));
    await put(at('erin'), memory('Erin', ['about Erin']));
    await engine.drain(link);
    const value = async (tail: string) =>
      ((await engine.store.contexts.get(CALLER, at(tail)))?.data ?? null) as Memory | null;
    const status = () => engine.store.links.status(CALLER, link.id);
    const sql = (text: string, values: unknown[] = []) =>
      engine.database.withTenant(TENANT, (tx) => tx.query(text, [link.id, ...values]));
    return { remote, link, at, value, status, sql };
  }

  const put = (key: ContextKey, data: Memory) =>
    engine.store.contexts.store(CALLER, { key, data, options: { kind: 'memory', ttl: null } });

  async function audit(link: { id: Awaited<ReturnType<typeof settled>>['link']['id'] }) {
    const runId = await engine.store.audits.request(CALLER, link.id);
    const whole = await engine.store.links.get(CALLER, link.id);
    const result = await engine.drain(whole);
    return { result, run: await engine.store.runs.get(CALLER, runId) };
  }

  // Not the feed's head: a transaction of anybody on this server holds that back.
  const countOfChanges = () =>
    engine.database.withTenant(TENANT, (tx) => tx.query('SELECT count(*) FROM changes'));

  it('proves a clean link equal, and writes nothing', async () => {
    const { remote, link, status } = await settled();
    expect((await status()).lastProvedEqualAt).toBeNull();
    const writes = remote.counters.writes;
    const changes = await countOfChanges();
    const { run } = await audit(link);
    expect(run).toMatchObject({ status: 'settled', mode: 'audit', counters: { planned: 0 } });
    expect(remote.counters.writes).toBe(writes);
    expect(await countOfChanges()).toEqual(changes);
    const { lastProvedEqualAt, proof } = await status();
    expect(lastProvedEqualAt).not.toBeNull();
    expect(proof).toMatchObject({ isEqual: true, items: 5, unequal: 0, at: lastProvedEqualAt });
  });

  it('finds and brings over an edit that neither version nor feed shows', async () => {
    const { remote, link, value, status } = await settled();
    remote.tamper('Bob', memory('Bob', ['about Bob', 'rotten']));
    await engine.drain(link);
    expect((await value('bob'))?.observations).toEqual(['about Bob']);
    await audit(link);
    expect((await value('bob'))?.observations).toEqual(['about Bob', 'rotten']);
    expect((await status()).proof).toMatchObject({ isEqual: true, items: 5 });
  });

  it('makes it a conflict where the hub has changed too', async () => {
    const { remote, link, at, value } = await settled();
    remote.tamper('Bob', { ...memory('Bob', ['about Bob']), type: 'robot' });
    await put(at('bob'), { ...memory('Bob', ['about Bob']), type: 'builder' });
    await audit(link);
    const { items } = await engine.store.conflicts.list(CALLER, { linkId: link.id, limit: 10 });
    expect(items).toMatchObject([{ key: at('bob'), status: 'open' }]);
    expect((await value('bob'))?.type).toBe('builder');
    expect(remote.get('Bob')?.['type']).toBe('robot');
    await audit(link);
    const status = await engine.store.links.status(CALLER, link.id);
    expect(status.proof).toMatchObject({ isEqual: true, items: 4, conflicts: 1, unequal: 0 });
  });

  it('finds an item the remote lost without saying so', async () => {
    const { remote, link, value, status } = await settled();
    remote.tamper('Carol', null);
    await audit(link);
    expect(await value('carol')).toBeNull();
    await audit(link);
    expect((await status()).proof).toMatchObject({ isEqual: true, items: 4 });
  });

  it('restores a base that was tampered with, and overwrites nothing', async () => {
    const { remote, link, value, sql, at } = await settled();
    await sql(
      `UPDATE sync_items SET base_hub_hash = sha256('x'), base_remote_hash = sha256('x')
       WHERE link_id = $1 AND key = $2`,
      [at('bob')],
    );
    const { run } = await audit(link);
    expect(run.counters).toMatchObject({ planned: 0, conflicts: 0 });
    expect((await value('bob'))?.observations).toEqual(['about Bob']);
    expect(remote.get('Bob')).toEqual(memory('Bob', ['about Bob']));
    const [row] = await sql(
      'SELECT base_hub_hash = remote_hash AS "isBack" FROM sync_items WHERE link_id = $1 AND key = $2',
      [at('bob')],
    );
    expect(row).toEqual({ isBack: true });
  });

  it('finds hub contexts that no item knows, and hub bodies changed past the feed', async () => {
    const { remote, link, sql, at, status } = await settled();
    await sql('DELETE FROM sync_items WHERE link_id = $1 AND key = $2', [at('erin')]);
    await sql(
      `UPDATE contexts SET version = version + 1, hash = (SELECT hash FROM contexts WHERE key = $2)
       WHERE $1::uuid IS NOT NULL AND key = $3`,
      [at('alice'), at('dave')],
    );
    await audit(link);
    expect(remote.get('Erin')).toEqual(memory('Erin', ['about Erin']));
    // The hub's value is an edit like any other: it is named anew on the remote, or merged.
    expect((await status()).proof?.unequal).toBe(0);
  });

  it('proves nothing by an incomplete scan', async () => {
    const { remote, link, status } = await settled();
    remote.inject({ kind: 'truncated', on: 'observe' });
    const { run } = await audit(link);
    expect(run.status).toBe('failed');
    expect((await status()).lastProvedEqualAt).toBeNull();
    remote.clearFaults();
  });

  it('joins a look that waits, and is refused while the link is paused', async () => {
    const { link } = await settled();
    const look = await engine.store.runs.request(CALLER, link.id, 'look');
    expect(await engine.store.audits.request(CALLER, link.id)).toBe(look.id);
    expect(await engine.store.runs.get(CALLER, look.id)).toMatchObject({ mode: 'audit' });
    await engine.drain(link);
    await engine.store.links.pause(CALLER, link.id);
    await expect(engine.store.audits.request(CALLER, link.id)).rejects.toMatchObject({
      code: 'LINK_PAUSED',
    });
  });

  it('comes round by itself, each link once an interval', async () => {
    const { link, sql } = await settled();
    await sql(`UPDATE sync_links SET audit_due_at = now() + interval '1 day' WHERE id <> $1`);
    await sql('UPDATE sync_links SET audit_due_at = now() WHERE id = $1');
    const bounds = { limit: 10, everyMs: 86_400_000 };
    expect(await engine.store.audits.requestDue(bounds)).toBe(1);
    expect(await engine.store.audits.requestDue(bounds)).toBe(0);
    await engine.drain(link);
    expect((await engine.store.links.status(CALLER, link.id)).lastProvedEqualAt).not.toBeNull();
    const [row] = await sql(
      `SELECT audit_due_at BETWEEN now() + interval '17 hours' AND now() + interval '31 hours' AS fits
       FROM sync_links WHERE id = $1`,
    );
    expect(row).toEqual({ fits: true });
  });

  it.runIf(grade === 'A')(
    'is not needed where the remote forgot its feed: it is read whole',
    async () => {
      const { remote, link, value } = await settled();
      remote.put(memory('Bob', ['about Bob', 'more']));
      remote.remove('Carol');
      remote.forgetFeed();
      expect(await engine.drain(link)).toMatchObject({ status: 'settled' });
      expect((await value('bob'))?.observations).toEqual(['about Bob', 'more']);
      expect(await value('carol')).toBeNull();
    },
  );

  it('computes the same digests in Postgres as here', async () => {
    const { remote, link } = await settled();
    const ref = await engine.store.sync.beginPass({
      tenant: TENANT,
      linkId: link.id,
      trigger: 'test',
      newRunId: crypto.randomUUID() as never,
    });
    if (ref.status !== 'begun') throw new Error(ref.why);
    const agreed = await engine.store.sync.agreedDigests(ref.pass.ref);
    const items = await engine.store.sync.itemsInBuckets(ref.pass.ref, [...agreed.keys()]);
    expect(items).toHaveLength(remote.all().length);
    const here = createDigests();
    for (const item of items) here.add(item.remoteId, item.baseRemoteHash!);
    expect(new Map(here.digests)).toEqual(agreed);
  });
});
