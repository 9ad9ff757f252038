import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Connector } from '../../../connectors/connector.ts';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import type { LinkId, TenantId } from '../../../domain/ids.ts';
import type { Link } from '../../../domain/link.ts';
import type { LinkRef } from '../../../store/contract.ts';
import { startRemoteWatcher, type RemoteWatcher } from '../../../workers/watch-remotes.ts';

const TENANT = 'default' as TenantId;
const memory = { name: 'Ann', type: 'thing', observations: [], relations: [] };

let watcher: RemoteWatcher;
afterEach(() => watcher.stop());

/** A watcher over links with a fake remote each. */
function watching(count: number, maxWatched: number, canWatch = true) {
  const links = Array.from({ length: count }, (): { ref: LinkRef; remote: FakeRemote } => ({
    ref: { tenant: TENANT, linkId: randomUUID() as LinkId },
    remote: createFakeRemote({ grade: 'A', canWatch }),
  }));
  const live = new Set(links);
  const told = { wakes: [] as string[], lines: [] as object[], asked: 0, opened: 0 };
  const open = new Map<string, Connector>();
  const type = createFakeType(new Map([['any', createFakeRemote({ grade: 'A', canWatch })]]));
  watcher = startRemoteWatcher({
    sweeps: { liveLinks: async () => [...live].map(({ ref }) => ref) },
    async linkOf({ linkId }) {
      told.asked += 1;
      return { id: linkId, connector: 'fake' } as Link;
    },
    pool: {
      typeOf: () => type,
      async get(_, { id }) {
        const known = open.get(id);
        if (known) return known;
        told.opened += 1;
        const opened = links.find(({ ref }) => ref.linkId === id)!.remote.connect();
        open.set(id, opened);
        return opened;
      },
      peek: (_, linkId) => open.get(linkId) ?? null,
    },
    wake: async ({ linkId }) => void told.wakes.push(linkId),
    maxWatched,
    log: {
      info: (fields) => void told.lines.push(fields),
      warn: () => undefined,
      debug: () => undefined,
    },
  });
  const watched = () => links.filter(({ ref }) => watcher.isWatched(ref));
  return { links, live, open, told, watched };
}

describe('watching remotes', () => {
  it('looks once when a watch begins, and then at each change of the remote', async () => {
    const { links, told, watched } = watching(1, 10);
    await vi.waitFor(() => expect(watched()).toHaveLength(1));
    const { linkId } = links[0]!.ref;
    await vi.waitFor(() => expect(told.wakes).toEqual([linkId]));
    links[0]!.remote.put(memory);
    await vi.waitFor(() => expect(told.wakes).toEqual([linkId, linkId]));
  });

  it('watches no more than its bound, opens no more, and says once that the others are polled', async () => {
    const { told, watched } = watching(20, 5);
    await vi.waitFor(() => expect(told.lines).toHaveLength(1));
    expect([watched().length, told.opened]).toEqual([5, 5]);
    expect(told.lines).toEqual([{ watched: 5, polled: 15, maxWatched: 5 }]);
    watcher.refresh();
    await watcher.stop();
    expect(told.lines).toHaveLength(1);
  });

  it('gives the place of a link that is gone to another', async () => {
    const { live, told, watched } = watching(3, 2);
    await vi.waitFor(() => expect(watched()).toHaveLength(2));
    const [gone] = watched();
    live.delete(gone!);
    watcher.refresh();
    await vi.waitFor(() => expect(told.opened).toBe(3));
    await vi.waitFor(() => expect(watched()).toHaveLength(2));
    expect(watched()).not.toContain(gone);
  });

  it('asks nothing about links it watches already', async () => {
    const { told, watched } = watching(5, 10);
    await vi.waitFor(() => expect(watched()).toHaveLength(5));
    const { asked } = told;
    watcher.refresh();
    watcher.refresh();
    await watcher.stop();
    expect(told.asked).toBe(asked);
  });

  it('watches anew where the conversation was opened anew', async () => {
    const { links, open, told, watched } = watching(1, 10);
    await vi.waitFor(() => expect(watched()).toHaveLength(1));
    open.clear();
    watcher.refresh();
    await vi.waitFor(() => expect(told.opened).toBe(2));
    await vi.waitFor(() => expect(watched()).toHaveLength(1));
    await vi.waitFor(() => expect(told.wakes).toHaveLength(2));
    links[0]!.remote.put(memory);
    await vi.waitFor(() => expect(told.wakes).toHaveLength(3));
  });

  it('opens nothing for a remote that cannot be watched', async () => {
    const { told } = watching(3, 10, false);
    await vi.waitFor(() => expect(told.asked).toBe(3));
    watcher.refresh();
    await watcher.stop();
    expect([told.asked, told.opened, told.lines]).toEqual([3, 0, []]);
  });
});
