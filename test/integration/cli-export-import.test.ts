import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContextClient } from '../../client/index.ts';
import { runTestCli } from '../support/cli-under-test.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

let api: RealApi;
let client: ContextClient;
let folder: string;

beforeAll(async () => {
  api = await startRealApi();
  client = new ContextClient({ url: api.url });
  folder = mkdtempSync(join(tmpdir(), 'syncline-cli-'));
  for (const n of [1, 2]) await client.store('x/a', n, { ttl: null });
  await client.store('y/b', 'ü', { ttl: null });
});
afterAll(async () => {
  client.close();
  await api.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await runTestCli(args, {
    isStdinTerminal: false,
    environment: { url: api.url },
  });
  return { code, out: stdout, err: stderr };
}

describe('syncline export', () => {
  it('writes a whole file, and import takes it back', async () => {
    const file = join(folder, 'contexts.json');
    expect(await run('export', file)).toMatchObject({
      code: 0,
      out: `Exported 3 version(s) to ${file}.\n`,
    });
    expect(readFileSync(file, 'utf8').split('\n')).toHaveLength(5);
    await client.store('x/a', 'changed', { ttl: null });
    const skipped = await run('import', file, '--json');
    expect(JSON.parse(skipped.out)).toMatchObject({ imported: 0, skipped: 3 });
    const forced = await run('import', file, '--overwrite');
    expect(forced).toMatchObject({
      code: 0,
      out: 'Imported 1 version(s), skipped 2, failed 0.\n',
    });
    expect(await client.get('x/a')).toMatchObject({ data: 2, version: 4 });
  });

  it('replaces no file unless told, and makes no folder; JSON says it with a code', async () => {
    const file = join(folder, 'kept.json');
    writeFileSync(file, 'mine');
    const before = readdirSync(folder);
    const refused = await run('export', file);
    expect(refused).toMatchObject({
      code: 2,
      err: `error FILE_EXISTS: ${file} exists; name another, or replace it with --force\n`,
    });
    expect(readFileSync(file, 'utf8')).toBe('mine');
    const nowhere = await run('export', join(folder, 'no', 'out'), '--json');
    expect([nowhere.code, JSON.parse(nowhere.err)]).toEqual([
      2,
      {
        error: {
          code: 'FOLDER_NOT_FOUND',
          detail: `the folder ${join(folder, 'no')} does not exist`,
        },
      },
    ]);
    expect(readdirSync(folder)).toEqual(before);
    expect((await run('export', file, '--force')).code).toBe(0);
    expect(readFileSync(file, 'utf8')).toContain('syncline-export');
    expect((await run('export', '--help')).out).toContain('--force');
  });

  it('is cut to a prefix, and leaves no file when it fails', async () => {
    const file = join(folder, 'some.ndjson');
    await run('export', file, '--prefix', 'y/');
    expect(readFileSync(file, 'utf8')).toContain('"key":"y/b"');
    expect(readFileSync(file, 'utf8')).not.toContain('"key":"x/a"');
    const before = readdirSync(folder);
    const refused = await run('export', join(folder, 'refused'), '--prefix', '\u0001');
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('VALIDATION');
    expect(readdirSync(folder)).toEqual(before);
  });
});

describe('syncline import', () => {
  it('says which lines are broken and exits 1; takes gzip', async () => {
    const file = join(folder, 'broken.gz');
    writeFileSync(file, gzipSync('{"key":"z/1","version":1,"data":1}\n{"key":\n'));
    const { code, out } = await run('import', file);
    expect(code).toBe(1);
    expect(out).toContain('Imported 1 version(s), skipped 0, failed 1.');
    expect(out).toContain('line 2 INVALID_JSON');
    expect(await client.get('z/1')).toMatchObject({ data: 1 });
  });

  it.each([
    ['a file that is not there', ['import', '/nowhere/at/all'], 'cannot be read'],
    ['two modes', ['import', 'x', '--overwrite', '--mode', 'newer'], 'do not go together'],
    ['an unknown mode', ['import', 'x', '--mode', 'merge'], 'Allowed choices'],
    ['no file', ['import'], 'missing required argument'],
  ])('refuses %s with exit code 2', async (_name, args, words) => {
    const { code, err } = await run(...args);
    expect([code, err]).toEqual([2, expect.stringContaining(words)]);
  });
});
