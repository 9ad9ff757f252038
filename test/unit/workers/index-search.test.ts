import { expect, it, vi } from 'vitest';
import { AppError } from '../../../domain/errors.ts';
import type { TenantId } from '../../../domain/ids.ts';
import type { Drained } from '../../../store/contract.ts';
import { createSearchIndexer } from '../../../workers/index-search.ts';

const A = 'a' as TenantId;
const B = 'b' as TenantId;

/** An index with so many contexts pending per tenant, five of which make a part. */
function indexWith(pending: Record<string, number>) {
  const calls: TenantId[] = [];
  const hooks: { onPart: (tenant: TenantId) => void } = { onPart: () => undefined };
  const drain = async (tenant: TenantId): Promise<Drained | null> => {
    calls.push(tenant);
    const indexed = Math.min(5, pending[tenant] ?? 0);
    pending[tenant] = (pending[tenant] ?? 0) - indexed;
    const left = pending[tenant];
    hooks.onPart(tenant);
    return Promise.resolve({ indexed, left });
  };
  const tenants = () =>
    Promise.resolve((Object.keys(pending) as TenantId[]).filter((tenant) => pending[tenant]! > 0));
  return { pending, calls, hooks, index: { drain, pending: tenants } };
}

it('indexes part after part until nothing is left, for every tenant that has something', async () => {
  const { index, calls } = indexWith({ a: 12, b: 0, c: 3 });
  const indexer = createSearchIndexer({ index, log: { warn: vi.fn() } });
  expect(await indexer.all()).toEqual({ indexed: 15 });
  expect(calls).toEqual(['a', 'a', 'a', 'c']);
});

it('looks once more when it is told of more during the last part', async () => {
  const { index, pending, hooks } = indexWith({ a: 5 });
  const indexer = createSearchIndexer({ index, log: { warn: vi.fn() } });
  hooks.onPart = () => {
    hooks.onPart = () => undefined;
    pending['a'] = 4;
    indexer.nudge(A);
    indexer.nudge(A);
  };
  indexer.nudge(A);
  await vi.waitFor(() => expect(pending['a']).toBe(0));
});

it('tells of a tenant that cannot be indexed, goes on with others and tries it again when nudged', async () => {
  const { index, pending, hooks } = indexWith({ a: 5, b: 5 });
  const warn = vi.fn();
  const indexer = createSearchIndexer({ index, log: { warn } });
  hooks.onPart = (tenant) => {
    if (tenant === A) throw new AppError('UNAVAILABLE', 'a body full of secrets');
  };
  await indexer.all();
  expect(pending[B]).toBe(0);
  expect(warn.mock.calls).toEqual([
    [{ tenant: 'a', code: 'UNAVAILABLE' }, 'what a sync wrote could not be indexed yet'],
  ]);
  hooks.onPart = () => undefined;
  pending[A] = 5;
  indexer.nudge(A);
  await vi.waitFor(() => expect(pending[A]).toBe(0));
});

it('stops after the part under way', async () => {
  const { index, pending, hooks } = indexWith({ a: 100 });
  const indexer = createSearchIndexer({ index, log: { warn: vi.fn() } });
  let stopped: Promise<void> | undefined;
  hooks.onPart = () => {
    stopped ??= indexer.stop();
  };
  await indexer.all();
  await stopped;
  expect(pending['a']).toBe(95);
});
