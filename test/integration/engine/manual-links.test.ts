/** A link with `trigger: manual` runs when somebody asks for it, and at no other time. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CALLER } from '../../support/engine.ts';
import { memory, openPairs, type Pair } from './pairs.ts';

let pairs: Awaited<ReturnType<typeof openPairs>>;

beforeAll(async () => {
  pairs = await openPairs('A');
});
afterAll(() => pairs.engine.close());

const REFUSED = { status: 'refused' };
const links = () => pairs.engine.store.links;
const request = (pair: Pair) => pairs.engine.store.runs.request(CALLER, pair.link.id, 'on demand');

async function asked(pair: Pair): Promise<void> {
  await request(pair);
  expect(await pair.pass()).toMatchObject({ status: 'settled' });
}

async function manualPair(): Promise<Pair> {
  const pair = await pairs.pair({ trigger: 'manual' });
  pair.remote.put(memory('Alice'));
  return pair;
}

const observationsOf = (pair: Pair): unknown => pair.remote.get('Alice')?.['observations'];

it('does not run because it was made, changed, reset, paused or resumed', async () => {
  const pair = await manualPair();
  const { id } = pair.link;
  expect(await pair.pass()).toMatchObject(REFUSED);
  await links().patch(CALLER, id, { name: 'renamed', direction: 'pull' });
  expect(await pair.pass()).toMatchObject(REFUSED);
  await links().reset(CALLER, id);
  expect(await pair.pass()).toMatchObject(REFUSED);
  await links().pause(CALLER, id);
  await links().resume(CALLER, id);
  expect(await pair.pass()).toMatchObject(REFUSED);
  expect(await pair.runs()).toEqual([]);
  expect(pair.remote.counters.calls).toBe(0);
});

it('runs once when asked, and not for what comes after', async () => {
  const pair = await manualPair();
  await asked(pair);
  expect(await pair.get('alice')).toMatchObject({ name: 'Alice' });
  await pair.put('alice', memory('Alice', ['edited']));
  expect(await pair.pass()).toMatchObject(REFUSED);
  expect(observationsOf(pair)).toEqual(['about Alice']);
  await asked(pair);
  expect(observationsOf(pair)).toEqual(['edited']);
});

it('carries out an approved plan and nothing that was edited since', async () => {
  const pair = await manualPair();
  await asked(pair);
  await pair.put('alice', memory('Alice', ['planned']));
  const plan = await pair.plan();
  await pair.put('bob', memory('Bob'));
  expect(await pair.approve(plan.id)).toMatchObject({
    status: 'settled',
    counters: { planned: 1, applied: 1 },
  });
  expect(await pair.pass()).toMatchObject(REFUSED);
  expect(observationsOf(pair)).toEqual(['planned']);
  expect(pair.remote.get('Bob')).toBeNull();
});

it('runs by itself from the moment it is made automatic', async () => {
  const pair = await manualPair();
  expect(await pair.pass()).toMatchObject(REFUSED);
  await links().patch(CALLER, pair.link.id, { trigger: 'auto' });
  expect(await pair.pass()).toMatchObject({ status: 'settled', counters: { applied: 1 } });
});

it('takes up the run that a crash broke off', async () => {
  const pair = await manualPair();
  await request(pair);
  pair.remote.hooks.beforeCall = () => {
    throw new Error('crash');
  };
  await expect(pair.pass()).rejects.toThrow('crash');
  pair.remote.hooks.beforeCall = undefined;
  expect(await pair.pass()).toMatchObject({ status: 'settled', counters: { applied: 1 } });
  expect(await pair.pass()).toMatchObject(REFUSED);
});

it('goes on with what its run has left, when the workflow says so', async () => {
  const pair = await manualPair();
  const { id: linkId } = pair.link;
  const pass = { tenant: CALLER.tenant, linkId, trigger: 'run', newRunId: crypto.randomUUID() };
  const begin = (follows: boolean) =>
    pairs.engine.store.sync.beginPass({ ...pass, follows } as never);
  expect(await begin(false)).toEqual({ status: 'refused', why: 'manual' });
  expect(await begin(true)).toMatchObject({ status: 'begun' });
});
