/** The program that runs one role: what it reads, and what it says when it cannot start. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtProgram } from '../support/product-build.ts';
import { runProgram, type ProgramRun } from '../support/run-program.ts';
import { testDatabase, type TestDatabase } from '../support/servers.ts';

let folder: string;
let database: TestDatabase;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-run-'));
  [database] = await Promise.all([testDatabase(), builtProgram('run')]);
}, 120_000);
afterAll(async () => {
  await database.drop();
  rmSync(folder, { recursive: true });
});

/** Runs a program of `main/` in the folder, with only these variables. */
async function run(
  program: 'run' | 'config-command',
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ProgramRun> {
  const { PATH, HOME } = process.env;
  return runProgram([await builtProgram(program), ...args], {
    cwd: folder,
    env: { PATH, HOME, ...env },
  });
}

describe('npm run setup:db', { timeout: 120_000 }, () => {
  it('says what to set when no Postgres is named', async () => {
    const { code, err } = await run('run', ['migrate']);
    expect(code).toBe(1);
    expect(err).toMatch(/error CONFIG_INVALID: no Postgres is named: set DATABASE_URL/);
  });

  it('makes the schema in the database that .env names, and again changes nothing', async () => {
    writeFileSync(join(folder, '.env'), `DATABASE_URL=${database.url}\n`);
    const first = await run('run', ['migrate']);
    expect(first.code).toBe(0);
    expect(first.err).toContain('CreateContextSystem');
    const second = await run('run', ['migrate']);
    expect(second.code).toBe(0);
    expect(second.err).toContain('"done":[]');
  });
});

describe('.env', () => {
  it('sets what the environment does not, and the environment wins', async () => {
    writeFileSync(join(folder, '.env'), 'CONTEXT_API_PORT=4001\nLOG_LEVEL=warn\n');
    const { code, out } = await run('config-command', ['show', '--json'], { LOG_LEVEL: 'trace' });
    expect(code).toBe(0);
    const { settings } = JSON.parse(out) as { settings: { path: string; value: unknown }[] };
    const valueOf = (path: string) => settings.find((each) => each.path === path)?.value;
    expect(valueOf('api.port')).toBe(4001);
    expect(valueOf('log.level')).toBe('trace');
  });

  it('a fault in it is told with the others', async () => {
    writeFileSync(join(folder, '.env'), 'CONTEXT_API_PORT=many\nCONTEXT_AUTH=perhaps\n');
    const { code, out } = await run('config-command', ['check']);
    expect(code).toBe(1);
    expect(out).toContain('CONTEXT_API_PORT (api.port)');
    expect(out).toContain('CONTEXT_AUTH (auth.mode)');
  });
});
