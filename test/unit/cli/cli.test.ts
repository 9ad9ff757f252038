import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiServer } from '../../../api/server.ts';
import { readEnvironment } from '../../../cli/environment.ts';
import type { RunId } from '../../../domain/ids.ts';
import { runTestCli, type CliRun } from '../../support/cli-under-test.ts';
import { startTestApi, testApiDeps } from '../../support/api-under-test.ts';
import { conflictRow, createStoreDouble, runRow } from '../../support/store-double.ts';

const store = createStoreDouble();
let api: ApiServer;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-cli-'));
  api = await startTestApi(testApiDeps(store));
  store.conflictRows.set('c1', conflictRow('c1'));
  await cli(['link', 'add', 'files', '--root', '/allowed/a', '--prefix', 'p/']);
});
afterAll(async () => {
  await api.stop(1000);
  rmSync(folder, { recursive: true, force: true });
});

interface CliResult extends CliRun {
  readonly startedWith: readonly string[] | null;
}

async function cli(
  args: readonly string[],
  given: { stdin?: string; url?: string; isTerminal?: boolean } = {},
): Promise<CliResult> {
  let startedWith: readonly string[] | null = null;
  const isTerminal = given.isTerminal ?? false;
  const ran = await runTestCli(args, {
    isStdoutTerminal: isTerminal,
    isStderrTerminal: isTerminal,
    isStdinTerminal: given.stdin === undefined,
    readStdin: async () => given.stdin ?? '',
    environment: { url: given.url ?? api.url, hasColor: true },
    runStart: async (passed) => {
      startedWith = passed;
      return 7;
    },
    runMain: async (name, passed) => {
      startedWith = [name, ...passed];
      return 1;
    },
  });
  return { ...ran, startedWith };
}

describe('exit codes and messages', () => {
  it('0 for what worked, help and the version', async () => {
    expect((await cli(['status'])).code).toBe(0);
    expect(await cli(['--help'])).toMatchObject({ code: 0, stderr: '' });
    expect((await cli(['--version'])).stdout).toBe('9.9.9\n');
  });

  it('1 with `error CODE: detail` and each bad field', async () => {
    const missing = await cli(['context', 'get', 'nope']);
    expect(missing).toMatchObject({
      code: 1,
      stdout: '',
      stderr: 'error CONTEXT_NOT_FOUND: There is no context `nope`.\n',
    });
    const twice = await cli(['link', 'add', 'files', '--root', '/allowed/a']);
    expect(twice.stderr).toBe('error VALIDATION: A link of that name exists.\n  /name: is taken\n');
  });

  it('with --json, tells an error as JSON with what the API said', async () => {
    const missing = await cli(['context', 'get', 'nope', '--json']);
    expect([missing.code, missing.stdout]).toEqual([1, '']);
    const problem = {
      code: 'CONTEXT_NOT_FOUND',
      status: 404,
      detail: 'There is no context `nope`.',
    };
    expect(JSON.parse(missing.stderr)).toMatchObject({ error: problem });
    const old = ['context', 'put', 'held', '1', '--if-version'];
    await cli([...old, '0']);
    const moved = await cli([...old, '0', '--json']);
    expect(JSON.parse(moved.stderr)).toMatchObject({
      error: { code: 'VERSION_CONFLICT', currentVersion: 1 },
    });
    const unreachable = await cli(['status', '--json'], { url: 'http://127.0.0.1:9' });
    expect(JSON.parse(unreachable.stderr)).toMatchObject({
      error: {
        code: 'UNREACHABLE',
        status: 0,
        detail: expect.stringMatching(/npm start/) as string,
      },
    });
    const usage = await cli(['context', 'put', 'k', 'not json', '--json']);
    expect([usage.code, JSON.parse(usage.stderr)]).toMatchObject([2, { error: { code: 'USAGE' } }]);
  });

  it.each(['context', 'link', 'sync', 'conflicts', 'keys', 'tenants', 'config'])(
    'the help of `%s` has an example',
    async (group) => {
      expect((await cli([group, '--help'])).stdout).toContain(`Example:\n  $ syncline ${group} `);
    },
  );

  it('1 and what to do when nothing runs', async () => {
    const { code, stderr } = await cli(['status'], { url: 'http://127.0.0.1:9' });
    expect(code).toBe(1);
    expect(stderr).toBe(
      'error UNREACHABLE: Syncline is not running at http://127.0.0.1:9; start it with `npm start`.\n',
    );
  });

  it.each([
    [['status', '--url', 'foo'], 'foo'],
    [['--url', 'localhost:3100', 'context', 'list'], 'localhost:3100'],
    [['doctor', '--url', 'ftp://h'], 'ftp://h'],
    [['--url', 'foo', 'backup'], 'foo'],
    [['--url', 'foo', 'start'], 'foo'],
  ])('2 for a --url that is none, also where nobody needs it: %j', async (args, url) => {
    const { code, stderr, startedWith } = await cli(args);
    expect([code, startedWith]).toEqual([2, null]);
    expect(stderr).toMatch(new RegExp(`^error: ${url} is not a URL; name one like http://`));
  });

  it('2 for a URL of the environment that is none, in JSON too', async () => {
    const { code, stderr } = await cli(['status', '--json'], { url: 'foo' });
    expect(code).toBe(2);
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'USAGE', detail: expect.stringContaining('foo is not a URL') as string },
    });
    expect((await cli(['config', 'check'], { url: 'foo' })).startedWith).not.toBeNull();
  });

  it.each([
    [['nope']],
    [['link']],
    [['link', 'show']],
    [['context', 'get', 'k', '--version', 'x']],
    [['context', 'put', 'k', 'not json']],
    [['context', 'put', 'k', '@/no/such/file']],
    [['context', 'put', 'k']],
    [['conflicts', 'resolve', 'c1']],
    [['conflicts', 'resolve', 'c1', '--choice', 'mine']],
    [['link', 'add', 'files', '--direction', 'sideways']],
    [['sync', 'run', 'files', '--unknown']],
    [['sync', 'plan']],
    [['sync', 'approve']],
    [['sync', 'undo']],
    [['sync', 'undo', 'r1', '--timeout', '0']],
    [['sync', 'show', 'r1', '--limit', '0']],
  ])('2 for %j', async (args) => {
    const { code, stderr } = await cli(args);
    expect(code).toBe(2);
    expect(stderr).not.toBe('');
  });

  it('asks for an audit, and names the run', async () => {
    const { code, stdout } = await cli(['sync', 'audit', 'files']);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^Audit run-\d+ is on its way\./)]);
    expect((await cli(['sync', 'audit', 'nobody'])).code).toBe(1);
    expect((await cli(['sync', 'audit'])).code).toBe(2);
  });

  it('3 when a guard parked the run, with the reason and what to do', async () => {
    const guard = { code: 'EMPTY_SIDE', reason: 'The remote is empty.', planId: 'p1' } as const;
    const { request } = store.runs;
    store.runs.request = async (_caller, linkId) => {
      const run = runRow('p1', { linkId, status: 'parked', guard });
      store.runRows.set('p1', run);
      return run;
    };
    const { code, stdout } = await cli(['sync', 'run', 'files', '--wait']);
    store.runs.request = request;
    expect(code).toBe(3);
    expect(stdout).toContain('parked by EMPTY_SIDE: The remote is empty.');
    expect(stdout).toContain('syncline sync approve p1 --wait');
  });

  it('4 when conflicts are left open, 1 when the run failed', async () => {
    const { status } = store.links;
    store.links.status = async (...args) => ({ ...(await status(...args)), conflicts: 2 });
    const open = await cli(['sync', 'run', 'files', '--wait']);
    store.links.status = status;
    expect([open.code, open.stdout]).toEqual([4, expect.stringContaining('2 open conflict(s)')]);
    store.runs.request = async (_caller, linkId) => {
      const error = { code: 'CONNECTOR_UNREACHABLE', detail: 'The folder is gone.' };
      const run = runRow('f1', { linkId, status: 'failed', error });
      store.runRows.set('f1', run);
      return run;
    };
    const failed = await cli(['sync', 'run', 'files', '--wait']);
    expect([failed.code, failed.stdout]).toEqual([
      1,
      expect.stringContaining('The folder is gone.'),
    ]);
  });
});

describe('context', () => {
  it('put takes JSON, a file or standard input, exactly as written', async () => {
    const file = join(folder, 'value.json');
    writeFileSync(file, '{"from":"file"}');
    expect((await cli(['context', 'put', 'a', '{"z":-0}', '--tag', 'x'])).code).toBe(0);
    expect((await cli(['context', 'get', 'a'])).stdout).toBe('{\n  "z": -0\n}\n');
    await cli(['context', 'put', 'a', `@${file}`]);
    expect((await cli(['context', 'get', 'a'])).stdout).toContain('"file"');
    await cli(['context', 'put', 'a', '-'], { stdin: '[]' });
    expect((await cli(['context', 'get', 'a'])).stdout).toBe('[]\n');
    const rounded = await cli(['context', 'put', 'a', '9007199254740993']);
    expect(rounded.stderr).toContain('error NUMBER_PRECISION');
  });

  it.each(['0', '1.5', 'soon', '1h30m', '10ms', '-1'])('put refuses --ttl %s', async (ttl) => {
    const { code, stderr } = await cli(['context', 'put', 't', '1', '--ttl', ttl]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('or a time like "90s", "6h"')]);
  });

  it('says in its help how a time is written', async () => {
    const help = async (...args: string[]) => (await cli([...args, '--help'])).stdout;
    expect(await help('context', 'put')).toMatch(/--ttl <time\|never>.*like 90s, 6h, 30d/);
    expect(await help('sync', 'run')).toMatch(/--timeout <time>.*like/);
    expect((await cli(['sync', 'wait', 'files', 'k', '1', '--timeout', '5x'])).code).toBe(2);
  });

  it('get --json prints the whole context, delete deletes it', async () => {
    await cli(['context', 'put', 'b', '1']);
    const whole = JSON.parse((await cli(['context', 'get', 'b', '--json'])).stdout) as object;
    expect(whole).toMatchObject({ key: 'b', version: 1, data: 1 });
    expect((await cli(['context', 'delete', 'b'])).stdout).toBe('Deleted `b` (version 2)\n');
    expect((await cli(['context', 'get', 'b'])).code).toBe(1);
  });
});

describe('output', () => {
  it('is tabs without colour in a pipe, a table with colour on a terminal', async () => {
    const piped = await cli(['link', 'list']);
    expect(piped.stdout.split('\n')[0]).toBe(
      'NAME\tCONNECTOR\tPREFIX\tDIRECTION\tSTRATEGY\tSTATE\tID',
    );
    expect(piped.stdout).not.toContain('\u001b');
    expect((await cli(['link', 'list'], { isTerminal: true })).stdout).toContain(
      '\u001b[32mactive',
    );
  });

  it('lists links a page at a time when asked to, and says how to go on', async () => {
    await cli(['link', 'add', 'files', '--name', 'later', '--root', '/allowed/a']);
    const first = (await cli(['link', 'list', '--limit', '1'])).stdout.split('\n');
    expect(first[1]).toMatch(/^files\t/);
    const cursor = /^There are more: --cursor (.+)$/.exec(first[2]!)![1]!;
    const second = (await cli(['link', 'list', '--cursor', cursor])).stdout.split('\n');
    expect(second[1]).toMatch(/^later\t/);
    expect(second[2]).toBe('');
    expect((await cli(['link', 'list', '--limit', '0'])).code).toBe(2);
    expect((await cli(['link', 'remove', 'later'])).code).toBe(0);
  });

  it('says with a link what its remote lets us guarantee', async () => {
    const { stdout } = await cli(['link', 'show', 'files']);
    expect(stdout).toContain(
      'guarantees  Writes of others between our read and our write may be lost.\n',
    );
  });

  it('is JSON wherever --json stands', async () => {
    for (const args of [
      ['--json', 'link', 'list'],
      ['link', 'list', '--json'],
    ]) {
      expect(JSON.parse((await cli(args)).stdout)).toHaveLength(1);
    }
  });

  it('shows a conflict with base, hub, remote, proposal and where they differ', async () => {
    const { stdout } = await cli(['conflicts', 'show', 'c1']);
    for (const part of [
      'differs at  /type',
      'base\n',
      'hub\n',
      'remote\n',
      'proposal',
      '--choice',
    ]) {
      expect(stdout).toContain(part);
    }
  });

  it('holds no control characters that came from data', async () => {
    store.conflictRows.set('evil', conflictRow('evil', { hub: 'a\u001b[2Jb' }));
    expect((await cli(['conflicts', 'show', 'evil'])).stdout).not.toContain('\u001b');
  });

  it('of every command has a help with an example', async () => {
    const groups = { link: 8, sync: 5, conflicts: 3, context: 5 };
    for (const [group, count] of Object.entries(groups)) {
      const { stdout } = await cli([group, '--help']);
      const names = [...stdout.matchAll(/^ {2}(\w+) \[options\]/gm)].map((match) => match[1] ?? '');
      expect(names.length, group).toBeGreaterThanOrEqual(count);
      for (const name of names) {
        const help = (await cli([group, name, '--help'])).stdout;
        expect(help).toMatch(/Example:\n {2}\$ syncline/);
        expect(help).toContain('--json');
      }
    }
  });
});

describe('start', () => {
  it('passes its arguments on and gives back the exit code', async () => {
    const result = await cli(['start', '--no-demo', '--check', 'x']);
    expect([result.code, result.startedWith]).toEqual([7, ['--no-demo', '--check', 'x']]);
  });
});

describe('the environment', () => {
  it('names the URL before the running stack does, and that before the default', () => {
    const home = join(folder, 'nothing');
    expect(readEnvironment({ SYNCLINE_HOME: home }).url).toBe('http://127.0.0.1:3100');
    writeFileSync(join(folder, 'lock.json'), '{"pid":1,"url":"http://127.0.0.1:4000"}');
    expect(readEnvironment({ SYNCLINE_HOME: folder }).url).toBe('http://127.0.0.1:4000');
    const url = 'http://127.0.0.1:5000';
    expect(readEnvironment({ SYNCLINE_HOME: folder, SYNCLINE_URL: url }).url).toBe(url);
    writeFileSync(join(folder, 'lock.json'), '{"pid":1,"url":null}');
    expect(readEnvironment({ SYNCLINE_HOME: folder }).url).toBe('http://127.0.0.1:3100');
  });

  it.each([
    [{ CONTEXT_API_PORT: '4100' }, 'http://127.0.0.1:4100'],
    [{ CONTEXT_API_HOST: 'hub.example', CONTEXT_API_PORT: '80' }, 'http://hub.example:80'],
    [{ CONTEXT_API_HOST: '0.0.0.0' }, 'http://127.0.0.1:3100'],
    [{ CONTEXT_API_HOST: '::1', CONTEXT_API_PORT: '4100' }, 'http://[::1]:4100'],
    [{ CONTEXT_API_PORT: 'no port' }, 'http://127.0.0.1:3100'],
    [{ SYNCLINE_URL: 'http://127.0.0.1:5000', CONTEXT_API_PORT: '4100' }, 'http://127.0.0.1:5000'],
  ])('given %j, looks at %s', (env, url) => {
    expect(readEnvironment({ SYNCLINE_HOME: join(folder, 'none'), ...env }).url).toBe(url);
  });
});

describe('a parked link that is paused', () => {
  it('still says what parked it and how to go on', async () => {
    const { get, status } = store.links;
    const guard = { code: 'EMPTY_SIDE', reason: 'The remote is empty.', planId: 'p1' } as const;
    const paused = { state: 'paused', guard } as const;
    store.links.get = async (caller, id) => ({ ...(await get(caller, id)), ...paused });
    store.links.status = async (caller, id) => ({ ...(await status(caller, id)), ...paused });
    const shown = await cli(['link', 'show', 'files']);
    const all = await cli(['status']);
    Object.assign(store.links, { get, status });
    expect(shown.stdout).toContain('parked by EMPTY_SIDE, and paused: The remote is empty.');
    expect(shown.stdout).toContain('syncline sync approve p1 --wait');
    expect(shown.stdout).toContain('undo what caused it, resume the link, and start a run');
    expect(all.stdout).toContain('files is parked, and paused: The remote is empty.');
  });
});

describe('an approved run', () => {
  it('is shown with when it was approved, and with the time it worked', async () => {
    const approvedAt = '2026-11-02T08:00:00.000Z';
    store.runRows.set('ap1', runRow('ap1', { approvedAt, tookMs: 84 }));
    const { stdout } = await cli(['sync', 'show', 'ap1']);
    expect(stdout).toMatch(/^settled in 84 ms/);
    expect(stdout).toContain(`, approved ${approvedAt};`);
  });
});

describe('a failed link', () => {
  it('says why, where one looks first', async () => {
    const { get } = store.links;
    const { list } = store.runs;
    store.links.get = async (caller, id) => ({ ...(await get(caller, id)), state: 'failed' });
    const error = { code: 'CONNECTOR_UNREACHABLE', detail: 'The folder is gone.' };
    const run = { ...runRow('r9'), status: 'failed', error } as const;
    store.runs.list = async () => ({ items: [run], nextCursor: null });
    const shown = await cli(['link', 'show', 'files']);
    const runs = await cli(['sync', 'runs', 'files']);
    Object.assign(store.links, { get });
    Object.assign(store.runs, { list });
    expect(shown.stdout).toContain('failed: CONNECTOR_UNREACHABLE: The folder is gone.');
    expect(runs.stdout).toMatch(/^RUN.*ERROR$/m);
    expect(runs.stdout).toContain('CONNECTOR_UNREACHABLE: The folder is gone.');
  });
});

describe('sync plan', () => {
  it('prints the ops and how to go on; 3 where a guard would park a run', async () => {
    const plain = await cli(['sync', 'plan', 'files']);
    expect(plain).toMatchObject({ code: 0, stderr: '' });
    expect(plain.stdout).toMatch(/update\tremote\tp\/a/);
    expect((await cli(['sync', 'plan', 'files', '--diff'])).stdout).toMatch(/\+ .*"x": -0/);
    const json = JSON.parse((await cli(['sync', 'plan', 'files', '--json'])).stdout) as {
      planId: string;
    };
    const planId = json.planId as RunId;
    const guard = { code: 'EMPTY_SIDE', reason: 'The hub has 0 of 2 items it had.' } as const;
    store.runs.requestPlan = async () => {
      const run = runRow(planId, { mode: 'plan', status: 'planned', guard });
      store.runRows.set(planId, run);
      return run;
    };
    const parked = await cli(['sync', 'plan', 'files']);
    expect(parked.code).toBe(3);
    expect(parked.stdout).toMatch(/would be parked by EMPTY_SIDE: The hub has 0 of 2/);
  });

  it('says what is wrong with a plan or run that is not there', async () => {
    expect(await cli(['sync', 'plan', 'nope'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error LINK_NOT_FOUND/) as string,
    });
    expect((await cli(['sync', 'undo', 'nope'])).stderr).toMatch(/^error RUN_NOT_FOUND/);
    expect((await cli(['sync', 'approve', 'nope'])).stderr).toMatch(/^error PLAN_NOT_FOUND/);
  });
});
