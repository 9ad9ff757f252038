import { expect, it, vi } from 'vitest';
import { AppError } from '../../../domain/errors.ts';
import type { TenantId } from '../../../domain/ids.ts';
import { mendSearch } from '../../../workers/mend-search.ts';

it('mends every tenant, also after one that cannot be mended, and tells which', async () => {
  const warn = vi.fn();
  const index = {
    tenants: async () => ['a', 'broken', 'c'] as TenantId[],
    mend: async (tenant: TenantId) => {
      if (tenant === 'broken') throw new AppError('UNAVAILABLE', 'a body full of secrets');
      return { indexed: 2, dropped: 1 };
    },
  };
  expect(await mendSearch(index, { warn })).toEqual({ indexed: 4, dropped: 2, failed: 1 });
  expect(warn.mock.calls).toEqual([
    [{ tenant: 'broken', code: 'UNAVAILABLE' }, 'a search index could not be mended'],
  ]);
});
