/** The doctor on real servers: each thing that can be stuck is found, and repaired where that is safe. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { doctorReportSchema } from '../../api/schemas/doctor.ts';
import type { Doctor } from '../../api/contract.ts';
import { systemClock } from '../../domain/clock.ts';
import type { Caller } from '../../domain/context.ts';
import type { TenantId } from '../../domain/ids.ts';
import { DEFAULT_GUARDS, type Link } from '../../domain/link.ts';
import { loadConfig, type Config } from '../../main/config.ts';
import { createDoctor } from '../../main/doctor/doctor.ts';
import { migrate } from '../../main/migrate.ts';
import { Secret } from '../../main/secret.ts';
import { createServices, type Services } from '../../main/services.ts';
import { pulseScheduleId, syncWorkflowId } from '../../workflows/contract.ts';
import { testDatabase, testRedis, testTemporal, type TestDatabase } from '../support/servers.ts';

const CALLER: Caller = { tenant: 'default' as TenantId, actor: 'ann' };
const OTHER: Caller = { tenant: 'other' as TenantId, actor: 'bob' };
/** Nobody works in this file: these are always found. */
const NOBODY = ['NO_SYNC_WORKER', 'NO_JOB_WORKER'];

let folder: string;
let where: TestDatabase;
let services: Services;
let doctor: Doctor;
let count = 0;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-doctor-'));
  where = await testDatabase();
  await migrate(where.url);
  services = await createServices(configOf(), pino({ level: 'silent' }));
  doctor = createDoctor({ ...services, clock: systemClock });
  await sql(
    `INSERT INTO context_system.tenants (id, name) VALUES ('other', 'other') ON CONFLICT DO NOTHING`,
  );
});
afterAll(async () => {
  const pulse = services.client.schedule.getHandle(
    pulseScheduleId(services.config.temporal.taskQueue),
  );
  await pulse.delete().catch(() => undefined);
  await services.close();
  await where.drop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  await sql('DELETE FROM context_system.sync_links');
  await sql('DELETE FROM context_system.outbox');
  // A busy machine may answer too late once; what is repaired is the pulse and the schedulers.
  await vi.waitFor(
    async () => {
      await doctor.repair(CALLER);
      expect(await found()).toEqual([]);
    },
    { timeout: 30_000, interval: 100 },
  );
}, 40_000);

function configOf(): Config {
  const file = join(folder, 'context.yaml');
  const redis = testRedis();
  const temporal = testTemporal();
  writeFileSync(
    file,
    JSON.stringify({
      database: { redis: { prefix: redis.prefix } },
      temporal: { task_queue: temporal.taskQueue },
      // Rarely enough that no beat of it changes a link during a test.
      sync: { pulse_ms: 60_000 },
    }),
  );
  return loadConfig(
    {
      SYNCLINE_HOME: folder,
      DATABASE_URL: where.url,
      REDIS_URL: redis.url,
      TEMPORAL_ADDRESS: temporal.address,
      SYNCLINE_FILE_ROOTS: join(folder, 'allowed'),
    },
    file,
  );
}

async function sql(text: string, values: unknown[] = []): Promise<void> {
  const admin = new pg.Client({ connectionString: where.url });
  await admin.connect();
  try {
    await admin.query(text, values);
  } finally {
    await admin.end();
  }
}

const set = (link: Link, changes: string): Promise<void> =>
  sql(`UPDATE context_system.sync_links SET ${changes} WHERE id = $1`, [link.id]);

/** A link with a folder of its own that has not been looked at and need not be, yet. */
async function addLink(caller = CALLER, root?: string): Promise<Link> {
  count += 1;
  const own = root ?? join(folder, 'allowed', `project${count}`);
  if (root === undefined) mkdirSync(join(own, '.factory'), { recursive: true });
  const link = await services.store.links.create(caller, {
    name: `link${count}`,
    connector: 'factory-files',
    config: { root: own },
    scope: { prefix: `p${count}/` },
    direction: 'both',
    strategy: 'three-way',
    strategies: [],
    intervalMs: 5_000,
    trigger: 'auto',
    guards: DEFAULT_GUARDS,
  });
  await sql('DELETE FROM context_system.outbox');
  await set(
    link,
    `pass_began_at = now() - interval '1 hour', next_due_at = now() + interval '1 hour'`,
  );
  return link;
}

/** Codes found, without those of the absent workers. */
async function found(by: Doctor = doctor, caller = CALLER): Promise<string[]> {
  const report = doctorReportSchema.parse(await by.examine(caller));
  return report.findings.map(({ code }) => code).filter((code) => !NOBODY.includes(code));
}

async function isRunning(link: Link): Promise<boolean> {
  const handle = services.client.workflow.getHandle(syncWorkflowId(CALLER.tenant, link.id));
  const status = await handle.describe().catch(() => null);
  return status?.status.name === 'RUNNING';
}

describe('the installation', () => {
  it('is well but for the workers that are not there, and says what it looked at', async () => {
    const report = await doctor.examine(CALLER);
    expect(report.findings.map(({ code }) => code).sort()).toEqual([...NOBODY].sort());
    expect(report).toMatchObject({ healthy: false, links: 0, outbox: { waiting: 0 } });
    for (const server of Object.values(report.servers)) {
      expect(server.status).toBe('up');
      expect(server.version).toMatch(/^\d+\./);
    }
  });

  it('gets its pulse back, and has it unpaused', async () => {
    const pulse = services.client.schedule.getHandle(
      pulseScheduleId(services.config.temporal.taskQueue),
    );
    await pulse.pause('night shift');
    expect(await found()).toEqual(['PULSE_PAUSED']);
    expect((await doctor.repair(CALLER)).repairs).toMatchObject([
      { code: 'PULSE_PAUSED', done: true },
    ]);
    expect(await found()).toEqual([]);

    await pulse.delete();
    expect(await found()).toEqual(['PULSE_MISSING']);
    const { repairs, findings } = await doctor.repair(CALLER);
    expect(repairs).toMatchObject([{ code: 'PULSE_MISSING', done: true }]);
    expect(findings.map(({ code }) => code).sort()).toEqual([...NOBODY].sort());
  });

  it('gets the schedulers back that Redis lost', async () => {
    const prefix = `${services.config.redis.prefix}-queue`;
    const keys = await services.redis.keys(`${prefix}:*`);
    await services.redis.del(...keys);
    expect(await found()).toEqual(['JOBS_MISSING']);
    expect((await doctor.repair(CALLER)).repairs).toMatchObject([{ done: true }]);
    expect(await found()).toEqual([]);
  });

  it('is told when the schema is behind, and when it is ahead', async () => {
    const table = 'syncline_migrations';
    await sql(`CREATE TABLE kept AS SELECT * FROM ${table} ORDER BY id DESC LIMIT 1`);
    await sql(`DELETE FROM ${table} WHERE id IN (SELECT id FROM kept)`);
    expect(await found()).toEqual(['MIGRATIONS_PENDING']);
    await sql(`INSERT INTO ${table} SELECT * FROM kept`);
    await sql(`INSERT INTO ${table} (timestamp, name) VALUES (1, 'FromTheFuture1')`);
    expect(await found()).toEqual(['DATABASE_NEWER']);
    await sql(`DELETE FROM ${table} WHERE name = 'FromTheFuture1'`);
  });

  it('has nobody who relays, when messages are not taken', async () => {
    await sql(`INSERT INTO context_system.outbox (tenant_id, topic, payload, created_at, not_before)
      VALUES ('default', 'link.wake', '{"linkId":"x"}', now() - interval '1 minute', now() - interval '1 minute')`);
    expect(await found()).toEqual(['OUTBOX_STUCK']);
  });

  it('has a clock that is off', async () => {
    const late = { now: () => systemClock.now() + 60_000 };
    const codes = await found(createDoctor({ ...services, clock: late }));
    expect(codes).toEqual(['CLOCK_SKEW', 'CLOCK_SKEW', 'CLOCK_SKEW'].slice(0, codes.length));
    expect(codes.length).toBeGreaterThanOrEqual(2);
  });
});

describe('a server that is out', () => {
  it('Postgres: said within seconds, the others are examined all the same', async () => {
    const { config } = services;
    const url = new Secret('postgres://postgres@127.0.0.1:9/none');
    const without = { ...services, config: { ...config, database: { ...config.database, url } } };
    const report = await createDoctor({ ...without, clock: systemClock }).examine(CALLER);
    expect(report.findings[0]).toMatchObject({ code: 'POSTGRES_DOWN', fixable: false });
    expect(report).toMatchObject({ links: null, outbox: null });
    expect(report.servers.temporal.status).toBe('up');
    expect(report.tookMs).toBeLessThan(8_000);
  });

  it('Temporal and Redis: links are judged by what Postgres knows', async () => {
    const link = await addLink();
    await set(link, `state = 'parked', guard = '{"code":"EMPTY_SIDE","reason":"It is empty."}'`);
    const apart = await createServices(services.config, pino({ level: 'silent' }));
    await apart.temporal.close();
    apart.redis.disconnect();
    const report = await createDoctor({ ...apart, clock: systemClock }).examine(CALLER);
    await apart.close().catch(() => undefined);
    expect(report.findings.map(({ code }) => code)).toEqual([
      'REDIS_DOWN',
      'TEMPORAL_DOWN',
      'LINK_PARKED',
    ]);
  });
});

describe('a link', () => {
  it('that sleeps through its time is woken, once for all reasons', async () => {
    const link = await addLink();
    expect(await found()).toEqual([]);
    await set(link, `next_due_at = now() - interval '10 minutes'`);
    expect(await found()).toEqual(['LINK_ASLEEP']);
    expect(await isRunning(link)).toBe(false);
    const { repairs, findings } = await doctor.repair(CALLER);
    expect(repairs).toEqual([
      {
        code: 'LINK_ASLEEP',
        linkId: link.id,
        link: link.name,
        done: true,
        detail: `Woke \`${link.name}\`.`,
      },
    ]);
    expect(findings.map(({ code }) => code).sort()).toEqual([...NOBODY].sort());
    expect(await isRunning(link)).toBe(true);
  });

  it('with a run that lost its process, or with intents nobody finished, is woken', async () => {
    const [lost, open] = [await addLink(), await addLink()];
    for (const [link, state] of [
      [lost, null],
      [open, 'intended'],
    ] as const) {
      const run = randomUUID();
      await sql(
        `INSERT INTO context_system.sync_runs (tenant_id, id, link_id, status, trigger, epoch, begun)
         VALUES ('default', $1, $2, $3, 'test', 1, true)`,
        [run, link.id, state ? 'failed' : 'running'],
      );
      if (!state) continue;
      await sql(
        `INSERT INTO context_system.sync_ops (tenant_id, run_id, seq, link_id, op_id, action, side, reason, key, kind, remote_id, hub_version, state)
         VALUES ('default', $1, 1, $2, $3, 'create', 'remote', 'test', 'p/a', 'memory', 'a', 1, $4)`,
        [run, link.id, randomUUID(), state],
      );
    }
    expect((await found()).sort()).toEqual(['INTENTS_OPEN', 'RUN_STUCK']);
    await doctor.repair(CALLER);
    expect(await found()).toEqual([]);
    expect([await isRunning(lost), await isRunning(open)]).toEqual([true, true]);
  });

  it('whose workflow has too long a history gets a new one', async () => {
    const link = await addLink();
    await services.wake({ tenant: CALLER.tenant, linkId: link.id }, 'test');
    const handle = services.client.workflow.getHandle(syncWorkflowId(CALLER.tenant, link.id));
    const first = (await handle.describe()).runId;
    for (let nth = 0; nth < 5; nth += 1) await handle.signal('wake', 'x'.repeat(1_900_000));
    await set(link, `live_until = now() + interval '1 minute'`);
    expect(await found()).toEqual(['HISTORY_OVERSIZED']);
    const { repairs } = await doctor.repair(CALLER);
    expect(repairs).toMatchObject([{ code: 'HISTORY_OVERSIZED', done: true }]);
    const next = await handle.describe();
    expect([next.status.name, next.runId === first]).toEqual(['RUNNING', false]);
    expect(await found()).toEqual([]);
  });

  it('whose remote is gone, or is not allowed, says so with the code', async () => {
    const gone = await addLink();
    const root = gone.config['root'] as string;
    renameSync(root, `${root}-away`);
    const outside = await addLink(CALLER, join(folder, 'elsewhere'));
    const { findings } = await doctor.examine(CALLER);
    const remotes = findings.filter(({ code }) => code === 'REMOTE_FAILS');
    expect(remotes.map(({ link, explanation }) => [link, explanation])).toEqual([
      [gone.name, expect.stringContaining('CONNECTOR_UNREACHABLE')],
      [outside.name, expect.stringContaining('CONNECTOR_NOT_ALLOWED')],
    ]);
    expect(remotes[1]!.advice).toContain('SYNCLINE_FILE_ROOTS');
    renameSync(`${root}-away`, root);
    expect(await found()).toEqual(['REMOTE_FAILS']);
  });

  it('that failed says why, with what is set aside and what waits for a person', async () => {
    const link = await addLink();
    await set(link, `state = 'failed'`);
    await sql(
      `INSERT INTO context_system.sync_runs (tenant_id, id, link_id, status, trigger, epoch, begun, error)
       VALUES ('default', $1, $2, 'failed', 'test', 1, true, '{"code":"SCAN_INCOMPLETE","detail":"half a list"}')`,
      [randomUUID(), link.id],
    );
    await sql(
      `INSERT INTO context_system.sync_items (tenant_id, link_id, key, kind, state, remote_status, dirty, fault, attempts, retry_at)
       SELECT 'default', $1, 'p/' || lpad(n::text, 2, '0'), 'memory', 'quarantined', 'unknown', false,
         '{"code":"ITEM_INVALID","detail":"no name"}', 3, now() + interval '1 minute' FROM generate_series(1, 22) n`,
      [link.id],
    );
    await sql(
      `INSERT INTO context_system.sync_conflicts (tenant_id, id, link_id, key, status, reason, hub_version, pointers, due_at)
       VALUES ('default', $1, $2, 'p/c', 'open', 'edit/edit', 1, '[]', now() - interval '1 hour')`,
      [randomUUID(), link.id],
    );
    const { findings, repairs } = await doctor.repair(CALLER);
    expect(repairs).toEqual([]);
    const own = findings.filter((finding) => finding.linkId === link.id);
    expect(own.map(({ code }) => code)).toEqual([
      'CONFLICTS_OVERDUE',
      ...Array.from({ length: 20 }, () => 'ITEM_QUARANTINED'),
      'MORE_FOUND',
      'LINK_FAILED',
    ]);
    expect(own[1]).toMatchObject({
      key: 'p/01',
      explanation: `\`p/01\` of \`${link.name}\` is set aside after 3 attempt(s): ITEM_INVALID: no name`,
    });
    expect(own.at(-1)!.explanation).toContain('SCAN_INCOMPLETE: half a list');
    expect(own[1]!.advice).toContain('it is tried again at');
    await set(link, `trigger = 'manual'`);
    const manual = (await doctor.examine(CALLER)).findings;
    const advice = manual.filter(({ linkId }) => linkId === link.id).map((one) => one.advice);
    expect(advice.join()).not.toMatch(/tried again at|tries again by itself/);
    expect(advice.at(-1)).toContain('It runs only when asked');
  });

  it('of another tenant is nobody else’s business', async () => {
    const link = await addLink();
    await set(link, `next_due_at = now() - interval '10 minutes', state = 'active'`);
    expect(await found(doctor, OTHER)).toEqual([]);
    expect((await doctor.repair(OTHER)).repairs).toEqual([]);
    expect(await isRunning(link)).toBe(false);
  });
});
