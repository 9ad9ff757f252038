import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createThreads } from '../../../activities/compute/threads.ts';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import type { ContextKey } from '../../../domain/ids.ts';
import type { Json, JsonObject } from '../../../domain/json.ts';
import { CALLER, createTestEngine, type TestEngine } from '../../support/engine.ts';
import { loopDelayDuring } from '../../support/loop-delay.ts';

/** What a turn of the event loop may take, ms: 50 as a rule, more on a machine with other work. */
/** Each takes seconds on the loop; a busy machine holds the loop up by itself. */
const MAX_DELAY_MS = 1000;

describe('P23: a hostile document', () => {
  const remotes = new Map<string, FakeRemote>();
  let engine: TestEngine;
  let count = 0;

  beforeAll(async () => {
    remotes.set('first', createFakeRemote({ grade: 'B' }));
    engine = await createTestEngine({ types: [createFakeType(remotes)] });
  });
  afterAll(() => engine.close());

  async function pair(on: TestEngine = engine) {
    count += 1;
    const remote = createFakeRemote({ grade: 'B' });
    remotes.set(`h${count}`, remote);
    const prefix = `h${count}/`;
    const link = await on.addLink('fake', { remote: `h${count}` }, { scope: { prefix } });
    const put = (tail: string, kind: string, data: Json) =>
      on.store.contexts.store(CALLER, {
        key: `${prefix}${tail}` as ContextKey,
        data,
        options: { kind, ttl: null },
      });
    return { remote, link, put, pass: () => on.drain(link) };
  }

  /** Makes an item both sides agree on, then has both change it. */
  async function contested(link: Awaited<ReturnType<typeof pair>>, kind: string, versions: Three) {
    link.remote.put(versions[0], kind);
    await link.pass();
    const { items } = await engine.store.contexts.list(CALLER, {
      limit: 1,
      prefix: `h${count}/`,
    });
    await link.put(items[0]!.key.slice(`h${count}/`.length), kind, versions[1]);
    link.remote.put(versions[2], kind);
  }

  type Three = readonly [base: JsonObject, hub: JsonObject, remote: JsonObject];
  const documents = (text: (side: number) => string): Three => {
    const make = (side: number) => ({ path: 'AGENTS.md', frontmatter: {}, text: text(side) });
    return [make(0), make(1), make(2)];
  };
  const nested = (leaf: number): Json => {
    let value: Json = { leaf };
    for (let level = 0; level < 190; level += 1) value = { in: value, pad: 'p'.repeat(2_000) };
    return value;
  };
  const memories = (side: number): JsonObject => ({
    name: 'Many',
    type: 'thing',
    observations: Array.from({ length: 60_000 }, (_, nth) => `observation ${nth * (side + 1)}`),
    relations: [],
  });
  const cases: [string, string, Three][] = [
    [
      'of 20,000 lines of 97 kinds',
      'document',
      documents((side) =>
        Array.from({ length: 19_999 }, (_, nth) => `${(nth * (side * 7 + 1)) % 97}\n`).join(''),
      ),
    ],
    [
      'of 9 MiB of one repeated line',
      'document',
      documents((side) => 'again and again\n'.repeat(600_000 + side)),
    ],
    [
      'nested 200 deep',
      'document',
      [0, 1, 2].map((side) => ({
        path: 'deep.md',
        frontmatter: { deep: nested(side) },
        text: '',
      })) as unknown as Three,
    ],
    ['of 60,000 observations', 'memory', [memories(0), memories(1), memories(2)]],
  ];

  it.each(cases)(
    '%s holds up neither the loop nor another link',
    async (_, kind, versions) => {
      const hostile = await pair();
      await contested(hostile, kind, versions);
      const other = await pair();
      let passes = 0;
      const worst = await loopDelayDuring(async () => {
        const merged = new AbortController();
        const merging = hostile.pass().finally(() => merged.abort());
        // The first round is sure to run beside the merge; more follow while it lasts.
        do {
          other.remote.put({ name: `n${passes}`, type: 't', observations: [], relations: [] });
          expect(await other.pass()).toMatchObject({ status: 'settled', counters: { applied: 1 } });
          passes += 1;
        } while (!merged.signal.aborted);
        expect((await merging).status).toBe('settled');
      });
      expect(passes).toBeGreaterThan(0);
      expect(worst).toBeLessThan(MAX_DELAY_MS);
    },
    60_000,
  );

  it('with too many members rests in quarantine, and the rest of its link flows', async () => {
    const link = await pair();
    const wide = Object.fromEntries(Array.from({ length: 200_000 }, (_, nth) => [`k${nth}`, nth]));
    await link.put('AGENTS.md', 'document', { path: 'AGENTS.md', frontmatter: wide, text: '' });
    link.remote.put({ name: 'fine', type: 't', observations: [], relations: [] });
    link.remote.put({ path: 'remote.md', frontmatter: wide, text: '' }, 'document');
    expect(await link.pass()).toMatchObject({ status: 'settled', counters: { applied: 1 } });
    const quarantined = await engine.store.links.quarantined(CALLER, link.link.id);
    expect(quarantined.map(({ code }) => code)).toEqual(['ITEM_TOO_COMPLEX', 'ITEM_TOO_COMPLEX']);
    // Unchanged, it is not worked on again; mended, it goes on by itself.
    expect((await link.pass()).counters).toMatchObject({ changedRemote: 0, planned: 0 });
    link.remote.put({ path: 'remote.md', frontmatter: {}, text: 'mended' }, 'document');
    expect((await link.pass()).counters).toMatchObject({ applied: 1 });
  });
});

describe('P23: a merge over its time', () => {
  const remotes = new Map<string, FakeRemote>();
  let engine: TestEngine;

  beforeAll(async () => {
    remotes.set('late', createFakeRemote({ grade: 'B' }));
    // No thread starts within a millisecond, so every large merge is cut off.
    engine = await createTestEngine({
      types: [createFakeType(remotes)],
      threads: cutOff(createThreads({ taskMs: 1 })),
    });
  });
  afterAll(() => engine.close());

  it('becomes a conflict of the whole item; nothing is guessed and nothing is lost', async () => {
    const remote = remotes.get('late')!;
    const link = await engine.addLink('fake', { remote: 'late' }, { scope: { prefix: 'l/' } });
    const make = (edit: string): JsonObject => ({
      path: 'AGENTS.md',
      frontmatter: {},
      text: `${edit}\n${'a line\n'.repeat(20_000)}`,
    });
    remote.put(make('base'), 'document');
    await engine.drain(link);
    const { items } = await engine.store.contexts.list(CALLER, { limit: 1, prefix: 'l/' });
    const { key } = items[0]!;
    const options = { kind: 'document', ttl: null };
    await engine.store.contexts.store(CALLER, { key, data: make('hub'), options });
    remote.put(make('remote'), 'document');
    expect((await engine.drain(link)).counters).toMatchObject({ conflicts: 1, applied: 0 });
    const [conflict] = (await engine.store.conflicts.list(CALLER, { limit: 10 })).items;
    expect(conflict).toMatchObject({ reason: 'edit/edit', pointers: [''], proposal: null });
    expect(conflict).toMatchObject({ hub: make('hub'), remote: make('remote') });
    expect((await engine.store.contexts.get(CALLER, key))?.data).toEqual(make('hub'));
  });

  /** Only merges are cut off; the rest of the pass needs its bodies. */
  function cutOff(late: ReturnType<typeof createThreads>): ReturnType<typeof createThreads> {
    const rest = createThreads();
    return {
      run: (name, input) => (name === 'merge' ? late : rest).run(name, input),
      close: async () => {
        await Promise.all([late.close(), rest.close()]);
      },
    };
  }
});
