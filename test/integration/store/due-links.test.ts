import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Caller } from '../../../domain/context.ts';
import type { LinkId, RunId, TenantId } from '../../../domain/ids.ts';
import { NO_COUNTS } from '../../../domain/link.ts';
import type { DueLink, PassEnd, PassRef } from '../../../store/contract.ts';
import { randomUUID } from 'node:crypto';
import { CALLER } from '../../support/engine.ts';
import { hasRealPostgres } from '../../support/servers.ts';
import { newLink } from '../../support/sample-link.ts';
import { openStore, put, type StoreUnderTest, untilShown } from './store-under-test.ts';

const ROOMY = { limit: 1_000, maxLive: 10_000 };
const SETTLED: PassEnd = {
  status: 'settled',
  mode: 'look',
  trigger: 'test',
  counters: NO_COUNTS,
  phases: {},
  guard: null,
  error: null,
  isNotable: false,
};

let under: StoreUnderTest;
let crowd: Caller;

beforeAll(async () => {
  under = await openStore();
  crowd = await under.addTenant('crowd');
  await under.addTenant('single');
});
beforeEach(() => under.admin('DELETE FROM sync_links; DELETE FROM changes'));
afterAll(() => under.close());

/** Links that became due one after the other, the first of them longest ago. */
const INSERT_MANY = `
INSERT INTO sync_links (tenant_id, id, name, connector, config, prefix, direction, strategy, strategies,
  interval_ms, trigger, guards, state, next_due_at, hub_cursor, remote_cursor, cursor_doubted,
  whole_due_at)
SELECT $1, gen_random_uuid(), $3 || nth, 'fake', $4::json, 'p/', 'both', 'three-way', '[]',
  5000, 'auto', '{}', 'active', now() - ($2::int - nth) * interval '1 second', '0.0', 'c', false,
  now() + interval '1 hour'
FROM generate_series(1, $2) AS nth`;

const addMany = (tenant: string, count: number, name = 'l', config: object = {}) =>
  under.admin(INSERT_MANY, [tenant, count, name, JSON.stringify(config)]);

const take = (bounds = ROOMY): Promise<DueLink[]> => under.store.sweeps.takeDueLinks(bounds);
const countOf = (links: readonly DueLink[], tenant: string): number =>
  links.filter((link) => link.tenant === tenant).length;
const linkRow = async (id: string) =>
  (await under.admin('SELECT * FROM sync_links WHERE id = $1', [id]))[0]!;
/** Milliseconds from now on. */
const dueIn = async (id: string): Promise<number> =>
  Number(
    (
      await under.admin(
        'SELECT extract(epoch FROM next_due_at - now()) * 1000 AS ms FROM sync_links WHERE id = $1',
        [id],
      )
    )[0]!['ms'],
  );

async function begin(due: { tenant: TenantId; linkId: LinkId }): Promise<PassRef> {
  const begun = await under.store.sync.beginPass({
    tenant: due.tenant,
    linkId: due.linkId,
    trigger: 'test',
    newRunId: randomUUID() as RunId,
  });
  if (begun.status !== 'begun') throw new Error(begun.why);
  return begun.pass.ref;
}

async function finish(due: DueLink, end: Partial<PassEnd> = {}): Promise<void> {
  await under.store.sync.finishPass(await begin(due), { ...SETTLED, ...end });
}

describe('whose turn it is', () => {
  it('a tenant with 1,000 due links does not keep another one from its place in the very next pulse', async () => {
    await addMany('crowd', 1_000);
    await addMany('single', 1);
    const first = await take({ limit: 50, maxLive: 10_000 });
    expect(first).toHaveLength(50);
    expect(countOf(first, 'single')).toBe(1);
    expect(first.findIndex((link) => link.tenant === 'single')).toBeLessThan(2);
  });

  it('what does not fit into a pulse stays due, and all of it comes, longest overdue first', async () => {
    await addMany('crowd', 1_000);
    const seen: string[] = [];
    for (let pulse = 0; pulse < 10; pulse += 1) {
      seen.push(...(await take({ limit: 100, maxLive: 10_000 })).map(({ link }) => link.name));
    }
    expect(seen).toEqual(Array.from({ length: 1_000 }, (_, nth) => `l${nth + 1}`));
    expect(await take()).toEqual([]);
  });

  it('within a tenant the remote hosts take turns', async () => {
    await addMany('crowd', 100, 'busy', { url: 'https://busy.example/a' });
    await addMany('crowd', 1, 'calm', { url: 'https://Calm.example:8443/a?b' });
    await addMany('crowd', 1, 'other', { url: 'https://user@calm.example:8443/other' });
    const names = (await take({ limit: 4, maxLive: 10_000 })).map(({ link }) => link.name);
    expect(names.filter((name) => name.startsWith('busy'))).toHaveLength(2);
    expect(names.sort().slice(2)).toEqual(['calm1', 'other1']);
  });

  it('keeps the number under way within its bound, and lets a tenant with none in all the same', async () => {
    await addMany('crowd', 30);
    const bounds = { limit: 100, maxLive: 20 };
    const first = await take(bounds);
    expect(first).toHaveLength(20);
    expect(await take(bounds)).toEqual([]);
    await addMany('single', 2);
    const late = await take(bounds);
    expect(late.map((link) => link.tenant)).toEqual(['single']);
    // Passes that end make room, and those with fewer under way come first.
    for (const due of first.slice(0, 3)) await finish(due);
    const next = await take(bounds);
    expect([countOf(next, 'single'), countOf(next, 'crowd')]).toEqual([1, 1]);
  });

  it('a link counts as under way from being taken until its pass ends', async () => {
    await addMany('crowd', 1);
    const [due] = await take();
    await under.admin(`UPDATE sync_links SET next_due_at = now() - interval '1 minute'`);
    expect(await take()).toEqual([]);
    await finish(due!);
    await under.admin(`UPDATE sync_links SET next_due_at = now() - interval '1 minute'`);
    expect(await take()).toHaveLength(1);
    // Its process was killed: the lease runs out.
    await under.admin(
      `UPDATE sync_links SET next_due_at = now(), live_until = now() - interval '1 second'`,
    );
    expect(await take()).toHaveLength(1);
  });

  it.skipIf(!hasRealPostgres())(
    'finds what is due by an index when there are many links',
    async () => {
      await addMany('crowd', 5_000);
      await under.admin(
        `UPDATE sync_links SET next_due_at = now() + interval '1 hour' WHERE name <> 'l1'`,
      );
      await under.admin('ANALYZE sync_links');
      const plan = await under.admin<{ 'QUERY PLAN': string }>(
        `EXPLAIN SELECT id FROM sync_links l WHERE l.next_due_at <= now() + interval '1 second'
         AND l.state IN ('active', 'failed') AND l.trigger = 'auto'`,
      );
      expect(plan.map((row) => row['QUERY PLAN']).join('\n')).toContain('sync_links_due');
      expect((await take()).map(({ link }) => link.name)).toEqual(['l1']);
    },
  );
});

describe('whether there is work', () => {
  const workOf = async (): Promise<boolean[]> => (await take()).map((due) => due.hasWork);
  const again = () =>
    under.admin(
      `UPDATE sync_links SET next_due_at = now() - interval '1 second', live_until = NULL`,
    );

  it('a link that was never looked at has, one at rest has not', async () => {
    await under.store.links.create(CALLER, newLink());
    expect(await workOf()).toEqual([true]);
    await under.admin('DELETE FROM sync_links');
    await addMany('default', 1);
    expect(await workOf()).toEqual([false]);
  });

  it('a change of the hub in its scope is work; its own write and others’ keys are not', async () => {
    await addMany('default', 1);
    await put(under, CALLER, 'q/elsewhere', 1);
    await put(under, CALLER, 'p/own', 1);
    await under.admin(
      `UPDATE changes SET origin = (SELECT id FROM sync_links) WHERE key = 'p/own'`,
    );
    await untilShown(under);
    expect(await workOf()).toEqual([false]);
    await put(under, CALLER, 'p/here', 1);
    await untilShown(under);
    await again();
    expect(await workOf()).toEqual([true]);
  });

  it('what other tenants write is none of its work', async () => {
    await addMany('default', 1);
    await put(under, crowd, 'p/here', 1);
    expect(await workOf()).toEqual([false]);
  });

  it.each([
    ['failed the last time', `UPDATE sync_links SET state = 'failed'`],
    ['has written since it last looked', `UPDATE sync_links SET cursor_doubted = true`],
    ['is to look at its remote whole', `UPDATE sync_links SET look_whole = true`],
    ['is due for a whole pass', `UPDATE sync_links SET whole_due_at = now()`],
    [
      'has an item to decide',
      `INSERT INTO sync_items (tenant_id, link_id, key, kind, state, remote_status, dirty)
       SELECT tenant_id, id, 'p/a', 'memory', 'pending', 'unknown', true FROM sync_links`,
    ],
    [
      'has an item to try again',
      `INSERT INTO sync_items (tenant_id, link_id, key, kind, state, remote_status, dirty, retry_at)
       SELECT tenant_id, id, 'p/a', 'memory', 'quarantined', 'unknown', false, now() FROM sync_links`,
    ],
    [
      'has a run that somebody asked for',
      `INSERT INTO sync_runs (tenant_id, id, link_id, status, trigger, epoch)
       SELECT tenant_id, gen_random_uuid(), id, 'running', 'api', 1 FROM sync_links`,
    ],
  ])('a link that %s has', async (_, sql) => {
    await addMany('default', 1);
    await under.admin(sql);
    expect(await workOf()).toEqual([true]);
  });
});

describe('rest', () => {
  const rest = async (due: DueLink, maxMs = 30_000): Promise<number> => {
    await under.store.sweeps.restLinks([{ due, maxMs }]);
    return dueIn(due.linkId);
  };
  const takeOne = async (): Promise<DueLink> => {
    await under.admin(`UPDATE sync_links SET next_due_at = now()`);
    return (await take())[0]!;
  };

  it('grows while nothing changes, up to its bound, and starts anew after a change', async () => {
    await addMany('default', 1);
    const rests: number[] = [];
    for (let nth = 0; nth < 5; nth += 1) rests.push(await rest(await takeOne()));
    const expected = [5_000, 10_000, 20_000, 30_000, 30_000];
    rests.forEach((ms, nth) => {
      expect(ms).toBeGreaterThan(expected[nth]! - 1_000);
      expect(ms).toBeLessThan(expected[nth]! * 1.1 + 1);
    });
    await finish(await takeOne(), { isNotable: true });
    expect(await rest(await takeOne())).toBeLessThan(5_501);
  });

  it('leaves a link alone that a pass has begun on since', async () => {
    await addMany('default', 1);
    const due = await takeOne();
    const ref = await begin(due);
    const before = await linkRow(due.linkId);
    await rest(due);
    await under.store.sweeps.returnLinks([due]);
    expect(await linkRow(due.linkId)).toEqual(before);
    await under.store.sync.finishPass(ref, SETTLED);
  });

  it('moves the cursor past changes that are not its own, so that each is read once', async () => {
    await addMany('default', 1);
    await put(under, CALLER, 'q/elsewhere', 1);
    await untilShown(under);
    const due = await takeOne();
    expect(due.hubSeen).not.toBeNull();
    await rest(due);
    expect((await linkRow(due.linkId))['hub_cursor']).toBe(due.hubSeen);
    expect((await takeOne()).hubSeen).toBeNull();
  });

  it('a link that could not be woken is due again at once', async () => {
    await addMany('default', 1);
    const due = await takeOne();
    await under.store.sweeps.returnLinks([due]);
    expect((await take()).map((link) => link.linkId)).toEqual([due.linkId]);
  });

  it('intervals differ a little, so that links which began together do not stay together', async () => {
    await addMany('default', 50);
    for (const due of await take()) await begin(due);
    const rows = await under.admin<{ ms: string }>(
      `SELECT extract(epoch FROM next_due_at - pass_began_at) * 1000 AS ms FROM sync_links`,
    );
    const all = rows.map((row) => Math.round(Number(row.ms)));
    expect(new Set(all).size).toBeGreaterThan(20);
    expect(Math.min(...all)).toBeGreaterThanOrEqual(4_500);
    expect(Math.max(...all)).toBeLessThanOrEqual(5_500);
  });
});

describe('a remote that asked to be left alone', () => {
  const limited = { code: 'RATE_LIMITED', detail: 'busy', retryAfterMs: 60_000 };
  const failIt = async (): Promise<DueLink> => {
    await addMany('default', 1);
    const [due] = await take();
    await finish(due!, { status: 'failed', error: limited, isNotable: true });
    return due!;
  };

  it('is left alone at least as long, by the pulse, by hints and by hub writes', async () => {
    const { tenant, linkId } = await failIt();
    expect(await dueIn(linkId)).toBeGreaterThan(59_000);
    const hint = { tenant, linkId, trigger: 'remote change', newRunId: randomUUID() as RunId };
    expect(await under.store.sync.beginPass(hint)).toEqual({ status: 'refused', why: 'resting' });
    await under.admin('DELETE FROM outbox');
    await put(under, CALLER, 'p/a', 1);
    expect((await under.store.outbox.claim(10)).links).toEqual([]);
    // Its time comes, and with it the write that waited.
    await under.admin(`UPDATE sync_links SET rests_until = now(), next_due_at = now()`);
    expect((await take()).map((due) => [due.linkId, due.hasWork])).toEqual([[linkId, true]]);
    expect((await under.store.sync.beginPass(hint)).status).toBe('begun');
  });

  it('is asked all the same when an operator asks for a run', async () => {
    const { tenant, linkId } = await failIt();
    await under.store.runs.request(CALLER, linkId, 'by hand');
    expect((await begin({ tenant, linkId })).linkId).toBe(linkId);
  });

  it('a look that is told so holds the link without failing it', async () => {
    await addMany('default', 1);
    const [due] = await take();
    await under.store.sweeps.restLinks([{ due: due!, maxMs: 30_000, heldMs: 45_000 }]);
    expect(await dueIn(due!.linkId)).toBeGreaterThan(44_000);
    const { state, rests_until: until } = await linkRow(due!.linkId);
    expect([state, until instanceof Date]).toEqual(['active', true]);
  });

  it('other failures back off twice as long each time, at most five minutes, and never all at once', async () => {
    await addMany('default', 20);
    for (let nth = 0; nth < 8; nth += 1) {
      await under.admin(`UPDATE sync_links SET next_due_at = now(), live_until = NULL`);
      for (const due of await take()) {
        await finish(due, { status: 'failed', error: { code: 'INTERNAL', detail: 'x' } });
      }
    }
    const rows = await under.admin<{ ms: string }>(
      `SELECT extract(epoch FROM next_due_at - now()) * 1000 AS ms FROM sync_links`,
    );
    const all = rows.map((row) => Number(row.ms));
    expect(Math.max(...all)).toBeLessThanOrEqual(300_000);
    expect(Math.min(...all)).toBeGreaterThan(235_000);
    expect(Math.max(...all) - Math.min(...all)).toBeGreaterThan(10_000);
  });
});
