/**
 * SIGKILL to the API process, twenty times, while forty callers write. Every acknowledged write is
 * there afterwards, and of one that was not acknowledged either all or nothing.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startSyncline, type SynclineProcess } from '../support/syncline-process.ts';
import { createRandom } from '../support/random.ts';
import { createKeepAliveCaller, type KeepAliveCaller } from './keep-alive-caller.ts';
import { readFeed, versionsByKey } from './read-feed.ts';

const KILLS = 20;
const WRITERS = 30;
/** Of those who write two keys at once, in one atomic batch. */
const PAIR_WRITERS = 10;
const MAX_LIFE_MS = 400;
const SEED = Number(process.env['SYNCLINE_TEST_SEED'] ?? Date.now() % 1_000_000);
const random = createRandom(SEED);

/** What one caller knows of its own writes: numbers 1, 2, 3, …, each in the data it wrote. */
interface Progress {
  readonly keys: readonly string[];
  acknowledged: number;
  /** The last it sent; above `acknowledged` while nobody answered. */
  sent: number;
}

let syncline: SynclineProcess;
let caller: KeepAliveCaller;

beforeAll(async () => {
  syncline = await startSyncline({ role: 'api' });
}, 120_000);
afterAll(async () => {
  caller.close();
  await syncline.close();
});

it(`loses no acknowledged write and keeps no half of another over ${KILLS} kills (seed ${SEED})`, async () => {
  const writers = [
    ...Array.from({ length: WRITERS }, (_, nth) => progressOf(`one/${nth}`)),
    ...Array.from({ length: PAIR_WRITERS }, (_, nth) => progressOf(`left/${nth}`, `right/${nth}`)),
  ];
  for (let nth = 0; nth < KILLS; nth += 1) {
    caller = createKeepAliveCaller(syncline.url, writers.length);
    const writing = Promise.all(writers.map(writeUntilKilled));
    // Not a wait for anything: the moment of the kill is what is random here.
    await delay(random.upTo(MAX_LIFE_MS));
    await syncline.kill();
    await writing;
    caller.close();
    await syncline.start();
    caller = createKeepAliveCaller(syncline.url, writers.length);
    await Promise.all(writers.map(checked));
    if (nth < KILLS - 1) caller.close();
  }
  const total = writers.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
  expect(total).toBeGreaterThan(KILLS);
  const seen = versionsByKey(await readFeed(caller, null, () => true));
  for (const { keys, acknowledged } of writers) {
    for (const key of keys) {
      const versions = seen.get(key) ?? [];
      expect(versions).toEqual(versions.map((_, nth) => nth + 1));
      expect(versions).toHaveLength(acknowledged);
    }
  }
}, 300_000);

function progressOf(...keys: string[]): Progress {
  return { keys, acknowledged: 0, sent: 0 };
}

async function writeUntilKilled(progress: Progress): Promise<void> {
  for (;;) {
    progress.sent = progress.acknowledged + 1;
    const answer = await write(progress).catch(() => null);
    if (answer === null) return;
    expect([200, 201]).toContain(answer.status);
    progress.acknowledged = progress.sent;
  }
}

function write({ keys, sent }: Progress) {
  const [first, ...more] = keys.map((key) => ({ key, data: dataOf(sent) }));
  if (more.length === 0) return caller.call('POST', '/api/context/store', first);
  const operations = [first, ...more].map((each) => ({ op: 'store', ...each }));
  return caller.call('POST', '/api/context/batch', { atomic: true, operations });
}

/** What is there is the last acknowledged write or the one that was under way, whole, in all its keys. */
async function checked(progress: Progress): Promise<void> {
  const found = await Promise.all(
    progress.keys.map((key) => caller.call('GET', `/api/context/get/${encodeURIComponent(key)}`)),
  );
  const numbers = found.map(({ status, body }) => {
    if (status === 404) return 0;
    const { data, version } = body as { data: ReturnType<typeof dataOf>; version: number };
    expect(data).toEqual(dataOf(data.number));
    expect(version).toBe(data.number);
    return data.number;
  });
  const [number] = numbers;
  expect(new Set(numbers).size).toBe(1);
  expect([progress.acknowledged, progress.sent]).toContain(number);
  progress.acknowledged = number!;
}

function dataOf(number: number): { number: number; text: string } {
  return { number, text: `${number};`.repeat(600) };
}
