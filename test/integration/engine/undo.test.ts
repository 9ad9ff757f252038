/** Undo of a run: the written side is what it was before, item by item, and stays so. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunId } from '../../../domain/ids.ts';
import type { JsonObject } from '../../../domain/json.ts';
import type { Run } from '../../../domain/link.ts';
import { CALLER, type TestEngine } from '../../support/engine.ts';
import { codeOf } from '../store/store-under-test.ts';
import { memory, openPairs, type Pair } from './pairs.ts';

describe.each(['A', 'B', 'C'] as const)('undo on a link with a grade-%s remote', (grade) => {
  let engine: TestEngine;
  let pair: Awaited<ReturnType<typeof openPairs>>['pair'];
  beforeAll(async () => {
    ({ engine, pair } = await openPairs(grade));
  });
  afterAll(() => engine.close());

  async function agreed(...names: string[]): Promise<Pair> {
    const made = await pair();
    for (const name of names) made.remote.put(memory(name));
    await made.sync();
    return made;
  }

  it('puts an edited, a created and a deleted item of the hub back, with its tags', async () => {
    const made = await agreed('Edited', 'Deleted');
    const tagged = { key: made.at('deleted'), data: {}, changeType: 'merge' } as const;
    await engine.store.contexts.update(CALLER, { ...tagged, options: { tags: ['kept'] } });
    await made.sync();
    const before = await made.sides();
    made.remote.put(memory('Edited', ['another']));
    made.remote.put(memory('Created'));
    made.remote.remove('Deleted');
    const done = await runsOf(made);
    for (const run of done) {
      const undo = await made.undo(run.id);
      expect(undo).toMatchObject({ mode: 'undo', undoes: run.id, status: 'settled', dropped: [] });
      expect(undo.counters.applied).toBe(run.counters.applied);
    }
    expect(done.reduce((sum, run) => sum + run.counters.applied, 0)).toBe(3);
    expect((await made.sides()).hub).toEqual(before.hub);
    expect(await engine.store.contexts.get(CALLER, made.at('deleted'))).toMatchObject({
      tags: ['kept'],
    });
  });

  it('puts an edited, a created and a deleted item of the remote back', async () => {
    const made = await agreed('Edited', 'Deleted');
    const before = await made.sides();
    await made.put('edited', memory('Edited', ['another']));
    await made.put('created', memory('Created'));
    await made.remove('deleted');
    await made.sync();
    const undo = await made.undo((await made.last()).id);
    expect(undo).toMatchObject({ status: 'settled', counters: { applied: 3 }, dropped: [] });
    expect((await made.sides()).remote).toEqual(before.remote);
  });

  it('is not redone by the next run, nor the one after', async () => {
    const made = await agreed('Alice', 'Bob', 'Carol');
    await made.put('alice', memory('Alice', ['from the hub']));
    made.remote.put(memory('Bob', ['from the remote']));
    await made.remove('carol');
    made.remote.put(memory('Dora'));
    await made.sync();
    await made.undo((await made.last()).id);
    expect(await engine.store.links.status(CALLER, made.link.id)).toMatchObject({ held: 4 });
    const held = await made.sides();
    const writes = made.remote.counters.writes;
    for (let nth = 0; nth < 3; nth += 1) {
      expect(await made.sync()).toMatchObject({ status: 'settled', counters: { planned: 0 } });
    }
    expect(await made.sides()).toEqual(held);
    expect(made.remote.counters.writes).toBe(writes);
  });

  it('is released by a new edit, which carries its whole value to the other side', async () => {
    const made = await agreed('Alice', 'Bob');
    await made.put('alice', memory('Alice', ['undone', 'about Alice']));
    await made.put('bob', memory('Bob', ['undone']));
    await made.sync();
    await made.undo((await made.last()).id);
    made.remote.put(memory('Alice', ['about Alice', 'new']));
    await made.put('bob', memory('Bob', ['undone', 'new']));
    await made.sync();
    expect(await made.get('alice')).toEqual(memory('Alice', ['about Alice', 'new']));
    expect(made.remote.get('Bob')).toEqual(memory('Bob', ['undone', 'new']));
    made.remote.put(memory('Alice', ['in step again']));
    await made.sync();
    expect(await made.get('alice')).toEqual(memory('Alice', ['in step again']));
  });

  it('loses neither edit where both sides of an undone item change', async () => {
    const made = await agreed('Alice');
    await made.put('alice', memory('Alice', ['about Alice', 'undone']));
    await made.sync();
    await made.undo((await made.last()).id);
    await made.put('alice', memory('Alice', ['about Alice', 'hub']));
    made.remote.put(memory('Alice', ['about Alice', 'remote']));
    await made.sync();
    const both = memory('Alice', ['about Alice', 'hub', 'remote']);
    expect(await made.sides()).toMatchObject({ remote: { Alice: both } });
    expect(await made.get('alice')).toEqual(both);
  });

  it('is released by a reset, which deletes nothing', async () => {
    const made = await agreed('Alice');
    await made.put('bob', memory('Bob'));
    await made.sync();
    await made.undo((await made.last()).id);
    expect(made.remote.get('Bob')).toBeNull();
    await engine.store.links.reset(CALLER, made.link.id);
    await made.sync();
    expect(made.remote.get('Bob')).toEqual(memory('Bob'));
    expect(made.remote.get('Alice')).toEqual(memory('Alice'));
  });

  it('leaves alone what has changed since, and says so op by op', async () => {
    const made = await agreed('Alice', 'Bob', 'Carol');
    for (const name of ['Alice', 'Bob', 'Carol']) {
      await made.put(name.toLowerCase(), memory(name, ['by the run']));
    }
    await made.sync();
    const run = await made.last();
    made.remote.put(memory('Alice', ['newer']));
    await made.put('bob', memory('Bob', ['newer']));
    await made.sync();
    made.remote.put(memory('Carol', ['newer and not seen yet']));
    const undo = await made.undo(run.id);
    expect(undo.counters).toMatchObject({ applied: 0, skipped: 3 });
    expect(undo.dropped.map(({ key, side }) => [key, side])).toEqual(
      ['alice', 'bob', 'carol'].map((tail) => [made.at(tail), 'remote']),
    );
    for (const { reason } of undo.dropped) expect(reason).toMatch(/no longer holds|has changed/);
    expect(made.remote.get('Carol')).toEqual(memory('Carol', ['newer and not seen yet']));
  });

  it('keeps an edit of the side it did not write, for the next run to carry over', async () => {
    const made = await agreed('Alice');
    await made.put('alice', memory('Alice', ['first']));
    await made.sync();
    const run = await made.last();
    await made.put('alice', memory('Alice', ['second']));
    await made.undo(run.id);
    expect(made.remote.get('Alice')).toEqual(memory('Alice'));
    await made.sync();
    expect(made.remote.get('Alice')).toEqual(memory('Alice', ['second']));
  });

  it('whose answer got lost is finished by the next pass, and still not redone', async () => {
    const made = await agreed('Alice', 'Bob');
    await made.put('alice', memory('Alice', ['by the run']));
    await made.sync();
    const run = await made.last();
    made.remote.inject({ on: 'apply', kind: 'lost-answer' });
    expect(await made.undo(run.id)).toMatchObject({ status: 'failed' });
    made.remote.clearFaults();
    for (let nth = 0; nth < 2; nth += 1) await made.sync();
    expect(made.remote.get('Alice')).toEqual(memory('Alice'));
    expect(await made.get('alice')).toEqual(memory('Alice', ['by the run']));
  });

  it('of an undo leaves a remote that respells what it is sent its own spelling', async () => {
    const normalise = (value: JsonObject) => ({ ...value, type: 'respelled' });
    const made = await pair({}, { normalise });
    await made.put('alice', memory('Alice'));
    await made.sync();
    await made.put('alice', memory('Alice', ['about Alice', 'more']));
    await made.sync();
    const after = await made.sides();
    const undo = await made.undo((await made.last()).id);
    expect(undo.dropped).toEqual([]);
    expect((await made.undo(undo.id)).dropped).toEqual([]);
    expect(await made.sides()).toEqual(after);
    made.remote.put({ ...memory('Alice', ['about Alice', 'more', 'most']), type: 'respelled' });
    await made.sync();
    expect(await made.get('alice')).toEqual(memory('Alice', ['about Alice', 'more', 'most']));
  });

  it('works on a paused link, and leaves it paused', async () => {
    const made = await agreed('Alice');
    await made.put('alice', memory('Alice', ['by the run']));
    await made.sync();
    const run = await made.last();
    await engine.store.links.pause(CALLER, made.link.id);
    expect(await made.undo(run.id)).toMatchObject({ status: 'settled' });
    expect(made.remote.get('Alice')).toEqual(memory('Alice'));
    expect((await engine.store.links.get(CALLER, made.link.id)).state).toBe('paused');
    expect(await made.pass()).toMatchObject({ status: 'refused' });
  });

  it('is refused for a run under way and for one that is not there', async () => {
    const made = await agreed('Alice');
    const { runs } = engine.store;
    const waiting = await runs.request(CALLER, made.link.id, 'waits');
    expect(await codeOf(runs.requestUndo(CALLER, waiting.id, 'undo'))).toBe('RUN_NOT_FINISHED');
    const none = '00000000-0000-4000-8000-000000000000' as RunId;
    expect(await codeOf(runs.requestUndo(CALLER, none, 'undo'))).toBe('RUN_NOT_FOUND');
  });

  it('gives back the first state when it is undone itself', async () => {
    const edit = fc.record({
      name: fc.constantFrom('Ann', 'Ben', 'Cid', 'Dan'),
      side: fc.constantFrom('hub', 'remote'),
      text: fc.option(fc.constantFrom('x', 'y', 'z')),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(edit, { maxLength: 4 }),
        fc.array(edit, { minLength: 1, maxLength: 5 }),
        async (first, second) => {
          const made = await pair();
          for (const one of first) await apply(made, one);
          await made.sync();
          for (const one of second) await apply(made, one);
          const before = await made.sides();
          const done = await runsOf(made);
          // Deleting the only item parks the link.
          if ((await made.runs())[0]?.status === 'parked') return;
          const after = await made.sides();
          const undone: Run[] = [];
          for (const run of done) undone.unshift(await made.undo(run.id));
          expect(undone.flatMap((run) => run.dropped)).toEqual([]);
          expect(await made.sides()).toEqual(before);
          for (const run of undone) expect((await made.undo(run.id)).dropped).toEqual([]);
          expect(await made.sides()).toEqual(after);
          // Everything is as agreed again: a quiet link, and the next edit goes over as usual.
          expect((await made.sync()).counters).toMatchObject({ planned: 0, applied: 0 });
          made.remote.put(memory('Ann', ['the next edit']));
          const next = await made.sync();
          if (next.counters.conflicts === 0)
            expect(await made.get('ann')).toEqual(made.remote.get('Ann'));
        },
      ),
      { numRuns: 25 },
    );
  });
});

/** The runs that bringing both sides in step takes, newest first: a grade-C remote is scanned twice. */
async function runsOf(made: Pair): Promise<Run[]> {
  const known = new Set((await made.runs()).map(({ id }) => id));
  await made.sync();
  return (await made.runs()).filter(({ id, counters }) => !known.has(id) && counters.applied > 0);
}

interface Edit {
  readonly name: string;
  readonly side: string;
  readonly text: string | null;
}

/** One user's edit; null deletes. */
async function apply(made: Pair, { name, side, text }: Edit): Promise<void> {
  if (side === 'remote') {
    if (text === null) made.remote.remove(name);
    else made.remote.put(memory(name, [text]));
  } else if (text !== null) await made.put(name.toLowerCase(), memory(name, [text]));
  else if ((await made.get(name.toLowerCase())) !== null) await made.remove(name.toLowerCase());
}
