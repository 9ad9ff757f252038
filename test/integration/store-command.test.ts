/** The program behind `syncline backup|restore`: what it refuses before it opens anything, and what it tells after. */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { placeNew } from '../../cli/whole-file.ts';
import { systemClock } from '../../domain/clock.ts';
import { writeBackup } from '../../store/backup/write-backup.ts';
import { encryptionWith, newMasterKey } from '../support/encryption.ts';
import { runProgram, type ProgramRun } from '../support/run-program.ts';
import { asKey, openStore, type StoreUnderTest } from './store/store-under-test.ts';

const PROGRAM = fileURLToPath(new URL('../../main/store-command.ts', import.meta.url));
const TSCONFIG = fileURLToPath(new URL('../../tsconfig.json', import.meta.url));
const MASTER = newMasterKey();

let folder: string;
let file: string;
let under: StoreUnderTest;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-command-'));
  file = join(folder, 'all.backup');
  under = await openStore({ encryption: encryptionWith(MASTER) });
  const ann = await under.addTenant('ann');
  const options = { encrypt: true, ttl: null };
  await under.store.contexts.store(ann, { key: asKey('secret'), data: 1, options });
  await writeBackup({ url: under.url, file, product: '0', clock: systemClock });
});
afterAll(async () => {
  await under.close();
  rmSync(folder, { recursive: true, force: true });
});

function run(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ProgramRun> {
  const { PATH, HOME } = process.env;
  return runProgram(['--import', import.meta.resolve('tsx'), PROGRAM, ...args], {
    cwd: folder,
    env: { PATH, HOME, TSX_TSCONFIG_PATH: TSCONFIG, ...env },
  });
}

describe('syncline restore', { timeout: 120_000 }, () => {
  it('of a file that is not there, or is none, is a fault of the call and starts nothing', async () => {
    const before = readdirSync(folder);
    for (const wrong of ['nowhere.backup', '.']) {
      const { code, err } = await run(['restore', wrong]);
      expect([code, err]).toEqual([2, expect.stringMatching(/^error: .* cannot be read: .*\n$/)]);
      expect(err).toContain(`${wrong} cannot be read: `);
    }
    const { code, out, err } = await run(['restore', 'nowhere.backup', '--json']);
    expect([code, out, JSON.parse(err)]).toEqual([
      2,
      '',
      {
        error: {
          code: 'USAGE',
          detail: expect.stringContaining('nowhere.backup cannot be') as string,
        },
      },
    ]);
    expect(readdirSync(folder)).toEqual(before);
  });

  it('of a file that is no backup fails with a code', async () => {
    writeFileSync(join(folder, 'notes.txt'), 'SELECT 1;');
    const { code, err } = await run(['restore', 'notes.txt'], { DATABASE_URL: under.url });
    expect([code, err]).toEqual([1, expect.stringContaining('error BACKUP_INVALID: ')]);
    const asJson = await run(['restore', 'notes.txt', '--json'], { DATABASE_URL: under.url });
    expect([asJson.code, JSON.parse(asJson.err)]).toMatchObject([
      1,
      { error: { code: 'BACKUP_INVALID' } },
    ]);
  });

  it('says which master key is missing, and nothing of it when it is there', async () => {
    const args = ['restore', 'all.backup', '--replace'];
    const without = await run(args, { DATABASE_URL: under.url });
    const { id } = encryptionWith(MASTER).masters.current;
    expect([without.code, without.err]).toEqual([0, '']);
    expect(without.out).toContain(`the master key with the fingerprint ${id} is not configured`);
    const env = { DATABASE_URL: under.url, CONTEXT_ENCRYPTION_KEY: MASTER };
    expect((await run(args, env)).out).not.toContain('fingerprint');
  });
});

describe('syncline backup', { timeout: 120_000 }, () => {
  it('replaces no file unless told, and makes no folder for a file that is named', async () => {
    const env = { DATABASE_URL: under.url };
    const before = readFileSync(file);
    const names = readdirSync(folder);
    const refused = await run(['backup', 'all.backup'], env);
    expect([refused.code, refused.err]).toEqual([
      2,
      expect.stringMatching(/^error FILE_EXISTS: .*all\.backup exists; .* --force\n$/),
    ]);
    const nowhere = await run(['backup', 'no/such/x.backup', '--json'], env);
    expect([nowhere.code, JSON.parse(nowhere.err)]).toEqual([
      2,
      {
        error: {
          code: 'FOLDER_NOT_FOUND',
          detail: expect.stringMatching(/^the folder .*no.such does not exist$/) as string,
        },
      },
    ]);
    expect([readFileSync(file).equals(before), readdirSync(folder)]).toEqual([true, names]);
    expect(await run(['backup', 'all.backup', '--force'], env)).toMatchObject({ code: 0, err: '' });
    expect([readFileSync(file).equals(before), readdirSync(folder)]).toEqual([false, names]);
  });

  it('makes the folder that is configured', async () => {
    const env = { DATABASE_URL: under.url, BACKUP_DIRECTORY: join(folder, 'made', 'here') };
    expect(await run(['backup'], env)).toMatchObject({ code: 0, err: '' });
    expect(readdirSync(env.BACKUP_DIRECTORY)).toEqual([
      expect.stringMatching(/^syncline-.*\.backup$/),
    ]);
  });

  it('is not put in the place of a file that came meanwhile', async () => {
    const late = join(folder, 'late.backup');
    const backup = writeBackup({
      url: under.url,
      file: late,
      product: '0',
      clock: systemClock,
      place: placeNew,
      onProgress: () => writeFileSync(late, 'theirs'),
    });
    await expect(backup).rejects.toMatchObject({ code: 'FILE_EXISTS' });
    expect(readFileSync(late, 'utf8')).toBe('theirs');
    expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([]);
  });
});
