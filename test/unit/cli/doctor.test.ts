import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ApiServer } from '../../../api/server.ts';
import type { DoctorReport } from '../../../api/contract.ts';
import { readEnvironment, type Environment } from '../../../cli/environment.ts';
import { runTestCli } from '../../support/cli-under-test.ts';
import { HEALTHY, startTestApi, testApiDeps } from '../../support/api-under-test.ts';
import { createStoreDouble } from '../../support/store-double.ts';

const SICK: DoctorReport = {
  ...HEALTHY,
  healthy: false,
  links: 2,
  findings: [
    {
      code: 'PULSE_MISSING',
      fixable: true,
      linkId: null,
      link: null,
      key: null,
      explanation: 'The schedule is gone.',
      advice: 'Let `--fix` make it again.',
    },
    {
      code: 'REMOTE_FAILS',
      fixable: false,
      linkId: 'l1',
      link: 'files',
      key: null,
      explanation: 'The remote of `files` cannot be used: \u001b[31mred\u0007.',
      advice: 'Bring it back.',
    },
  ],
};

let api: ApiServer;
let folder: string;
let now: { examine: DoctorReport; repair: DoctorReport };
const listening: Server[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-doctor-'));
  const doctor = { examine: async () => now.examine, repair: async () => now.repair };
  const store = createStoreDouble();
  api = await startTestApi(testApiDeps(store, { doctor }));
  await cli(['link', 'add', 'files', '--root', '/allowed/a', '--prefix', 'p/']);
});
afterAll(async () => {
  await api.stop(1000);
  for (const server of listening) server.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  now = { examine: HEALTHY, repair: HEALTHY };
});

const cli = (args: readonly string[], environment: Partial<Environment> = {}) =>
  runTestCli(args, { environment: { url: api.url, ...environment } });

/** A port on which something listens that is no Syncline. */
async function strangePort(): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end('HELO');
  });
  listening.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

describe('doctor', () => {
  it('exits 0 and says what it looked at when nothing is stuck', async () => {
    const { code, stdout } = await cli(['doctor']);
    expect(code).toBe(0);
    expect(stdout).toBe(
      'Looked at postgres 1 · redis 1 · temporal 1 · 0 link(s) · outbox 0 in 1 ms.\n' +
        'Healthy: nothing is stuck.\n',
    );
  });

  it('exits 1 with a sentence and a way out for each problem, cleaned for a terminal', async () => {
    now = { ...now, examine: SICK };
    const { code, stdout } = await cli(['doctor']);
    expect(code).toBe(1);
    expect(stdout).toContain('fixable PULSE_MISSING  The schedule is gone.\n');
    expect(stdout).toContain('        Let `--fix` make it again.\n');
    expect(stdout).toContain('cannot be used: \uFFFD[31mred\uFFFD.');
    expect(stdout).toContain('2 problem(s), 1 of them `--fix` repairs.');
  });

  it('--fix tells what was done and what is left', async () => {
    const repairs = [
      { code: 'PULSE_MISSING', linkId: null, link: null, done: true, detail: 'It beats again.' },
      { code: 'LINK_ASLEEP', linkId: 'l1', link: 'files', done: false, detail: 'no answer' },
    ] as const;
    now = { ...now, repair: { ...SICK, findings: SICK.findings.slice(1), repairs } };
    const left = await cli(['doctor', '--fix']);
    expect(left.code).toBe(1);
    expect(left.stdout).toContain('fixed  It beats again.\nfailed no answer\n');
    expect(left.stdout).toContain('1 problem(s) left.');
    now = { ...now, repair: { ...HEALTHY, repairs: repairs.slice(0, 1) } };
    expect((await cli(['doctor', '--fix'])).code).toBe(0);
  });

  it('--json prints the report', async () => {
    now = { ...now, examine: SICK };
    const { code, stdout } = await cli(['doctor', '--json']);
    expect([code, JSON.parse(stdout)]).toEqual([1, SICK]);
  });

  it('explains how it is called', async () => {
    expect((await cli(['doctor', '--help'])).stdout).toContain('syncline doctor --fix');
    expect((await cli(['doctor', 'everything'])).code).toBe(2);
  });
});

describe('doctor without a server', () => {
  const gone = 'http://127.0.0.1:9';
  const servers = { postgres: null, redis: null, temporal: null };

  it('says that nothing runs, and what can be reached of the rest', async () => {
    const port = await strangePort();
    const installation = {
      home: folder,
      servers: {
        ...servers,
        postgres: `postgres://me:secret@127.0.0.1:${port}/db`,
        redis: 'localhost:9',
      },
    };
    writeFileSync(join(folder, 'stack.json'), JSON.stringify({ ports: { temporal: 9 } }));
    const { code, stdout } = await cli(['doctor'], { url: gone, installation });
    expect(code).toBe(1);
    expect(stdout).toContain('SERVER_DOWN  Syncline is not running at http://127.0.0.1:9');
    expect(stdout).toContain(`postgres at 127.0.0.1:${port} (yours): reachable\n`);
    expect(stdout).toContain('redis at localhost:9 (yours): nothing listens\n');
    expect(stdout).toContain(
      'temporal at 127.0.0.1:9 (embedded, as last started): nothing listens',
    );
    expect(stdout).not.toContain('secret');
    rmSync(join(folder, 'stack.json'));
  });

  it('tells a port somebody else has from a server that is starting', async () => {
    const strange = await cli(['doctor', '--json'], {
      url: `http://127.0.0.1:${await strangePort()}`,
      installation: { home: folder, servers },
    });
    const seen = JSON.parse(strange.stdout) as Record<string, unknown>;
    expect(seen).toMatchObject({ isApiPortTaken: true, owner: null });
    expect(seen['explanation']).toContain('another program has the port');
    writeFileSync(join(folder, 'lock.json'), JSON.stringify({ pid: process.pid, url: null }));
    const starting = await cli(['doctor'], { url: gone, installation: { home: folder, servers } });
    expect(starting.stdout).toContain(
      `process ${process.pid} holds ${folder} and is still starting`,
    );
    rmSync(join(folder, 'lock.json'));
  });

  it('gives the ordinary message where it does not know where to look', async () => {
    const { code, stderr } = await cli(['doctor'], { url: gone });
    expect([code, stderr]).toEqual([1, expect.stringContaining('error UNREACHABLE')]);
  });

  it('knows the servers that the environment names', () => {
    const env = {
      SYNCLINE_HOME: folder,
      POSTGRES_HOST: 'db',
      REDIS_URL: 'redis://r',
      NO_COLOR: '1',
    };
    expect(readEnvironment(env)).toMatchObject({
      installation: {
        home: folder,
        servers: { postgres: 'db:5432', redis: 'redis://r', temporal: null },
      },
    });
  });
});

describe('items set aside', () => {
  it('are listed with attempts and the next try', async () => {
    const { code, stdout } = await cli(['link', 'show', 'files', '--quarantined']);
    expect(code).toBe(0);
    expect(stdout).toBe(
      'KEY\tCODE\tATTEMPTS\tNEXT TRY\tDETAIL\n' +
        'p/bad\tITEM_INVALID\t2\t2026-11-01T00:00:00.000Z\tIt has no name.\n',
    );
    expect(
      JSON.parse((await cli(['link', 'show', 'files', '--quarantined', '--json'])).stdout),
    ).toHaveLength(1);
  });

  it.each([
    ['retry', 'tried now'],
    ['release', 'released'],
  ])('%s takes all or some', async (act, done) => {
    expect(await cli(['link', act, 'files'])).toMatchObject({
      code: 0,
      stdout: `1 item(s) ${done}\n`,
    });
    expect((await cli(['link', act, 'files', '--all'])).code).toBe(0);
    const some = await cli(['link', act, 'files', 'p/bad', 'p/fine']);
    expect(some).toMatchObject({ code: 1, stdout: `1 item(s) ${done}\nnot set aside: p/fine\n` });
    expect((await cli(['link', act, 'files', 'p/bad', '--all'])).code).toBe(2);
    expect((await cli(['link', act])).code).toBe(2);
  });
});
