/** P12: a clock that is ahead wins by no more than the bound. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boundTime, MAX_SKEW_MS } from '../../../domain/bound-time.ts';

const NOON = Date.UTC(2026, 10, 21, 12);
const HOUR_MS = 3_600_000;
/** A wall clock within an hour of the truth. */
const wall = fc.integer({ min: NOON - HOUR_MS, max: NOON + HOUR_MS });

describe('a foreign time', () => {
  it('is believed up to the bound, and beyond it counts as the moment it was looked at', () => {
    fc.assert(
      fc.property(wall, wall, (ms, lookedAtMs) => {
        const isFar = ms - lookedAtMs > MAX_SKEW_MS;
        expect(boundTime(ms, lookedAtMs)).toBe(isFar ? lookedAtMs : ms);
      }),
    );
  });

  it('is never later than the bound allows, and bounding it twice changes nothing', () => {
    fc.assert(
      fc.property(wall, wall, fc.nat(HOUR_MS), (ms, lookedAtMs, maxSkewMs) => {
        const bounded = boundTime(ms, lookedAtMs, maxSkewMs);
        expect(bounded).toBeLessThanOrEqual(lookedAtMs + maxSkewMs);
        expect(boundTime(bounded, lookedAtMs, maxSkewMs)).toBe(bounded);
      }),
    );
  });
});
