import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { DEFAULT_PACE, runPulse, type PulseDeps } from '../../../activities/pulse.ts';
import { createConnectorPool, type ConnectorPool } from '../../../connectors/contract.ts';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import type { LinkId, TenantId } from '../../../domain/ids.ts';
import type { DueLink, LinkRef, LinkRest, Sweeps } from '../../../store/contract.ts';
import { sampleLink } from '../../support/sample-link.ts';

const TENANT = 'default' as TenantId;
const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined };

/** A pulse over fake remotes, each under the name of its link. */
function under(remotes: Record<string, FakeRemote>, more: Partial<PulseDeps> = {}) {
  const type = createFakeType(new Map(Object.entries(remotes)));
  const pool: ConnectorPool = createConnectorPool({
    typeOf: () => type,
    permissions: { fileRoots: [], stdioCommands: [] },
    secret: (name) => name,
    log: SILENT,
  });
  const told = {
    woken: [] as string[],
    rested: [] as LinkRest[],
    returned: [] as string[],
    due: [] as DueLink[],
  };
  const sweeps = {
    takeDueLinks: async () => told.due.splice(0),
    restLinks: async (rests: readonly LinkRest[]) => void told.rested.push(...rests),
    returnLinks: async (links: readonly DueLink[]) =>
      void told.returned.push(...links.map(({ link }) => link.name)),
  } as Partial<Sweeps> as Sweeps;
  const names = new Map<LinkId, string>();
  const wake = async ({ linkId }: LinkRef): Promise<void> =>
    void told.woken.push(names.get(linkId)!);
  const deps: PulseDeps = { sweeps, pool, wake, log: SILENT, ...more };

  /** The link is due, observed up to a cursor of its remote. */
  function isDue(name: string, cursor: string | null, hasWork = false): void {
    const linkId = randomUUID() as LinkId;
    names.set(linkId, name);
    told.due.push({
      tenant: TENANT,
      linkId,
      remoteCursor: cursor,
      hasWork,
      fence: '1',
      hubSeen: null,
      link: sampleLink({ id: linkId, name, config: { remote: name }, scope: { prefix: '' } }),
    });
  }
  return { told, isDue, pulse: () => runPulse(deps), close: () => pool.close() };
}

const cursorOf = async (remote: FakeRemote): Promise<string> =>
  (await remote.connect().observe({ since: null, page: null })).cursor!;
const memory = { name: 'Ann', type: 'thing', observations: ['x'], relations: [] };
const rested = (rests: readonly LinkRest[]) =>
  rests.map(({ due, maxMs }) => [due.link.name, maxMs]);

describe('the pulse', () => {
  it.each(['A', 'B', 'C'] as const)(
    'starts no workflow for a grade-%s link on which nothing has changed',
    async (grade) => {
      const remote = createFakeRemote({ grade });
      remote.put(memory);
      const { told, isDue, pulse, close } = under({ quiet: remote });
      isDue('quiet', await cursorOf(remote));
      expect(await pulse()).toEqual({ woken: 0 });
      expect([told.woken, rested(told.rested)]).toEqual([
        [],
        [['quiet', DEFAULT_PACE.maxPolledRestMs]],
      ]);
      remote.put({ ...memory, observations: ['y'] });
      isDue('quiet', told.rested[0]!.due.remoteCursor);
      expect(await pulse()).toEqual({ woken: 1 });
      expect(told.woken).toEqual(['quiet']);
      await close();
    },
  );

  it('asks no remote where Postgres knows of work', async () => {
    const remote = createFakeRemote({ grade: 'A' });
    const { told, isDue, pulse, close } = under({ busy: remote });
    isDue('busy', null, true);
    expect(await pulse()).toEqual({ woken: 1 });
    expect([told.woken, remote.counters.calls]).toEqual([['busy'], 0]);
    await close();
  });

  it('lets a watched link rest longer', async () => {
    const remote = createFakeRemote({ grade: 'A' });
    const { told, isDue, pulse, close } = under({ l: remote }, { isWatched: () => true });
    isDue('l', await cursorOf(remote));
    await pulse();
    expect(rested(told.rested)).toEqual([['l', DEFAULT_PACE.maxWatchedRestMs]]);
    await close();
  });

  it('leaves a remote that fails to the workflow, which records it', async () => {
    const remote = createFakeRemote({ grade: 'A' });
    const { told, isDue, pulse, close } = under({ l: remote });
    const cursor = await cursorOf(remote);
    remote.inject({ on: 'observe', kind: 'unreachable' });
    isDue('l', cursor);
    expect(await pulse()).toEqual({ woken: 1 });
    expect([told.woken, told.rested]).toEqual([['l'], []]);
    await close();
  });

  it('holds a link whose remote asks to be left alone', async () => {
    const remote = createFakeRemote({ grade: 'A' });
    const { told, isDue, pulse, close } = under({ l: remote });
    const cursor = await cursorOf(remote);
    remote.inject({ on: 'observe', kind: 'rate-limited', retryAfterMs: 45_000 });
    isDue('l', cursor);
    expect(await pulse()).toEqual({ woken: 0 });
    expect(told.rested).toMatchObject([{ heldMs: 45_000 }]);
    await close();
  });

  it('does not wait for a slow remote, and records what it says when it says it', async () => {
    const slow = createFakeRemote({ grade: 'A' });
    const quick = createFakeRemote({ grade: 'A' });
    const pace = { ...DEFAULT_PACE, lookWithinMs: 20 };
    const { told, isDue, pulse, close } = under({ slow, quick }, { pace });
    const cursor = await cursorOf(slow);
    let answer = (): void => undefined;
    const until = new Promise<void>((resolve) => (answer = resolve));
    slow.inject({ on: 'observe', kind: 'late', until });
    isDue('slow', cursor);
    isDue('quick', await cursorOf(quick));
    await pulse();
    expect(rested(told.rested).map(([name]) => name)).toEqual(['quick']);
    answer();
    await expect.poll(() => rested(told.rested).map(([name]) => name)).toEqual(['quick', 'slow']);
    await close();
  });

  it('gives back a link that could not be woken, and wakes the others', async () => {
    const remote = createFakeRemote({ grade: 'A' });
    let calls = 0;
    const { told, isDue, pulse, close } = under(
      { a: remote, b: remote },
      {
        wake: async () => {
          calls += 1;
          if (calls === 1) throw new Error('Temporal is out');
        },
      },
    );
    isDue('a', null, true);
    isDue('b', null, true);
    await pulse();
    expect([told.returned, calls]).toEqual([['a'], 2]);
    await close();
  });
});
