/**
 * Servers that go away and come back while edits go on: Temporal for a minute, Postgres restarted,
 * Redis emptied and restarted, the memory server killed in the middle of a call. Every write that
 * was acknowledged must be on both sides in the end, once.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startGuardian, type Guardian } from '../../dev/guardian.ts';
import { startRedis } from '../../dev/redis.ts';
import type { RunningServer } from '../../dev/server.ts';
import { startTemporal } from '../../dev/temporal.ts';
import { migrate } from '../../main/migrate.ts';
import { slugOfName } from '../../domain/slug.ts';
import { memoryServerPath } from '../conformance/memory-workspace.ts';
import { hasRealPostgres } from '../support/servers.ts';
import { startTestPostgres, type TestPostgres } from '../support/servers-postgres.ts';
import { startSyncline, type SynclineProcess } from '../support/syncline-process.ts';
import { createTwoSides, memory, type TwoSides } from '../support/two-sides.ts';

/** How long Temporal is away, ms. */
const OUTAGE_MS = Number(process.env['SYNCLINE_OUTAGE_MS'] ?? 60_000);
const EVENTUALLY = { timeout: 90_000, interval: 100 };
const PROXY = fileURLToPath(new URL('../kill/memory-server-proxy.mjs', import.meta.url));
const quietly = (): void => undefined;

let home: string;
let guardian: Guardian;
let postgres: TestPostgres;
let redis: RunningServer;
let temporal: RunningServer;
let syncline: SynclineProcess;
let sides: TwoSides;
let controlFile: string;
const acknowledged = new Set<string>(['the first']);

describe.skipIf(!hasRealPostgres())('while servers go away and come back', () => {
  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'syncline-outage-'));
    chmodSync(home, 0o755); // the user "postgres" must get through
    guardian = startGuardian();
    const common = { home, preferredPort: 0, tell: quietly, guardian, mayInstall: false };
    const folder = join(home, 'postgres');
    [postgres, redis, temporal] = await Promise.all([
      startTestPostgres({ ...common, folder }).then((server) => server!),
      startRedis(common),
      startTemporal({ ...common, isHeadless: true }),
    ]);
    await migrate(postgres.url);
    syncline = await startSyncline({
      databaseDoor: async () => postgres.url,
      redis: { url: redis.address, prefix: 'outages' },
      config: { temporal: { address: temporal.address, task_queue: 'outages' } },
    });
    await link();
  }, 120_000);

  afterAll(async () => {
    await syncline.close();
    await Promise.all([temporal.stop(), redis.stop(), postgres.stop()]);
    await guardian.stop();
    rmSync(home, { recursive: true, force: true });
  });

  it('takes hub writes and file edits while Temporal is away, and carries them over after', async () => {
    const { port } = temporal;
    await temporal.stop();
    const back = delay(OUTAGE_MS);
    editFile('a file edit without Temporal');
    await writeHub('a hub write without Temporal');
    await vi.waitFor(async () => {
      const health = await syncline.client.health();
      expect(health.checks.temporal.status).toBe('down');
      expect(health.checks.postgres.status).toBe('up');
    }, EVENTUALLY);
    await back;
    await writeHub('a late hub write without Temporal');
    temporal = await startTemporal({
      ...{ home, preferredPort: port, tell: quietly, guardian, mayInstall: false },
      isHeadless: true,
    });
    expect(temporal.port).toBe(port);
    await bothHaveAll();
  }, 240_000);

  it('answers UNAVAILABLE while Postgres restarts, and loses nothing it has acknowledged', async () => {
    editFile('a file edit before the restart');
    const restarting = postgres.restart();
    for (let nth = 0; nth < 20; nth += 1) {
      await writeHub(`write ${nth} around the restart`).catch((thrown: unknown) => {
        expect(thrown).toMatchObject({
          code: expect.stringMatching(/^(?:UNAVAILABLE)$/) as string,
        });
      });
    }
    await restarting;
    await vi.waitFor(() => writeHub('a hub write after the restart'), EVENTUALLY);
    await bothHaveAll();
  }, 240_000);

  it('syncs on when Redis is emptied, and when it restarts', async () => {
    const { port } = redis;
    const client = new Redis(redis.address);
    await client.flushall();
    client.disconnect();
    await writeHub('a hub write after the flush');
    editFile('a file edit after the flush');
    await bothHaveAll();
    await redis.stop();
    await writeHub('a hub write without Redis');
    editFile('a file edit without Redis');
    await bothHaveAll();
    redis = await startRedis({
      home,
      preferredPort: port,
      tell: quietly,
      guardian,
      mayInstall: false,
    });
    await writeHub('a hub write with Redis again');
    await bothHaveAll();
  }, 240_000);

  it.each(['before', 'after'])(
    'goes on when the memory server is killed %s it has done a call',
    async (when) => {
      writeFileSync(
        controlFile,
        JSON.stringify({ id: randomUUID(), nth: 1, when, victim: 'server' }),
      );
      await writeHub(`a hub write with the server killed ${when} the call`);
      await vi.waitFor(async () => {
        const { items } = await syncline.client.runs.list(`${sides.prefix.slice(0, -1)}-graph`);
        expect(items.some(({ error }) => error?.code === 'CONNECTOR_UNREACHABLE')).toBe(true);
      }, EVENTUALLY);
      rmSync(controlFile);
      await bothHaveAll();
    },
    240_000,
  );
});

/** Both sides under one prefix, the memory server behind a door that can kill it. */
async function link(): Promise<void> {
  sides = await createTwoSides(syncline.folder, { graph: [memory('Notes', ['the first'])] });
  controlFile = join(syncline.folder, 'kill.json');
  const scope = { prefix: sides.prefix };
  const name = sides.prefix.slice(0, -1);
  await syncline.client.links.create({
    name: `${name}-files`,
    connector: 'factory-files',
    config: sides.factoryConfig,
    scope,
  });
  await syncline.client.links.create({
    name: `${name}-graph`,
    connector: 'mcp-memory',
    config: {
      command: process.execPath,
      args: [PROXY, await memoryServerPath(), controlFile],
      memoryFile: sides.memoryFile,
    },
    scope,
  });
  await bothHaveAll();
}

function editFile(fact: string): void {
  const text = readFileSync(sides.memories, 'utf8');
  writeFileSync(sides.memories, text.replace('- the first\n', `- the first\n- ${fact}\n`));
  acknowledged.add(fact);
}

/** An own context for each fact, so that no write can fail on a version. */
async function writeHub(fact: string): Promise<void> {
  const key = `${sides.prefix}${slugOfName(fact)}`;
  await syncline.client.store(key, memory(fact, [fact]), { kind: 'memory', ttl: null });
  acknowledged.add(fact);
}

async function bothHaveAll(): Promise<void> {
  await vi.waitFor(() => {
    const facts = [...acknowledged].sort();
    const there = [...sides.entities().values()].flatMap((one) => one.observations).sort();
    const here = [...sides.sections().values()].flatMap((one) => one.observations).sort();
    // What failed may have been written all the same; what was acknowledged must be there, once.
    expect(there).toEqual(expect.arrayContaining(facts));
    expect(new Set(there).size).toBe(there.length);
    expect(here).toEqual(there);
  }, EVENTUALLY);
}
