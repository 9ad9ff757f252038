import { describe, expect, it } from 'vitest';
import { createTurns } from '../../../dev/turns.ts';

describe('turns', () => {
  it('go to one at a time, in the order of asking', async () => {
    const turns = createTurns();
    const order: number[] = [];
    let holders = 0;
    const use = async (who: number): Promise<void> => {
      await turns.take();
      holders++;
      expect(holders).toBe(1);
      order.push(who);
      await Promise.resolve();
      holders--;
      turns.pass();
    };
    await Promise.all([1, 2, 3, 4].map(use));
    expect(order).toEqual([1, 2, 3, 4]);
  });
});
