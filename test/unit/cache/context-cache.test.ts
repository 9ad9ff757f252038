import { describe, expect, it } from 'vitest';
import { contextCacheKey, createContextCache } from '../../../cache/context-cache.ts';
import { createMemoryLayer } from '../../../cache/memory-layer.ts';
import { createCache } from '../../../cache/stack.ts';
import type { ContextKey, TenantId } from '../../../domain/ids.ts';
import { countingCounts, valueOf } from '../../support/cache-double.ts';

const REF = { tenant: 't' as TenantId, key: 'k' as ContextKey };

function contextsUnderTest(isOn: () => boolean) {
  const cache = createCache({
    layers: [createMemoryLayer({ name: 'l1', lifeMs: 60_000, maxBytes: 1_000_000 })],
    maxBytes: 1_000,
    counts: countingCounts(),
    now: () => 1_000_000,
    random: () => 0.5,
  });
  return createContextCache({ cache, isOn });
}

describe('contexts in a cache that hears of no changes', () => {
  it('are neither loaded ahead nor kept', async () => {
    let isOn = false;
    const contexts = contextsUnderTest(() => isOn);
    let version = 1;
    let loads = 0;
    const loadMany = async () => {
      loads += 1;
      return new Map([[contextCacheKey(REF), valueOf(version)]]);
    };
    const read = () => contexts.get(REF, async () => valueOf(version));
    const warm = () =>
      contexts.warm([REF], loadMany, { perSecond: 1_000, signal: new AbortController().signal });
    expect([await warm(), loads]).toEqual([0, 0]);
    expect(await read()).toMatchObject({ version: 1, from: 'source' });
    // What is changed now, nobody tells.
    version = 2;
    isOn = true;
    expect(await read()).toMatchObject({ version: 2, from: 'source' });
    expect(await read()).toMatchObject({ version: 2, from: 'l1' });
  });
});
