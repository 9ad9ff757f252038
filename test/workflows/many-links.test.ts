/** Many links on a real Temporal and a real Postgres: who waits for whom. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createFakeRemote, type FakeRemote } from '../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../connectors/fake/fake-type.ts';
import type { Caller } from '../../domain/context.ts';
import { waitUntil } from '../../dev/wait-until.ts';
import { newLink } from '../support/sample-link.ts';
import { startSyncStack, type SyncStack } from '../support/sync-stack.ts';
import { testDatabase, testTemporal, type TestDatabase } from '../support/servers.ts';

const CROWD = 1_000;
const PULSE_MS = 2_000;

const remotes = new Map<string, FakeRemote>([['first', createFakeRemote({ grade: 'A' })]]);
const wakes: { linkId: string; at: number; reason: string }[] = [];
let where: TestDatabase;
let stack: SyncStack;
let crowd: Caller;
let single: Caller;

beforeAll(async () => {
  where = await testDatabase();
  const { address, taskQueue } = testTemporal();
  stack = await startSyncStack({
    databaseUrl: where.url,
    temporalAddress: address,
    taskQueue,
    types: [createFakeType(remotes)],
    pulseMs: PULSE_MS,
    maxWatched: 0,
    maxLivePerProcess: 20,
    pace: { maxLive: 20, limit: 20 },
    onWake: (linkId, reason) => void wakes.push({ linkId, reason, at: Date.now() }),
  });
  crowd = await stack.addTenant('crowd');
  single = await stack.addTenant('single');
}, 120_000);
afterAll(async () => {
  await stack.close();
  await where.drop();
});

/** Due links that nobody has told to look: only the pulse knows of them. */
async function addDue(caller: Caller, count: number): Promise<void> {
  const { tenant } = caller;
  for (let nth = 0; nth < count; nth += 1) remotes.set(`${tenant}-${nth}`, remoteOf(tenant, nth));
  const like = newLink();
  await stack.database.withTenant(tenant, (tx) =>
    tx.query(
      `INSERT INTO sync_links (tenant_id, id, name, connector, config, prefix, direction, strategy,
         strategies, interval_ms, trigger, guards, state, next_due_at)
       SELECT current_setting('app.tenant'), gen_random_uuid(), 'l' || nth, 'fake',
         json_build_object('remote', current_setting('app.tenant') || '-' || nth), nth || '/', 'both',
         'three-way', '[]', 60000, 'auto', $2::json, 'active', now() - interval '1 hour'
       FROM generate_series(0, $1::int - 1) AS nth`,
      [count, JSON.stringify(like.guards)],
    ),
  );
}

function remoteOf(tenant: string, nth: number): FakeRemote {
  const remote = createFakeRemote({ grade: 'A', canWatch: false });
  remote.put({ name: `${tenant} ${nth}`, type: 'thing', observations: [], relations: [] });
  return remote;
}

const settledOf = async (caller: Caller): Promise<number> => {
  const [row] = await stack.database.withTenant(caller.tenant, (tx) =>
    tx.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM sync_links WHERE last_settled_at IS NOT NULL`,
    ),
  );
  return row!.count;
};

it('a tenant with 1,000 due links delays another’s single link by at most one pulse', async () => {
  await addDue(crowd, CROWD);
  await stack.startPulse();
  // The crowd has been served for a while, and is far from being through.
  await waitUntil(async () => ((await settledOf(crowd)) >= 10 ? true : null), {
    timeoutMs: 60_000,
    everyMs: 20,
  });
  const dueAt = Date.now();
  await addDue(single, 1);
  const { items } = await stack.store.links.list(single, { limit: 1 });
  const linkId = items[0]!.id;
  const woken = await waitUntil(
    async () => wakes.find((wake) => wake.linkId === linkId)?.at ?? null,
    { timeoutMs: 60_000, everyMs: 5 },
  );
  expect(await settledOf(crowd)).toBeLessThan(CROWD / 2);
  expect(woken - dueAt).toBeLessThan(PULSE_MS + 1_000);
  await waitUntil(async () => ((await settledOf(single)) === 1 ? true : null), {
    timeoutMs: 30_000,
    everyMs: 20,
  });
}, 180_000);
