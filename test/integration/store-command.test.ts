/** The program behind `syncline backup|restore`: what it refuses before it opens anything, and what it tells after. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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
      expect([code, err]).toEqual([2, expect.stringContaining(`${wrong} cannot be read: `)]);
    }
    expect(readdirSync(folder)).toEqual(before);
  });

  it('of a file that is no backup fails with a code', async () => {
    writeFileSync(join(folder, 'notes.txt'), 'SELECT 1;');
    const { code, err } = await run(['restore', 'notes.txt'], { DATABASE_URL: under.url });
    expect([code, err]).toEqual([1, expect.stringContaining('error BACKUP_INVALID: ')]);
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
