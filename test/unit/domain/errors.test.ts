import { expect, it } from 'vitest';
import { AppError, MAX_RETRY_AFTER_MS, retryAfterMsOf } from '../../../domain/errors.ts';

const asked = (retryAfterMs: unknown): number | null =>
  retryAfterMsOf(new AppError('RATE_LIMITED', 'busy', { extra: { retryAfterMs } }));

it('a remote that asks to be left alone is, but for an hour at most', () => {
  expect([0, 1_500, MAX_RETRY_AFTER_MS].map(asked)).toEqual([0, 1_500, 3_600_000]);
  expect([3_600_001, 1e17, Number.MAX_VALUE, Infinity].map(asked)).toEqual(
    Array(4).fill(MAX_RETRY_AFTER_MS),
  );
});

it('what is no time counts as not told', () => {
  expect([undefined, null, '60', Number.NaN, -1, -Infinity].map(asked)).toEqual(
    Array(6).fill(null),
  );
});
