/**
 * From commit to delivery: how long after its acknowledged commit a change is in the hands of a
 * subscriber's socket in the same process, and of a client on the other end of it, with 5,000
 * subscriptions open.
 */
import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import pg from 'pg';
import { pino } from 'pino';
import { WebSocket } from 'ws';
import { createChangeHub } from '../api/websocket/change-hub.ts';
import type { Subscription } from '../api/websocket/subscription.ts';
import { createTurns } from '../api/websocket/turns.ts';
import { systemClock } from '../domain/clock.ts';
import type { ContextKey, TenantId } from '../domain/ids.ts';
import { migrate } from '../main/migrate.ts';
import type { FeedWatch } from '../store/contract.ts';
import { createStore } from '../store/create-store.ts';
import { createDatabase } from '../store/database.ts';
import { waiter } from '../test/support/real-api.ts';
import { startTestApi, testApiDeps } from '../test/support/api-under-test.ts';
import { startBenchPostgres } from './bench-postgres.ts';
import { table } from './figures.ts';
import { describeMachine } from './machine.ts';
import type { Bench } from './main.ts';

const SUBSCRIPTIONS = 5_000;
const WRITES = 200;
const TENANT = 'default' as TenantId;
const NO_MEASURES = {
  connection: () => undefined,
  subscriptions: () => undefined,
  sent: () => undefined,
  resynced: () => undefined,
  refused: () => undefined,
};

interface Figures {
  readonly what: string;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export const webSocketLatency: Bench = {
  about: 'time from a commit to its delivery to a subscriber, with 5,000 subscriptions',
  usage: '',
  async run() {
    const postgres = await startBenchPostgres();
    try {
      console.log(`${describeMachine()}, ${postgres.name}`);
      const rows = await onNewDatabase(postgres.url);
      console.log(
        table(
          ['', 'p50 ms', 'p95 ms', 'p99 ms'],
          rows.map(({ what, p50, p95, p99 }) => [what, String(p50), String(p95), String(p99)]),
        ),
      );
    } finally {
      await postgres.stop();
    }
  },
};

async function onNewDatabase(adminUrl: string): Promise<readonly Figures[]> {
  const name = `bench_ws_${randomUUID().slice(0, 8)}`;
  const admin = new pg.Client({ connectionString: adminUrl });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  try {
    return await measure(url.href);
  } finally {
    await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await admin.end();
  }
}

async function measure(url: string): Promise<readonly Figures[]> {
  await migrate(url);
  const database = createDatabase({ url, poolMin: 4, poolMax: 10 });
  const waiting = new Set<() => void>();
  let committedAt = 0;
  const store = createStore({
    database,
    clock: systemClock,
    newId: randomUUID,
    maxContextBytes: 1_000_000,
    onCommitted() {
      committedAt = performance.now();
      for (const wake of waiting) wake();
    },
  });
  const waitForChange = waiter(waiting);
  const hub = createChangeHub({
    feed: store.feedWatch,
    contexts: store.contexts,
    waitForChange,
    maxSubscriptions: SUBSCRIPTIONS * 2,
    measures: NO_MEASURES,
    log: pino({ level: 'silent' }),
  });
  let onDelivered: () => void = () => undefined;
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: SUBSCRIPTIONS }, (_, nth) => open(hub, nth, () => onDelivered())),
  );
  console.log(
    `${SUBSCRIPTIONS} subscriptions made in ${(performance.now() - begun).toFixed(0)} ms`,
  );

  const write = async (nth: number): Promise<void> => {
    const key = `bench/${nth % SUBSCRIPTIONS}` as ContextKey;
    await store.contexts.store({ tenant: TENANT, actor: null }, { key, data: nth, options: {} });
  };
  const inProcess = await times(
    write,
    () => new Promise((resolve) => (onDelivered = resolve)),
    () => committedAt,
  );

  const api = await startTestApi(testApiDeps(store, { waitForChange }));
  const socket = new WebSocket(`${api.url.replace('http', 'ws')}/context-ws`);
  let onMessage: () => void = () => undefined;
  const first = new Promise<void>((resolve) => (onMessage = resolve));
  socket.on('message', () => onMessage());
  socket.on('open', () => {
    socket.send(JSON.stringify({ type: 'subscribe-context', payload: { prefix: 'bench/' } }));
  });
  await first;
  onDelivered = () => undefined;
  const overSocket = await times(
    write,
    () => new Promise((resolve) => (onMessage = resolve)),
    () => committedAt,
  );
  const empty = await readTimes(store.feedWatch);
  socket.close();
  await api.stop(1000);
  await store.close();
  return [
    figuresOf('one look at the feed (nothing new)', empty),
    figuresOf('commit → delivered in process, 5,000 subscriptions', inProcess),
    figuresOf('commit → received over a socket', overSocket),
  ];
}

function open(
  hub: ReturnType<typeof createChangeHub>,
  nth: number,
  onDelivered: () => void,
): Promise<void> {
  const subscription: Subscription = {
    id: String(nth),
    tenant: TENANT,
    selector: { kind: 'key', value: `bench/${nth}` },
    fields: null,
    since: null,
    consumer: {
      offer() {
        onDelivered();
        return true;
      },
      calm: async () => undefined,
      replays: createTurns(1),
    },
    onBehind: () => undefined,
    after: null,
    before: null,
    held: null,
    hasOverflowed: false,
    isEnded: false,
  };
  return new Promise((resolve, reject) => {
    hub.open(subscription, () => resolve()).catch(reject);
  });
}

/** Time from the commit of each write to its delivery, ms. */
async function times(
  write: (nth: number) => Promise<void>,
  delivery: () => Promise<void>,
  committedAt: () => number,
): Promise<number[]> {
  const found: number[] = [];
  for (let nth = 0; nth < WRITES; nth += 1) {
    const delivered = delivery().then(() => performance.now());
    await write(nth);
    found.push((await delivered) - committedAt());
  }
  return found;
}

async function readTimes(feed: FeedWatch): Promise<number[]> {
  const after = await feed.head(TENANT);
  const found: number[] = [];
  for (let nth = 0; nth < WRITES; nth += 1) {
    const begun = performance.now();
    await feed.look(TENANT, { after, limit: 500 }, () => found.push(performance.now() - begun));
  }
  return found;
}

function figuresOf(what: string, all: readonly number[]): Figures {
  const sorted = [...all].sort((a, b) => a - b);
  const at = (part: number): number =>
    Number((sorted[Math.floor(sorted.length * part)] ?? 0).toFixed(2));
  return { what, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}
