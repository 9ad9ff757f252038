import { afterEach, describe, expect, it } from 'vitest';
import { createBodyWork } from '../../../activities/compute/body-work.ts';
import { createThreads, type Threads, type Worked } from '../../../activities/compute/threads.ts';
import { LARGE_BYTES, MAX_WEIGHT, weigh } from '../../../activities/compute/weigh.ts';
import type { Json } from '../../../domain/json.ts';
import { decodeBody, encodeBody, type Body, type StoredBody } from '../../../store/contract.ts';
import { loopDelayDuring } from '../../support/loop-delay.ts';

let threads: Threads | null = null;
const open = (options: Parameters<typeof createThreads>[0] = {}): Threads =>
  (threads = createThreads(options));

afterEach(async () => {
  await threads?.close();
  threads = null;
});

const POLICY = {
  direction: 'both',
  strategy: 'three-way',
  strategies: [],
  editVersusDelete: 'edit',
  propagateExpiry: false,
} as const;
const STAMPS = { hubMs: null, remoteMs: null };

async function stored(value: Json): Promise<StoredBody> {
  const { codec, size, bytes } = await encodeBody(value);
  return { codec, size, bytes: bytes! };
}

function result<T>(worked: Worked<T>): T {
  if (worked.status === 'refused') throw new Error(worked.detail);
  return worked.result;
}

const documentOf = (text: string): Json => ({ path: 'AGENTS.md', frontmatter: {}, text });

describe('work on bodies', () => {
  it('gives the same bytes and hash in a thread as here', async () => {
    const work = createBodyWork(open());
    const alone = createBodyWork(null);
    const value = documentOf('a line that is not too short\n'.repeat(10_000));
    const body = result(await work.encode(value));
    expect(body).toEqual(result(await alone.encode(value)));
    expect(Buffer.isBuffer(body.bytes)).toBe(true);
  });

  it('merges large bodies in a thread exactly as small ones here', async () => {
    const lines = Array.from({ length: 9_000 }, (_, nth) => `line ${nth}`);
    const edited = (at: number): Json =>
      documentOf(lines.map((line, nth) => (nth === at ? `${line}, edited` : line)).join('\n'));
    const base = await stored(edited(-1));
    const request = {
      kind: 'document' as const,
      base: { hub: base, remote: base },
      hub: await stored(edited(10)),
      remote: await stored(edited(8_000)),
      stamps: STAMPS,
      policy: POLICY,
    };
    expect(base.size).toBeGreaterThan(LARGE_BYTES);
    const merged = result(await createBodyWork(open()).merge(request));
    expect(merged).toEqual(result(await createBodyWork(null).merge(request)));
    if (merged.status !== 'merged') throw new Error('expected a merge');
    const { text } = (await valueOf(merged.body!)) as { text: string };
    expect(text.split('\n').filter((line) => line.endsWith('edited'))).toHaveLength(2);
  });

  it('never starts a thread for small bodies', async () => {
    const never = {
      run: () => Promise.reject(new Error('a thread')),
      close: async () => undefined,
    };
    const work = createBodyWork(never);
    const body = await stored(documentOf('short'));
    const base = { hub: body, remote: body };
    expect((await work.encode(documentOf('short'))).status).toBe('done');
    const request = { kind: 'document' as const, base, hub: body, remote: body };
    expect((await work.merge({ ...request, stamps: STAMPS, policy: POLICY })).status).toBe('done');
    expect((await work.judge({ kind: 'document', body })).status).toBe('done');
  });

  it('kills a task that takes too long and goes on with the next', async () => {
    const slow = open({ taskMs: 1, maxThreads: 1 });
    const worked = await slow.run('encode', { value: documentOf('x'.repeat(100_000)) });
    expect(worked).toEqual({ status: 'refused', detail: 'it took longer than 1 ms' });
    await slow.close();
    const next = open({ maxThreads: 1 });
    expect((await next.run('encode', { value: 'x' })).status).toBe('done');
  });

  it('refuses a task that needs too much memory, and the next one works', async () => {
    const work = open({ maxHeapMib: 64, maxThreads: 1 });
    const value = Array.from({ length: 250_000 }, (_, nth) => ({ to: `t${nth}`, type: 'x' }));
    const worked = await work.run('encode', { value });
    expect(worked).toEqual({ status: 'refused', detail: 'it took more memory than one item may' });
    expect((await work.run('encode', { value: 'small' })).status).toBe('done');
  });

  it('works through more tasks than it has threads, and passes on what a task throws', async () => {
    const work = open({ maxThreads: 2 });
    const all = Array.from({ length: 20 }, (_, nth) => work.run('encode', { value: nth }));
    expect((await Promise.all(all)).every(({ status }) => status === 'done')).toBe(true);
    const broken: StoredBody = { codec: 'none', size: 1, bytes: new Uint8Array([0x7b]) };
    await expect(work.run('judge', { kind: 'memory', body: broken })).rejects.toThrow(/JSON/);
  });

  it('gives up what is under way when it closes', async () => {
    const work = open();
    const running = work.run('encode', { value: documentOf('x'.repeat(5_000_000)) });
    const outcome = expect(running).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await work.close();
    await outcome;
    await expect(work.run('encode', { value: 1 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('refuses a value with too many members without walking all of it', async () => {
    const wide = Object.fromEntries(Array.from({ length: 200_000 }, (_, nth) => [`k${nth}`, nth]));
    expect(weigh(wide).weight).toBeLessThanOrEqual(MAX_WEIGHT + 2);
    expect(await createBodyWork(open()).encode(wide)).toMatchObject({ status: 'refused' });
  });
});

describe('the event loop, while hostile bodies are worked on', () => {
  const lines97 = (from: number): string =>
    Array.from({ length: 19_900 }, (_, nth) => `line ${(nth * from) % 97}\n`).join('');
  const deep = (leaf: number): Json => {
    let value: Json = leaf;
    for (let level = 0; level < 195; level += 1) value = { a: value, b: 'x'.repeat(1_000) };
    return value;
  };
  const many = (by: number): Json => ({
    name: 'n',
    type: 't',
    observations: Array.from({ length: 200_000 }, (_, nth) => `observation number ${nth * by}`),
    relations: [],
  });
  const hostile: [string, 'document' | 'memory', (side: number) => Json][] = [
    ['20,000 lines of 97 kinds', 'document', (side) => documentOf(lines97(side * 7 + 1))],
    [
      '10 MiB of one repeated line',
      'document',
      (side) => documentOf('again\n'.repeat(1_700_000 + side)),
    ],
    ['10 MiB in one line', 'document', (side) => documentOf('x'.repeat(10_000_000 + side))],
    [
      'values nested 200 deep',
      'document',
      (side) => ({ path: 'a', frontmatter: { a: deep(side) }, text: '' }),
    ],
    ['200,000 observations', 'memory', (side) => many(side + 1)],
  ];

  it.each(hostile)('is never held up by %s', { timeout: 60_000 }, async (_, kind, make) => {
    const work = createBodyWork(open());
    const [base, hub, remote] = await Promise.all([0, 1, 2].map((side) => stored(make(side))));
    // The first task also loads the sources; that is not what is measured.
    await threads!.run('encode', { value: 0 });
    const request = { kind, base: { hub: base!, remote: base! }, hub: hub!, remote: remote! };
    const worst = await loopDelayDuring(async () => {
      await work.merge({ ...request, stamps: STAMPS, policy: POLICY });
      await work.translate({ kind, base: request.base, remote: remote! });
      await work.judge({ kind, body: hub! });
    });
    // On the loop each takes seconds. A busy machine holds the loop up by itself, hence not 50 ms.
    expect(worst).toBeLessThan(1000);
  });
});

async function valueOf(body: Body): Promise<Json> {
  return decodeBody({ ...body, bytes: body.bytes! });
}
