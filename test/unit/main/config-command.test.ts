import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lockHome } from '../../../dev/lock.ts';
import { runConfigCommand } from '../../../main/config-command.ts';
import { SETTINGS } from '../../../main/settings.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-config-command-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function run(what: string, text: string, env: NodeJS.ProcessEnv = {}, ...more: string[]) {
  const file = join(folder, 'given.yaml');
  writeFileSync(file, text);
  let written = '';
  let complained = '';
  const code = runConfigCommand([what, '--config', file, ...more], {
    env,
    write: (said) => (written += said),
    complain: (said) => (complained += said),
  });
  return { code, written, complained };
}

describe('syncline config check', () => {
  it('says that a valid configuration is valid, and exits 0', () => {
    const { code, written } = run('check', 'api: { port: 4000 }', { LOG_LEVEL: 'warn' });
    expect(code).toBe(0);
    expect(written).toContain('valid: 1 setting(s) from');
    expect(written).toContain('1 from the environment');
  });

  it('says every fault at once, with what was meant, and exits 1', () => {
    const { code, written } = run('check', 'api: { prot: 1 }\nsync: { pulse_ms: often }', {
      CONTEXT_AUTH: 'maybe',
    });
    expect(code).toBe(1);
    expect(written).toContain('api.prot: is not a setting; did you mean api.port?');
    expect(written).toContain('sync.pulse_ms: must be milliseconds');
    expect(written).toContain('CONTEXT_AUTH (auth.mode)');
    expect(written).toContain('3 fault(s)');
  });

  it('tells which variables look misspelt', () => {
    const { code, written } = run(
      'check',
      '',
      { CONTEXT_API_PROT: '1', SYNCLINE_SECRET_OFFICE: 'x', SYNCLINE_URL: 'http://x' },
      '--json',
    );
    expect(code).toBe(0);
    const { valid, notes } = JSON.parse(written) as { valid: boolean; notes: string[] };
    expect(valid).toBe(true);
    expect(notes).toEqual([
      'the variable CONTEXT_API_PROT is not read; did you mean CONTEXT_API_PORT?',
    ]);
  });

  it('exits 1 when the file cannot be read, and 2 when it is called wrongly', () => {
    expect(run('check', 'api: [open').code).toBe(1);
    expect(run('chekc', '').code).toBe(2);
    expect(run('check', '', {}, '--nope').code).toBe(2);
  });
});

describe('syncline config show', () => {
  it('shows every setting with its value and where it comes from, and no secret', () => {
    const env = { DATABASE_URL: 'postgres://u:hidden@db/x', CONTEXT_API_PORT: '4001' };
    const { code, written } = run(
      'show',
      'context: { storage: { default_ttl: 6h } }',
      env,
      '--json',
    );
    expect(code).toBe(0);
    expect(written).not.toContain('hidden');
    const { settings } = JSON.parse(written) as {
      settings: { path: string; value: unknown; from: string }[];
    };
    expect(settings.map(({ path }) => path)).toEqual(SETTINGS.map(({ path }) => path));
    const of = (path: string) => settings.find((each) => each.path === path);
    expect(of('api.port')).toMatchObject({ value: 4001, from: 'environment' });
    expect(of('context.storage.default_ttl')).toMatchObject({ value: 21_600, from: 'file' });
    expect(of('log.level')).toMatchObject({ value: 'info', from: 'default' });
    expect(of('database.postgresql.url')).toMatchObject({ value: '***', from: 'environment' });
    expect(of('database.redis.url')).toMatchObject({ value: null });
  });

  it('is a table for people', () => {
    const { written } = run('show', 'api: { port: 4000 }');
    expect(written).toMatch(/^api\.port +4000 +file$/m);
    expect(written).toMatch(/^production\.caching\.aggressive +false +default$/m);
  });

  it('says whose values they are, and hints at a server that runs here', async () => {
    const env = { SYNCLINE_HOME: join(folder, 'home') };
    const before = run('show', '', env);
    expect(before.written).toMatch(/^# What a server started from this shell and folder would use/);
    expect(before.complained).toBe('');
    const lock = await lockHome(env.SYNCLINE_HOME);
    try {
      const { complained } = run('show', '', env, '--json');
      expect(complained).toContain(`Syncline runs here (process ${process.pid})`);
    } finally {
      lock.release();
    }
  });
});
