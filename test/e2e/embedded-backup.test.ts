/**
 * Backup and restore from the command line over a running embedded product: one process group, one
 * Postgres session for everybody, writes going on.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readBackup } from '../../store/backup/read-backup.ts';
import { createEmbedded, type EmbeddedSyncline } from '../support/embedded-process.ts';

/** What a restore begins anew on purpose. */
const BEGUN_ANEW = ['changes', 'feed_horizons', 'outbox', 'sync_links', 'sync_items', 'sync_runs'];
const KEEP = { ttl: null } as const;

let syncline: EmbeddedSyncline;

beforeAll(async () => {
  syncline = await createEmbedded();
  await syncline.start();
}, 180_000);
afterAll(() => syncline.close(), 90_000);

/** What a backup says each table holds. */
async function sumsOf(file: string): Promise<Record<string, { rows: number; sum: string }>> {
  const sums: Record<string, { rows: number; sum: string }> = {};
  for await (const part of readBackup(file)) {
    if (part.kind === 'end') sums[part.table] = { rows: part.sums.rows, sum: part.sums.sum };
  }
  return sums;
}

const kept = (sums: Awaited<ReturnType<typeof sumsOf>>): object =>
  Object.fromEntries(Object.entries(sums).filter(([name]) => !BEGUN_ANEW.includes(name)));

/** Writes pairs, each in one transaction, until told to stop; says how many are acknowledged. */
function writePairs(): { acknowledged(): number; stop(): Promise<void> } {
  let count = 0;
  const stopping = new AbortController();
  const writing = (async () => {
    while (!stopping.signal.aborted) {
      const operations = ['a', 'b'].map((half) => ({
        op: 'store' as const,
        key: `pair/${String(count).padStart(5, '0')}/${half}`,
        data: { nth: count },
        options: KEEP,
      }));
      await syncline.client.batch(operations, { atomic: true });
      count += 1;
    }
  })();
  return {
    acknowledged: () => count,
    async stop() {
      stopping.abort();
      await writing;
    },
  };
}

async function pairsThere(): Promise<readonly string[]> {
  const keys: string[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const page = await syncline.client.list({
      prefix: 'pair/',
      limit: 1000,
      ...(cursor === '' ? {} : { cursor }),
    });
    keys.push(...page.items.map(({ key }) => key));
    cursor = page.nextCursor;
  }
  return keys;
}

async function textOf(key: string): Promise<string> {
  const context = await syncline.client.get(key);
  return JSON.stringify(context && [context.version, context.hash, context.data]);
}

describe('over a running embedded product', { timeout: 180_000 }, () => {
  const file = (): string => join(syncline.folder, 'first.backup');
  let atBackup: readonly string[] = [];
  let acknowledged: readonly [before: number, after: number];

  it('a backup is one moment of a store that is written to all the while', async () => {
    const { client } = syncline;
    for (const n of [1, 2, 3]) await client.store('kept/versions', { n }, KEEP);
    await client.store('kept/deleted-later', 'there', KEEP);
    const writer = writePairs();
    while (writer.acknowledged() < 10) await client.health();
    const before = writer.acknowledged();
    const run = await syncline.cli('backup', 'first.backup', '--json');
    acknowledged = [before, writer.acknowledged()];
    expect(run).toMatchObject({ code: 0, err: '' });
    await writer.stop();
    const told = JSON.parse(run.out) as { file: string; tables: Record<string, number> };
    expect(told.file).toBe(file());
    const sums = await sumsOf(file());
    expect(
      Object.fromEntries(Object.entries(sums).map(([name, { rows }]) => [name, rows])),
    ).toEqual(told.tables);
    expect(readdirSync(syncline.folder).filter((name) => name.endsWith('.part'))).toEqual([]);
    atBackup = await Promise.all(['kept/versions', 'kept/deleted-later'].map(textOf));
  });

  it('a restore without --replace is refused, and nothing is touched', async () => {
    const { client } = syncline;
    await client.store('kept/versions', { n: 'changed since' }, KEEP);
    await client.delete('kept/deleted-later');
    await client.store('made/since', 1, KEEP);
    const refused = await syncline.cli('restore', 'first.backup');
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringContaining('error STORE_NOT_EMPTY'),
    ]);
    expect(await client.get('kept/versions')).toMatchObject({ version: 4 });
  });

  it('a restore with --replace puts every row back, and proves it', async () => {
    const run = await syncline.cli('restore', 'first.backup', '--replace');
    expect([run.code, run.err]).toEqual([0, '']);
    expect(run.out).toContain('every table is proved');
    expect(run.out).toContain('Syncline is running: restart it');
    const { client } = syncline;
    const keys = ['kept/versions', 'kept/deleted-later'];
    // What it had in its caches goes by itself; the restart is for everything else it may hold.
    await vi.waitFor(async () => expect(await Promise.all(keys.map(textOf))).toEqual(atBackup), {
      timeout: 30_000,
      interval: 100,
    });
    await syncline.stop();
    await syncline.start();

    expect(await Promise.all(keys.map(textOf))).toEqual(atBackup);
    const history = (await client.versions('kept/versions')).items.map(({ version }) => version);
    expect(history).toEqual([3, 2, 1]);
    expect(await client.get('made/since')).toBeNull();

    const there = await pairsThere();
    const count = there.length / 2;
    const whole = Array.from({ length: count }, (_, nth) =>
      ['a', 'b'].map((half) => `pair/${String(nth).padStart(5, '0')}/${half}`),
    ).flat();
    expect(there).toEqual(whole);
    expect(count).toBeGreaterThanOrEqual(acknowledged[0]);
    expect(count).toBeLessThanOrEqual(acknowledged[1] + 1);
  });

  it('a backup of what was restored holds the same rows, and writes go on', async () => {
    expect(await syncline.cli('backup', 'second.backup')).toMatchObject({ code: 0, err: '' });
    const second = await sumsOf(join(syncline.folder, 'second.backup'));
    expect(kept(second)).toEqual(kept(await sumsOf(file())));
    const { client } = syncline;
    expect(await client.store('kept/versions', { n: 4 }, KEEP)).toMatchObject({ version: 4 });
  });

  it('the same works on the folder of a product that does not run', async () => {
    await syncline.stop();
    expect(await syncline.cli('restore', 'first.backup', '--replace')).toMatchObject({
      code: 0,
      err: '',
    });
    expect(existsSync(join(syncline.folder, '.syncline', 'lock.json'))).toBe(false);
    await syncline.start();
    expect(await textOf('kept/versions')).toBe(atBackup[0]);
  });
});
