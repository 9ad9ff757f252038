/**
 * A hub that was put back to an older state meets remotes that moved on: nobody's edit is lost, and
 * nothing is deleted (P5, P18). What the restore itself does is told in backup/backup.test.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../domain/clock.ts';
import type { Memory } from '../../../domain/item.ts';
import { MIGRATION_LOCK } from '../../../main/migrate.ts';
import { SCHEMA_STEPS } from '../../../main/schema-steps.ts';
import { restoreBackup } from '../../../store/backup/restore-backup.ts';
import { writeBackup } from '../../../store/backup/write-backup.ts';
import type { TestEngine } from '../../support/engine.ts';
import { memory, openPairs, type Pair } from './pairs.ts';

describe.each(['A', 'B', 'C'] as const)('a restored hub and a grade-%s remote', (grade) => {
  let engine: TestEngine;
  let pair: Pair;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'syncline-restored-'));
    const opened = await openPairs(grade);
    engine = opened.engine;
    pair = await opened.pair();
  });
  afterAll(async () => {
    await engine.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('keeps every edit made since the backup, deletes nothing, and is quiet afterwards', async () => {
    for (const name of ['Kept', 'Edited', 'Hubdeleted', 'Remotedeleted', 'Both'])
      pair.remote.put(memory(name));
    await pair.sync();
    const file = join(folder, 'backup');
    const { databaseUrl: url } = engine;
    await writeBackup({ url, file, product: '0', clock: systemClock });

    pair.remote.put(memory('Edited', ['about Edited', 'the remote learned this since']));
    pair.remote.put(memory('Remotenew'));
    await pair.put('hubnew', memory('Hubnew'));
    await pair.put('both', memory('Both', ['about Both', 'the hub learned this since']));
    await pair.remove('hubdeleted');
    await pair.sync();
    pair.remote.remove('Remotedeleted');
    const before = await pair.sides();
    expect(Object.keys(before.remote)).not.toContain('Hubdeleted');

    await restoreBackup({
      url,
      file,
      replace: true,
      steps: SCHEMA_STEPS,
      lock: MIGRATION_LOCK,
      clock: systemClock,
    });
    const { status, counters } = await pair.sync();
    expect(status).toBe('settled');
    expect([counters.deletedHub, counters.deletedRemote]).toEqual([0, 0]);
    const { hub, remote } = await pair.sides();
    expect(Object.values(hub)).toEqual(Object.values(remote));
    for (const [name, was] of Object.entries(before.remote)) {
      const now = remote[name] as unknown as Memory;
      expect(now.observations).toEqual(
        expect.arrayContaining([...(was as unknown as Memory).observations]),
      );
    }
    expect(Object.keys(remote)).toEqual(
      expect.arrayContaining(['Hubdeleted', 'Hubnew', 'Remotedeleted', 'Remotenew']),
    );
    const again = await pair.pass();
    expect([again.counters.planned, again.counters.applied]).toEqual([0, 0]);
  });
});
