/**
 * A door in front of Postgres that can be told to pull the plug at one commit of the sync engine:
 * just before the server hears of it, or just after it is durable but before anyone is told. It
 * reads the client's messages (protocol 3.0: type byte, length, body) and changes none.
 */
import { connect, createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { LOOPBACK } from '../../dev/ports.ts';

export interface KillPoint {
  /** Which writing transaction of the engine after arming, from 1. */
  readonly nth: number;
  readonly when: 'before' | 'after';
}

/** `settle`: a remote may have been written since the commit before. */
export type EngineCommit = 'settle' | 'other';

export interface CommitProxy {
  /** The database's URL through this door. */
  readonly url: string;
  /** The engine's writing transactions since the last {@link arm}: what each was. */
  seen(): readonly EngineCommit[];
  /** Whether the point was reached. */
  isReached(): boolean;
  /** Counts from zero again; at the point (if any) it calls back once and goes deaf. */
  arm(point: KillPoint | null, onReached?: () => void): void;
  close(): Promise<void>;
}

/** Every transaction of the engine names the fence it runs under; nobody else's does. */
const ENGINE = /\bfence\b/;
const WRITES = /\b(?:INSERT INTO|UPDATE \w+(?: \w+)?\s+SET|DELETE FROM)\b/;
const SETTLES = /\bUPDATE sync_ops o SET state = m\.state\b/;

export async function startCommitProxy(databaseUrl: string): Promise<CommitProxy> {
  const target = new URL(databaseUrl);
  const state = {
    point: null as KillPoint | null,
    onReached: (): void => undefined,
    seen: [] as EngineCommit[],
    isDeaf: false,
  };
  const sockets = new Set<Socket>();

  function reach(): void {
    state.isDeaf = true;
    state.onReached();
    // The client is dead by now; what it had open must not stay open on the server.
    for (const socket of sockets) socket.destroy();
  }

  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    sockets.add(client).add(upstream);
    const transaction = { sql: '', isLast: false };
    const messages = messageReader((sql) => {
      if (sql !== 'COMMIT') {
        transaction.sql = sql.startsWith('BEGIN') ? sql : `${transaction.sql};${sql}`;
        return true;
      }
      if (!ENGINE.test(transaction.sql) || !WRITES.test(transaction.sql)) return true;
      state.seen.push(SETTLES.test(transaction.sql) ? 'settle' : 'other');
      if (state.point?.nth !== state.seen.length) return true;
      transaction.isLast = state.point.when === 'after';
      return transaction.isLast;
    });
    client.on('data', (chunk: Buffer) => {
      if (state.isDeaf) return;
      if (messages(chunk)) upstream.write(chunk);
      else reach();
    });
    upstream.on('data', (chunk: Buffer) => {
      if (state.isDeaf) return;
      if (transaction.isLast) reach();
      else client.write(chunk);
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
  const url = new URL(databaseUrl);
  url.hostname = LOOPBACK;
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    seen: () => state.seen,
    isReached: () => state.isDeaf,
    arm(point, onReached = () => undefined) {
      Object.assign(state, { point, onReached, seen: [], isDeaf: false });
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/**
 * Takes what a client sends, chunk by chunk, and tells the SQL of each Query and Parse message.
 * Answers false as soon as `onSql` does: the chunk must not go on.
 */
function messageReader(onSql: (sql: string) => boolean): (chunk: Buffer) => boolean {
  let rest = Buffer.alloc(0);
  let isStarted = false;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const head = isStarted ? 1 : 0;
      if (rest.length < head + 4) return true;
      const end = head + rest.readInt32BE(head);
      if (rest.length < end) return true;
      const message = rest.subarray(0, end);
      rest = rest.subarray(end);
      // The first message has no type; node-postgres asks for no encryption.
      if (!isStarted) isStarted = true;
      else if (!onSql(sqlOf(message))) return false;
    }
  };
}

function sqlOf(message: Buffer): string {
  const type = String.fromCharCode(message[0]!);
  if (type === 'Q') return message.toString('utf8', 5, message.length - 1);
  if (type !== 'P') return '';
  const name = message.indexOf(0, 5);
  return message.toString('utf8', name + 1, message.indexOf(0, name + 1));
}
