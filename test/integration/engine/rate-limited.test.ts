/** A remote that answers "too many", from the connector's error to the link's rest. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createSteps } from '../../../activities/create-activities.ts';
import { runSmallPass } from '../../../activities/small-pass.ts';
import { createConnectorPool } from '../../../connectors/contract.ts';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import { systemClock } from '../../../domain/clock.ts';
import type { Link } from '../../../domain/link.ts';
import { CALLER, createTestEngine, TENANT, type TestEngine } from '../../support/engine.ts';

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined };
const LIFE = { heartbeat: () => undefined, signal: new AbortController().signal };
const memory = { name: 'Ann', type: 'thing', observations: ['x'], relations: [] };

const remotes = new Map<string, FakeRemote>([['first', createFakeRemote({ grade: 'B' })]]);
let engine: TestEngine;
beforeAll(async () => {
  engine = await createTestEngine({ types: [createFakeType(remotes)] });
});
afterAll(() => engine.close());

/** Whole passes, as the workflow's one activity does them. */
function passes(wake: (reason: string) => void = () => undefined) {
  const type = createFakeType(remotes);
  const pool = createConnectorPool({
    typeOf: () => type,
    permissions: { fileRoots: [], stdioCommands: [] },
    secret: (name) => name,
    log: SILENT,
  });
  const steps = createSteps({
    sync: engine.store.sync,
    sweeps: engine.store.sweeps,
    pool,
    clock: systemClock,
    newId: randomUUID,
    wake: async (_, reason) => wake(reason),
  });
  const pass = ({ id }: Link) =>
    runSmallPass(steps, { tenant: TENANT, linkId: id, trigger: 'remote change' }, { life: LIFE });
  return { pass, pulse: steps.pulse, close: () => pool.close() };
}

it('ends the pass, makes the link rest as long as was asked, and lets no hint in before', async () => {
  const remote = createFakeRemote({ grade: 'B' });
  remotes.set('busy', remote);
  const link = await engine.addLink('fake', { remote: 'busy' });
  await engine.drain(link);
  const { pass, close } = passes();
  remote.put(memory);
  remote.inject({ on: 'observe', kind: 'rate-limited', retryAfterMs: 90_000 });
  expect(await pass(link)).toMatchObject({
    status: 'done',
    outcome: { status: 'failed', error: { code: 'RATE_LIMITED', retryAfterMs: 90_000 } },
  });
  const { state, nextRunAt } = await engine.store.links.status(CALLER, link.id);
  expect(state).toBe('failed');
  expect(Date.parse(nextRunAt!) - Date.now()).toBeGreaterThan(85_000);
  const { calls } = remote.counters;
  expect(await pass(link)).toEqual({ status: 'refused', why: 'resting' });
  expect(remote.counters.calls).toBe(calls);
  await close();
});

it('leaves a remote that asks for ages alone for an hour', async () => {
  const remote = createFakeRemote({ grade: 'B' });
  remotes.set('ages', remote);
  const link = await engine.addLink('fake', { remote: 'ages' }, { scope: { prefix: 'ages/' } });
  await engine.drain(link);
  const { pass, close } = passes();
  remote.inject({ on: 'observe', kind: 'rate-limited', retryAfterMs: 1e17 });
  expect(await pass(link)).toMatchObject({
    outcome: { error: { code: 'RATE_LIMITED', retryAfterMs: 3_600_000 } },
  });
  await expectRestOfAnHour(link);
  await close();
});

it('one senseless rest keeps no other link of the batch from resting', async () => {
  const links = await Promise.all(
    [1, 2].map((nth) =>
      engine.addLink('fake', { remote: 'first' }, { scope: { prefix: `rest${nth}/` } }),
    ),
  );
  const { sweeps } = engine.store;
  await engine.database.withTenant(TENANT, (tx) =>
    tx.query(`UPDATE sync_links SET next_due_at = now(), live_until = NULL`),
  );
  const taken = await sweeps.takeDueLinks({ limit: 100, maxLive: 100 });
  const rests = links.map(({ id }) => taken.find(({ linkId }) => linkId === id)!);
  await sweeps.restLinks([
    { due: rests[0]!, maxMs: 1_000, heldMs: 1e17 },
    { due: rests[1]!, maxMs: 1_000 },
  ]);
  await expectRestOfAnHour(links[0]!);
  const { nextRunAt } = await engine.store.links.status(CALLER, links[1]!.id);
  expect(Date.parse(nextRunAt!) - Date.now()).toBeLessThan(60_000);
});

async function expectRestOfAnHour(link: Link): Promise<void> {
  const { nextRunAt } = await engine.store.links.status(CALLER, link.id);
  const restMs = Date.parse(nextRunAt!) - Date.now();
  expect(restMs).toBeGreaterThan(3_590_000);
  expect(restMs).toBeLessThanOrEqual(3_600_000 * 1.1);
}

it('what was held back is done once the rest is over', async () => {
  const remote = createFakeRemote({ grade: 'B' });
  remotes.set('later', remote);
  const link = await engine.addLink('fake', { remote: 'later' }, { scope: { prefix: 'later/' } });
  await engine.drain(link);
  const first = passes();
  remote.put(memory);
  remote.inject({ on: 'observe', kind: 'rate-limited', retryAfterMs: 60_000 });
  await first.pass(link);
  await first.close();
  await engine.database.withTenant(TENANT, (tx) =>
    tx.query(`UPDATE sync_links SET rests_until = now(), next_due_at = now() WHERE id = $1`, [
      link.id,
    ]),
  );
  const wakes: string[] = [];
  const next = passes((reason) => void wakes.push(reason));
  await next.pulse();
  expect(wakes).toEqual(['interval']);
  expect(await next.pass(link)).toMatchObject({ outcome: { status: 'settled' } });
  const page = await engine.store.contexts.list(CALLER, { prefix: 'later/', limit: 10 });
  expect(page.items.map((item) => item.key)).toEqual(['later/ann']);
  await next.close();
});
