/** Reads that may be a little old, on a real streaming replica that lags, stops and comes back. */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { startGuardian, type Guardian } from '../../../dev/guardian.ts';
import { systemClock } from '../../../domain/clock.ts';
import type { Caller } from '../../../domain/context.ts';
import type { ContextKey, TenantId } from '../../../domain/ids.ts';
import { migrate } from '../../../main/migrate.ts';
import { createStore, type FullStore } from '../../../store/create-store.ts';
import { createDatabase } from '../../../store/database.ts';
import type { ReplicaOutcome } from '../../../store/replica.ts';
import {
  startTestPostgres,
  startTestReplica,
  type TestPostgres,
} from '../../support/servers-postgres.ts';
import { hasRealPostgres } from '../../support/servers.ts';

const CALLER: Caller = { tenant: 'default' as TenantId, actor: 'ann' };
const MAX_LAG_MS = 1_000;

/** The server of a data folder and those it has started. */
function processesOf(data: string): number[] {
  const server = Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0]);
  const started = execFileSync('pgrep', ['-P', String(server)], { encoding: 'utf8' });
  return [server, ...started.trim().split('\n').map(Number)];
}

describe.skipIf(!hasRealPostgres())('a read replica', () => {
  let home: string;
  let guardian: Guardian;
  let primary: TestPostgres;
  let replica: TestPostgres;
  let standby: pg.Client;
  let store: FullStore;
  let told: { outcome: ReplicaOutcome; lagSeconds: number | null }[] = [];
  let count = 0;

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'syncline-replica-'));
    chmodSync(home, 0o755);
    guardian = startGuardian();
    const common = { tell: () => undefined, guardian, mayInstall: false };
    primary = (await startTestPostgres({ folder: join(home, 'primary', 'pg'), ...common }))!;
    await migrate(primary.url);
    replica = await startTestReplica(primary.url, {
      folder: join(home, 'replica', 'pg'),
      ...common,
    });
    standby = new pg.Client({ connectionString: replica.url });
    await standby.connect();
    const database = createDatabase({
      url: primary.url,
      poolMin: 0,
      poolMax: 5,
      replica: {
        url: replica.url,
        maxLagMs: MAX_LAG_MS,
        onRead: (outcome, lagSeconds) => told.push({ outcome, lagSeconds }),
      },
    });
    store = createStore({
      database,
      clock: systemClock,
      newId: randomUUID,
      maxContextBytes: 1_000_000,
      onCommitted: () => undefined,
    });
  }, 120_000);

  afterAll(async () => {
    await store.close();
    await standby.end().catch(() => undefined);
    await replica.stop();
    await primary.stop();
    await guardian.stop();
    rmSync(home, { recursive: true, force: true });
  });

  beforeEach(() => {
    told = [];
  });

  async function add(prefix: string): Promise<ContextKey> {
    const key = `${prefix}${(count += 1)}` as ContextKey;
    await store.contexts.store(CALLER, { key, data: { count }, options: {} });
    return key;
  }

  const listed = async (prefix: string): Promise<readonly string[]> =>
    (await store.contexts.list(CALLER, { prefix, limit: 100 })).items.map(({ key }) => key);
  /** Lists until the replica is the one who answers. */
  const untilReplicaAnswers = (prefix: string) =>
    vi.waitFor(
      async () => {
        told = [];
        await listed(prefix);
        expect(told.at(-1)?.outcome).toBe('replica');
      },
      { timeout: 20_000, interval: 50 },
    );

  it('answers lists and versions, and sees what was written soon after', async () => {
    const key = await add('seen/');
    await untilReplicaAnswers('seen/');
    await vi.waitFor(async () => expect(await listed('seen/')).toEqual([key]));
    told = [];
    await store.contexts.versions(CALLER, { key, limit: 10 });
    expect(told.map(({ outcome }) => outcome)).toEqual(['replica']);
    expect(told[0]!.lagSeconds).toBeLessThan(MAX_LAG_MS / 1_000);
  });

  it('while replay stands still, may be old for as long as allowed, then the primary answers', async () => {
    await untilReplicaAnswers('paused/');
    await standby.query('SELECT pg_wal_replay_pause()');
    try {
      const key = await add('paused/');
      // What is compared with one's own write is never read there.
      expect(await store.contexts.get(CALLER, key)).toMatchObject({ version: 1 });
      const began = performance.now();
      await vi.waitFor(
        async () => {
          told = [];
          const found = await listed('paused/');
          // Whoever answers: the replica does not have it, so only the primary may show it.
          expect(found).toEqual(told.at(-1)?.outcome === 'replica' ? [] : [key]);
          expect(told.at(-1)?.outcome).toBe('lagging');
        },
        { timeout: 10_000, interval: 20 },
      );
      expect(performance.now() - began).toBeLessThan(MAX_LAG_MS + 1_500);
      expect(await listed('paused/')).toEqual([key]);
    } finally {
      await standby.query('SELECT pg_wal_replay_resume()');
    }
    await untilReplicaAnswers('paused/');
    expect(await listed('paused/')).toHaveLength(1);
  });

  it('never answers a search: a write is found at once', async () => {
    await untilReplicaAnswers('found/');
    await standby.query('SELECT pg_wal_replay_pause()');
    try {
      const key = await add('found/');
      told = [];
      for (const query of ['', 'count']) {
        const asked = { query, prefix: 'found/', mode: 'text', limit: 10, offset: 0 } as const;
        const { results } = await store.search.search(CALLER, asked);
        expect(results.map((hit) => hit.key)).toEqual([key]);
      }
      expect(told).toEqual([]);
    } finally {
      await standby.query('SELECT pg_wal_replay_resume()');
    }
  });

  it('that hangs costs a caller little more than 2 s once, and then nobody anything', async () => {
    const key = await add('hung/');
    await untilReplicaAnswers('hung/');
    const frozen = processesOf(join(home, 'replica', 'pg', 'data'));
    try {
      for (const pid of frozen) process.kill(pid, 'SIGSTOP');
      const first = performance.now();
      expect(await listed('hung/')).toEqual([key]);
      expect(performance.now() - first).toBeLessThan(3_500);
      const second = performance.now();
      expect(await listed('hung/')).toEqual([key]);
      expect(told.at(-1)?.outcome).toBe('down');
      expect(performance.now() - second).toBeLessThan(500);
    } finally {
      for (const pid of frozen) process.kill(pid, 'SIGCONT');
    }
    await untilReplicaAnswers('hung/');
  }, 60_000);

  it('a refusal is certain: a context the replica has not got yet is found by the primary', async () => {
    await untilReplicaAnswers('new/');
    await standby.query('SELECT pg_wal_replay_pause()');
    try {
      const key = await add('new/');
      const { items } = await store.contexts.versions(CALLER, { key, limit: 10 });
      expect(items).toHaveLength(1);
    } finally {
      await standby.query('SELECT pg_wal_replay_resume()');
    }
  });

  it('a replica that goes away fails no read, and is used again when it is back', async () => {
    const key = await add('gone/');
    await untilReplicaAnswers('gone/');
    await standby.end();
    await replica.stop();
    for (let nth = 0; nth < 10; nth += 1) expect(await listed('gone/')).toEqual([key]);
    expect(told.map(({ outcome }) => outcome)).toContain('down');
    await replica.restart();
    standby = new pg.Client({ connectionString: replica.url });
    await standby.connect();
    await untilReplicaAnswers('gone/');
    expect(await listed('gone/')).toEqual([key]);
  });
});
