import { describe, expect, it } from 'vitest';
import { inLanes, overlapping } from '../../../activities/overlap.ts';

function gate(): { readonly promise: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const promise = new Promise<void>((resolve) => (open = resolve));
  return { promise, open: () => open() };
}

describe('recording one batch while the next is prepared', () => {
  it('keeps the recordings in order, one at a time, and ends after the last', async () => {
    const told: string[] = [];
    const gates = [gate(), gate()];
    const record = (nth: number) => async (): Promise<void> => {
      told.push(`begins ${nth}`);
      await gates[nth]!.promise;
      told.push(`ends ${nth}`);
    };
    const work = overlapping(async (overlap) => {
      await overlap.start(record(0));
      told.push('prepares 1');
      gates[0]!.open();
      await overlap.start(record(1));
      told.push('is through');
      gates[1]!.open();
      return 'done';
    });
    await expect(work).resolves.toBe('done');
    expect(told).toEqual([
      ...['begins 0', 'prepares 1', 'ends 0'],
      ...['begins 1', 'is through', 'ends 1'],
    ]);
  });

  it('waits on request for what is under way', async () => {
    let isRecorded = false;
    await overlapping(async (overlap) => {
      await overlap.start(async () => {
        await Promise.resolve();
        isRecorded = true;
      });
      await overlap.rest();
      expect(isRecorded).toBe(true);
    });
  });

  it('starts nothing after a recording that failed, and throws what it threw', async () => {
    let isStarted = false;
    const work = overlapping(async (overlap) => {
      await overlap.start(() => Promise.reject(new Error('fenced')));
      await overlap.start(() => {
        isStarted = true;
        return Promise.resolve();
      });
    });
    await expect(work).rejects.toThrow('fenced');
    expect(isStarted).toBe(false);
  });

  it('throws what the last recording threw', async () => {
    const work = overlapping((overlap) => overlap.start(() => Promise.reject(new Error('out'))));
    await expect(work).rejects.toThrow('out');
  });

  it('ends only after the recording under way when the work itself fails', async () => {
    const under = gate();
    let isRecorded = false;
    const work = overlapping(async (overlap) => {
      await overlap.start(async () => {
        await under.promise;
        isRecorded = true;
      });
      under.open();
      throw new Error('the remote is gone');
    });
    await expect(work).rejects.toThrow('the remote is gone');
    expect(isRecorded).toBe(true);
  });

  it('has as many under way as it may, and no more', async () => {
    const gates = [gate(), gate(), gate()];
    const told: number[] = [];
    const work = overlapping(async (overlap) => {
      for (const [nth, { promise }] of gates.entries()) {
        await overlap.start(() => {
          told.push(nth);
          return promise;
        });
      }
    }, 2);
    await Promise.resolve();
    await Promise.resolve();
    expect(told).toEqual([0, 1]);
    for (const { open } of gates) open();
    await work;
    expect(told).toEqual([0, 1, 2]);
  });
});

describe('lanes', () => {
  it('take step after step until one says that nothing is left, and end after all have ended', async () => {
    const done: number[] = [];
    let next = 0;
    await inLanes(3, async () => {
      const nth = (next += 1);
      await Promise.resolve();
      done.push(nth);
      return { isLast: nth >= 10 };
    });
    expect(done.slice(0, 10).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(done).toHaveLength(next);
  });

  it('throw what a step threw, once the other has ended, and begin none after', async () => {
    const under = gate();
    let [begun, ended] = [0, 0];
    const work = inLanes(2, async () => {
      begun += 1;
      if (begun === 1) throw new Error('fenced');
      await under.promise;
      ended += 1;
      return { isLast: false };
    });
    under.open();
    await expect(work).rejects.toThrow('fenced');
    expect({ begun, ended }).toEqual({ begun: 2, ended: 1 });
  });
});
