/**
 * 500 writers at once over 50 keys, each insisting on the version it saw, through the real API
 * process. Ten seconds here, a minute (or `SYNCLINE_WRITERS_MS`) in the soak.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Page, VersionRow } from '../../api/contract.ts';
import { startSyncline, type SynclineProcess } from '../support/syncline-process.ts';
import { createKeepAliveCaller, type KeepAliveCaller } from './keep-alive-caller.ts';
import { readFeed, versionsByKey } from './read-feed.ts';

const WRITERS = 500;
const KEYS = Array.from({ length: 50 }, (_, nth) => `shared/${nth}`);
const READERS = 3;
const LOAD_MS = Number(process.env['SYNCLINE_WRITERS_MS'] ?? 10_000);

let syncline: SynclineProcess;
let caller: KeepAliveCaller;

beforeAll(async () => {
  syncline = await startSyncline({ role: 'api' });
  caller = createKeepAliveCaller(syncline.url, WRITERS + READERS);
}, 120_000);
afterAll(async () => {
  caller.close();
  await syncline.close();
});

it(
  'keeps the history of each key without a gap, and every reader of the feed sees each version once and in order',
  async () => {
    const acknowledged = new Map(KEYS.map((key) => [key, new Set<number>()]));
    let isOver = false;
    const readers = Array.from({ length: READERS }, () => readFeed(caller, null, () => isOver));
    const end = performance.now() + LOAD_MS;
    const refused = await Promise.all(
      Array.from({ length: WRITERS }, (_, nth) =>
        writeUntil(end, KEYS[nth % KEYS.length]!, acknowledged),
      ),
    );
    isOver = true;

    const written = [...acknowledged.values()].reduce((sum, versions) => sum + versions.size, 0);
    expect(written).toBeGreaterThan(KEYS.length);
    // Ten writers a key: most attempts must lose, or they did not meet.
    expect(refused.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
    for (const reader of readers) {
      const seen = versionsByKey(await reader);
      expect([...seen.keys()].sort()).toEqual([...KEYS].sort());
      for (const key of KEYS) expect(seen.get(key)).toEqual(oneTo(acknowledged.get(key)!.size));
    }
    for (const key of KEYS) {
      const history = await historyOf(key);
      expect(history).toEqual(oneTo(history.length));
      expect(new Set(history)).toEqual(acknowledged.get(key));
    }
  },
  LOAD_MS + 120_000,
);

/** One writer of one key; answers how often it lost to another. */
async function writeUntil(
  end: number,
  key: string,
  acknowledged: ReadonlyMap<string, Set<number>>,
): Promise<number> {
  let version = 0;
  let refused = 0;
  while (performance.now() < end) {
    const { status, body } = await caller.call('POST', '/api/context/store', {
      key,
      data: { version: version + 1 },
      options: { ifVersion: version },
    });
    if (status === 409) {
      version = (body as { currentVersion: number }).currentVersion;
      refused += 1;
      continue;
    }
    expect([200, 201]).toContain(status);
    version += 1;
    expect(body).toMatchObject({ key, version });
    expect(acknowledged.get(key)!.has(version)).toBe(false);
    acknowledged.get(key)!.add(version);
  }
  return refused;
}

async function historyOf(key: string): Promise<number[]> {
  const versions: number[] = [];
  let cursor: string | null = null;
  do {
    const from: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const { body } = await caller.call(
      'GET',
      `/api/context/versions/${encodeURIComponent(key)}?limit=1000${from}`,
    );
    const page = body as Page<VersionRow>;
    versions.push(...page.items.map((row) => row.version));
    cursor = page.nextCursor;
  } while (cursor !== null);
  return versions.reverse();
}

function oneTo(last: number): number[] {
  return Array.from({ length: last }, (_, nth) => nth + 1);
}
