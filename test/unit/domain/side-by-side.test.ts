import { describe, expect, it } from 'vitest';
import { sideBySide } from '../../../domain/side-by-side.ts';

describe('work side by side', () => {
  it('answers in order, begins nothing after a failure, and leaves nothing under way', async () => {
    const squares = await sideBySide([1, 2, 3, 4, 5], 2, async (one) => one * one);
    expect(squares).toEqual([1, 4, 9, 16, 25]);
    const begun: number[] = [];
    const failing = sideBySide([1, 2, 3, 4, 5, 6], 2, async (one) => {
      begun.push(one);
      await Promise.resolve();
      if (one === 2) throw new Error('two');
    });
    await expect(failing).rejects.toThrow('two');
    expect(begun.length).toBeLessThan(6);
    expect(await sideBySide([], 4, async () => 1)).toEqual([]);
  });
});
