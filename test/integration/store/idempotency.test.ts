import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Caller, RememberedAnswer, RequestSlot } from '../../../domain/context.ts';
import { hashText } from '../../../domain/hash.ts';
import { asKey, codeOf, openStore, type StoreUnderTest } from './store-under-test.ts';

const HOUR_MS = 3600 * 1000;

let under: StoreUnderTest;
let caller: Caller;
let count = 0;
beforeAll(async () => {
  under = await openStore();
  caller = await under.addTenant('mine');
});
beforeEach(() => {
  under.clock.offsetMs = 0;
});
afterAll(() => under.close());

const answer: RememberedAnswer = { status: 201, headers: { ETag: '"1"' }, body: '{"a":-0}' };

function request(what = 'request') {
  count += 1;
  return { slot: hashText(`slot ${count}`), fingerprint: hashText(what) };
}

const claim = (of: ReturnType<typeof request>, by = caller) =>
  under.store.idempotency.claim(by.tenant, of);

async function first(of: ReturnType<typeof request>): Promise<RequestSlot> {
  const claimed = await claim(of);
  if (claimed.status !== 'first') throw new Error(`not the first: ${claimed.status}`);
  return claimed.slot;
}

/** A write that keeps its answer, as a route would ask for it. */
const write = (key: string, slot: RequestSlot, ifVersion?: number) =>
  under.store.contexts.store(
    { ...caller, request: { ...slot, answerOf: () => answer } },
    { key: asKey(key), data: { x: 1 }, options: { ttl: null, ifVersion } },
  );

describe('a request that may be sent twice', () => {
  it('is answered as the first time, for a day', async () => {
    const one = request();
    await under.store.idempotency.remember(caller.tenant, await first(one), answer);
    expect(await claim(one)).toEqual({ status: 'answered', answer });
    under.clock.offsetMs = 24 * HOUR_MS - 1000;
    expect(await claim(one)).toMatchObject({ status: 'answered' });
    under.clock.offsetMs = 24 * HOUR_MS + 1000;
    expect(await claim(one)).toMatchObject({ status: 'first' });
  });

  it('is told from another request under the same key, answered or not', async () => {
    const one = request();
    const other = { ...one, fingerprint: hashText('another') };
    const slot = await first(one);
    expect(await claim(other)).toEqual({ status: 'mismatch' });
    await under.store.idempotency.remember(caller.tenant, slot, answer);
    expect(await claim(other)).toEqual({ status: 'mismatch' });
  });

  it('runs once at a time, whoever asks', async () => {
    const one = request();
    const claims = await Promise.all(Array.from({ length: 8 }, () => claim(one)));
    expect(claims.map(({ status }) => status).sort()).toEqual([
      'first',
      ...Array<string>(7).fill('running'),
    ]);
  });

  it('may be done by a twin once the first attempt counts as dead', async () => {
    const one = request();
    const dead = await first(one);
    under.clock.offsetMs = 31_000;
    const twin = await first(one);
    await under.store.idempotency.remember(caller.tenant, dead, { ...answer, status: 500 });
    expect(await claim(one)).toEqual({ status: 'running' });
    await under.store.idempotency.remember(caller.tenant, twin, answer);
    expect(await claim(one)).toEqual({ status: 'answered', answer });
  });

  it('is free again after an answer nobody keeps', async () => {
    const one = request();
    await under.store.idempotency.release(caller.tenant, await first(one));
    expect(await claim(one)).toMatchObject({ status: 'first' });
  });

  it('is another request in another tenant', async () => {
    const one = request();
    await first(one);
    expect(await claim(one, await under.addTenant('other'))).toMatchObject({ status: 'first' });
  });

  it('is forgotten by the sweep after its day, and not before', async () => {
    const one = request();
    await under.store.idempotency.remember(caller.tenant, await first(one), answer);
    expect(await under.store.sweeps.forgetAnswers(1000)).toBe(0);
    under.clock.offsetMs = 25 * HOUR_MS;
    expect(await under.store.sweeps.forgetAnswers(1000)).toBeGreaterThan(0);
    const rows = await under.admin('SELECT 1 FROM idempotency_keys WHERE slot = decode($1, $2)', [
      one.slot,
      'hex',
    ]);
    expect(rows).toEqual([]);
  });
});

describe('a write with a key', () => {
  it('keeps its answer in its own transaction: a crash after the commit changes nothing', async () => {
    const one = request();
    await write('exact/1', await first(one));
    // Nothing else ran: no remember, no release.
    expect(await claim(one)).toEqual({ status: 'answered', answer });
  });

  it('keeps nothing when it is refused', async () => {
    const one = request();
    expect(await codeOf(write('exact/2', await first(one), 7))).toBe('VERSION_CONFLICT');
    expect(await claim(one)).toEqual({ status: 'running' });
  });

  it('is not done by an attempt whose twin has taken over', async () => {
    const one = request();
    const dead = await first(one);
    under.clock.offsetMs = 31_000;
    const twin = await first(one);
    expect(await codeOf(write('exact/3', dead))).toBe('IDEMPOTENCY_IN_PROGRESS');
    expect(await under.store.contexts.get(caller, asKey('exact/3'))).toBeNull();
    await write('exact/3', twin);
    expect(await codeOf(write('exact/3', dead))).toBe('IDEMPOTENCY_IN_PROGRESS');
    expect((await under.store.contexts.get(caller, asKey('exact/3')))?.version).toBe(1);
  });
});
