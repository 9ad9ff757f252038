import { setImmediate as turnOfLoop } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createChangeHub, type ChangeHub } from '../../../api/websocket/change-hub.ts';
import { createConnection, type Connection } from '../../../api/websocket/connection.ts';
import { DEFAULT_SOCKET_LIMITS } from '../../../api/websocket/limits.ts';
import { systemClock } from '../../../domain/clock.ts';
import type { Change } from '../../../domain/context.ts';
import type { TenantId } from '../../../domain/ids.ts';
import type { ContextStore, FeedWatch, WatchedPage } from '../../../store/contract.ts';
import { frameOf, openSlowPeer, type SlowPeer } from '../../support/slow-peer.ts';

const TENANT = 'default' as TenantId;
const MAX_BUFFERED = 16 * 1024;
const PAGE = 500;
const log = pino({ level: 'silent' });
const measures = {
  connection: () => undefined,
  subscriptions: () => undefined,
  sent: () => undefined,
  resynced: () => undefined,
  refused: () => undefined,
};

const connections: Connection[] = [];
afterEach(() => {
  for (const connection of connections.splice(0)) connection.terminate();
});

/** A feed of many full pages, and how many were read; `gate` holds each read up. */
function endlessFeed(gate: Promise<void> = Promise.resolve()) {
  const counts = { reads: 0 };
  const empty: WatchedPage = { changes: [], hasHidden: false, snapshot: '1:1:' };
  const feed: FeedWatch = {
    head: async () => '1000000.0',
    look: async (_tenant, _query, onPage) => onPage(empty),
    async read(_tenant, { after }) {
      counts.reads += 1;
      await gate;
      const first = Number(after.split('.')[0]) + 1;
      const changes = Array.from({ length: PAGE }, (_, at) => ({
        change: { key: 'a', version: 1, cursor: `${first + at}.0` } as unknown as Change,
        sessionId: null,
        tags: [],
      }));
      return { ...empty, changes };
    },
  };
  return { feed, counts };
}

function hubOf(feed: FeedWatch): ChangeHub {
  const waitForChange = (_tenant: string, _ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  const contexts = {} as ContextStore;
  return createChangeHub({ feed, contexts, waitForChange, maxSubscriptions: 1000, measures, log });
}

function connect(hub: ChangeHub): { peer: SlowPeer; connection: Connection } {
  const peer = openSlowPeer();
  const connection = createConnection({
    socket: peer.socket,
    identity: { tenant: TENANT, key: null },
    hub,
    limits: { ...DEFAULT_SOCKET_LIMITS, maxBufferedBytes: MAX_BUFFERED },
    measures,
    clock: systemClock,
    log,
    onClosed: () => undefined,
  });
  connections.push(connection);
  return { peer, connection };
}

const many = (count: number, frame: Buffer): Buffer[] => Array.from({ length: count }, () => frame);
/** Lets everything happen that can without another message. */
async function rest(): Promise<void> {
  for (let nth = 0; nth < 50; nth += 1) await turnOfLoop();
}

describe('a client that sends and does not read', () => {
  it.each([
    ['messages', frameOf('text', `{"type":"ping","id":"${'x'.repeat(60)}"}`), '"pong"'],
    ['pings of the protocol', frameOf('ping'), '\u008a'],
  ])(
    'is heard no further until it has taken the answers to its %s',
    async (_what, frame, answer) => {
      const { peer } = connect(hubOf(endlessFeed().feed));
      const [chunks, perChunk] = [200, 50];
      for (let nth = 0; nth < chunks; nth += 1) {
        peer.send(many(perChunk, frame));
        await turnOfLoop();
      }
      expect(peer.socket.isPaused).toBe(true);
      expect(peer.unread()).toBeGreaterThan((chunks * perChunk * frame.length) / 2);
      expect(peer.unsent()).toBeLessThan(MAX_BUFFERED + 50 * 100);
      peer.read();
      const told = (): number => peer.taken().split(answer).length - 1;
      await vi.waitFor(() => expect(told()).toBe(chunks * perChunk), { timeout: 5000 });
      expect(peer.unread()).toBe(0);
      expect(peer.socket.isPaused).toBe(false);
    },
  );
});

describe('replays to a client', () => {
  const subscribe = frameOf(
    'text',
    JSON.stringify({ type: 'subscribe-context', payload: { key: 'a', since: '0.0' } }),
  );

  it('that does not read hold two pages, however many there are', async () => {
    const { feed, counts } = endlessFeed();
    const { peer } = connect(hubOf(feed));
    peer.send(many(100, subscribe));
    await vi.waitFor(() => expect(peer.unsent()).toBeGreaterThan(MAX_BUFFERED / 4));
    await rest();
    expect(counts.reads).toBe(2);
  });

  it('that is gone read nothing any more', async () => {
    let open: () => void = () => undefined;
    const { feed, counts } = endlessFeed(new Promise((resolve) => (open = resolve)));
    const hub = hubOf(feed);
    const clients = Array.from({ length: 10 }, () => connect(hub));
    for (const { peer } of clients) peer.send(many(10, subscribe));
    await vi.waitFor(() => expect(counts.reads).toBe(4));
    for (const { connection } of clients) connection.terminate();
    await vi.waitFor(() => expect(hub.count()).toBe(0));
    open();
    await rest();
    expect(counts.reads).toBe(4);
  });
});
