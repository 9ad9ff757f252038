import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { guardLayer, type GuardOptions } from '../../../cache/guarded-layer.ts';
import type { Entry } from '../../../cache/layer.ts';
import { createSharedDouble } from '../../support/cache-double.ts';

const ENTRY: Entry = {
  bytes: Buffer.from('x'),
  version: 1,
  expiresAt: null,
  freshUntil: Infinity,
  goneAt: Infinity,
  tags: {},
};

function guarded(options: Partial<GuardOptions> = {}) {
  const shared = createSharedDouble();
  const changes: boolean[] = [];
  const guard = guardLayer(shared, {
    softMs: 20,
    hardMs: 100,
    maxFailures: 3,
    retryMs: 1_000,
    random: () => 0.5,
    onChange: (isOpen) => changes.push(isOpen),
    ...options,
  });
  return { shared, guard, changes };
}

const hang = (): Promise<void> => new Promise(() => undefined);
const fail = (): Promise<void> => Promise.reject(new Error('out'));
const fine = async (): Promise<void> => undefined;

async function fill({ shared }: ReturnType<typeof guarded>, key: string): Promise<void> {
  const [found] = await shared.getMany([key]);
  await shared.setMany([{ key, entry: ENTRY, fence: found!.fence }]);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** How long a call takes when only time passes, ms. */
async function timeOf(work: Promise<unknown>): Promise<number> {
  const began = performance.now();
  const took: number[] = [];
  void work.then(() => took.push(performance.now() - began));
  while (took.length === 0) await vi.advanceTimersByTimeAsync(1);
  return took[0]!;
}

describe('a layer that hangs', () => {
  it('costs a read its soft deadline, and nothing once the breaker is open', async () => {
    const under = guarded();
    await fill(under, 'k');
    under.shared.step = hang;
    for (let nth = 0; nth < 3; nth += 1)
      expect(await timeOf(under.guard.getMany(['k']) as Promise<unknown>)).toBeLessThanOrEqual(22);
    expect(under.guard.isOpen()).toBe(true);
    const asked = under.shared.calls.getMany;
    for (let nth = 0; nth < 5; nth += 1)
      expect(await under.guard.getMany(['k'])).toEqual([{ entry: null, fence: null }]);
    expect(under.shared.calls.getMany).toBe(asked);
    expect(under.changes).toEqual([true]);
  });

  it('opens it with the first delete that gets no answer, and holds it up no longer', async () => {
    const under = guarded();
    under.shared.step = hang;
    expect(await timeOf(under.guard.deleteMany(['k']) as Promise<unknown>)).toBeLessThanOrEqual(
      102,
    );
    expect(under.guard.isOpen()).toBe(true);
    expect(await timeOf(under.guard.deleteMany(['j']) as Promise<unknown>)).toBeLessThanOrEqual(1);
  });

  it('is not believed when it answers a read after the breaker opened', async () => {
    const under = guarded();
    await fill(under, 'k');
    const reading = under.guard.getMany(['k']);
    under.guard.distrust();
    expect(await reading).toEqual([{ entry: null, fence: null }]);
  });
});

describe('a layer that fails', () => {
  it('is skipped after some failures in a row, not after some in all', async () => {
    const under = guarded();
    for (let round = 0; round < 4; round += 1) {
      under.shared.step = fail;
      for (let nth = 0; nth < 2; nth += 1) await under.guard.getMany(['k']);
      under.shared.step = fine;
      await under.guard.getMany(['k']);
    }
    expect(under.guard.isOpen()).toBe(false);
    under.shared.step = fail;
    for (let nth = 0; nth < 3; nth += 1) await under.guard.getMany(['k']);
    expect(under.guard.isOpen()).toBe(true);
  });

  it('is read again only when what could not be deleted is deleted', async () => {
    const under = guarded();
    for (const key of ['a', 'b', 'c']) await fill(under, key);
    under.shared.step = fail;
    await under.guard.deleteMany(['a']);
    await under.guard.deleteMany(['b']);
    // It answers reads, and still must not be asked.
    await vi.advanceTimersByTimeAsync(5_000);
    expect(under.guard.isOpen()).toBe(true);
    under.shared.step = fine;
    await vi.advanceTimersByTimeAsync(1_500);
    expect(under.guard.isOpen()).toBe(false);
    const found = await under.guard.getMany(['a', 'b', 'c']);
    expect(found.map(({ entry }) => entry !== null)).toEqual([false, false, true]);
  });

  it('has what is deleted during a probe deleted, too, before it is read', async () => {
    let inRecovery: () => void = () => undefined;
    const began = new Promise<void>((resolve) => (inRecovery = resolve));
    let finish: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (finish = resolve));
    const under = guarded({
      recover: async () => {
        inRecovery();
        await gate;
      },
    });
    for (const key of ['a', 'late']) await fill(under, key);
    under.guard.distrust({ probeAfterMs: 0 });
    await vi.advanceTimersByTimeAsync(1);
    await began;
    await under.guard.deleteMany(['late']);
    finish();
    await vi.advanceTimersByTimeAsync(0);
    expect(under.guard.isOpen()).toBe(true);
    await vi.advanceTimersByTimeAsync(1_500);
    expect(under.guard.isOpen()).toBe(false);
    const found = await under.guard.getMany(['a', 'late']);
    expect(found.map(({ entry }) => entry !== null)).toEqual([true, false]);
  });

  it('is not read while it cannot be made right, and is told when too much was forgotten', async () => {
    const told: boolean[] = [];
    let isReady = false;
    const under = guarded({
      recover: async (hasForgotten) => {
        told.push(hasForgotten);
        if (!isReady) throw new Error('not yet');
      },
    });
    under.shared.step = fail;
    const many = Array.from({ length: 10_001 }, (_, nth) => `k${nth}`);
    await under.guard.deleteMany(many);
    under.shared.step = fine;
    await vi.advanceTimersByTimeAsync(2_600);
    expect(under.guard.isOpen()).toBe(true);
    isReady = true;
    await vi.advanceTimersByTimeAsync(1_500);
    expect(under.guard.isOpen()).toBe(false);
    expect(new Set(told)).toEqual(new Set([true]));
    under.guard.distrust({ hasForgotten: false, probeAfterMs: 0 });
    await vi.advanceTimersByTimeAsync(2);
    expect(told.at(-1)).toBe(false);
  });

  it('probes no more once it is stopped', async () => {
    const under = guarded();
    under.guard.distrust();
    under.guard.stop();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(under.guard.isOpen()).toBe(true);
  });
});
