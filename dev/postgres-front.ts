/**
 * Many clients on one PGlite. PGlite is a single session, and its own socket server passes single
 * protocol messages on in turn, which mixes up the unnamed statements of clients that speak at
 * once (measured: wrong rows in one of six queries). Here a client keeps the session from its
 * first message until Postgres says it is ready again and outside a transaction.
 * Shared by all clients, because there is one session: `SET` without LOCAL, advisory locks.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { PGlite } from '@electric-sql/pglite';
import { LOOPBACK } from './ports.ts';
import { createTurns, type Turns } from './turns.ts';
import {
  endsReady,
  errorResponse,
  isBatchPart,
  queryMessage,
  readFrontendMessages,
  scopeStatementName,
  SYNC_MESSAGE,
  TAIL_BYTES,
  type FrontendMessage,
} from './postgres-wire.ts';

export interface PostgresFrontOptions {
  readonly db: PGlite;
  /** A client that keeps the session this long without a word is thrown out, in milliseconds. */
  readonly maxSilenceMs: number;
  /** PGlite itself broke: its memory is not to be trusted any more. */
  readonly onBroken: (cause: unknown) => void;
}

export interface PostgresFront {
  readonly port: number;
  /** Refuses new clients and closes the ones there are. */
  stop(): Promise<void>;
}

/** State of one client's connection. */
interface Session {
  readonly id: number;
  readonly socket: Socket;
  readonly statements: Set<string>;
  /** Whether it has the one Postgres session just now. */
  hasTurn: boolean;
  /** Parts of an extended query that wait for its Sync. */
  batch: Uint8Array[];
  /** The last bytes Postgres sent, to see where it stands. */
  tail: Buffer;
}

interface Context extends PostgresFrontOptions {
  readonly turns: Turns;
}

/** Listens on `port`, or on any free one when that is taken. Errors: what listening throws. */
export async function startPostgresFront(
  options: PostgresFrontOptions,
  port: number,
): Promise<PostgresFront> {
  const context: Context = { ...options, turns: createTurns() };
  const sockets = new Set<Socket>();
  let nextId = 1;
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => undefined); // a client that dies is an ordinary end
    const session: Session = {
      id: nextId++,
      socket,
      statements: new Set(),
      hasTurn: false,
      batch: [],
      tail: Buffer.alloc(0),
    };
    socket.on('timeout', () => throwOut(context, session));
    void serve(context, session);
  });
  const actual = await listen(server, port).catch(() => listen(server, 0));
  return {
    port: actual,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

async function serve(context: Context, session: Session): Promise<void> {
  try {
    for await (const message of readFrontendMessages(session.socket)) {
      if (message.type === 'terminate') break;
      await handle(context, session, message);
    }
  } catch {
    // The client broke off, or spoke something that is not Postgres: both end it below.
  } finally {
    await leave(context, session);
    session.socket.destroy();
  }
}

async function handle(context: Context, session: Session, message: FrontendMessage): Promise<void> {
  const scoped = scopeStatementName(message, session.id, session.statements);
  session.batch.push(scoped);
  // The parts of one extended query are answered together when its Sync (or Flush) arrives.
  if (isBatchPart(message)) return;
  const bytes = Buffer.concat(session.batch);
  session.batch = [];
  session.socket.setTimeout(0);
  if (!session.hasTurn) {
    await context.turns.take();
    session.hasTurn = true;
  }
  await send(context, session, bytes);
  if (endsReady(session.tail) === 'idle') release(context, session);
  else session.socket.setTimeout(context.maxSilenceMs);
}

/** Passes one message to Postgres and its answer to the client. */
async function send(context: Context, session: Session, bytes: Uint8Array): Promise<void> {
  const sent = { isAllOut: true };
  session.tail = Buffer.alloc(0);
  try {
    await context.db.execProtocolRawStream(bytes, {
      onRawData: (data) => {
        const copy = Buffer.from(data);
        session.tail = Buffer.concat([session.tail, copy.subarray(-TAIL_BYTES)]).subarray(
          -TAIL_BYTES,
        );
        if (session.socket.writable) sent.isAllOut = session.socket.write(copy);
      },
    });
  } catch (cause) {
    session.socket.end(errorResponse('FATAL', 'XX000', 'the embedded Postgres broke'));
    context.onBroken(cause);
    throw cause;
  }
  if (!sent.isAllOut) await drained(session.socket);
}

function throwOut(context: Context, session: Session): void {
  const seconds = Math.round(context.maxSilenceMs / 1000);
  const text = `the embedded Postgres has one session, and this client kept it silently for ${seconds} s`;
  session.socket.end(errorResponse('FATAL', '25P03', text));
  session.socket.destroySoon();
}

function release(context: Context, session: Session): void {
  session.hasTurn = false;
  context.turns.pass();
}

/** Leaves the session clean for the next client: no open batch, transaction or statement. */
async function leave(context: Context, session: Session): Promise<void> {
  if (!session.hasTurn && session.statements.size === 0) return;
  if (!session.hasTurn) await context.turns.take();
  try {
    if (session.hasTurn) {
      await sendQuietly(context.db, SYNC_MESSAGE);
      await sendQuietly(context.db, queryMessage('ROLLBACK'));
    }
    for (const name of session.statements) {
      await sendQuietly(context.db, queryMessage(`DEALLOCATE "${name.replaceAll('"', '""')}"`));
    }
  } catch (cause) {
    context.onBroken(cause);
  } finally {
    release(context, session);
  }
}

/** The answer must have a taker: without one PGlite hands it to the client before. */
async function sendQuietly(db: PGlite, bytes: Uint8Array): Promise<void> {
  await db.execProtocolRawStream(bytes, { onRawData: () => undefined });
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) {
      resolve();
      return;
    }
    const done = (): void => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: LOOPBACK, exclusive: true }, () => {
      server.off('error', reject);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}
