/**
 * `/context-ws`: lets clients in, drops those whose key is no longer good or that are gone, says
 * good-bye (1001) when the server stops.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Express, Request } from 'express';
import { v7 as uuidV7 } from 'uuid';
import { WebSocketServer, type WebSocket } from 'ws';
import { toAppError, AppError, type ErrorCode } from '../../domain/errors.ts';
import { doorOf } from '../middleware/access.ts';
import { noteUpgrades } from '../middleware/plain-get.ts';
import { addressOf } from '../middleware/rate-limit.ts';
import type { ApiDeps, SocketMeasures } from '../ports.ts';
import { createChangeHub } from './change-hub.ts';
import { createConnection, type Connection } from './connection.ts';
import { chooseProtocol, identify, type Identity } from './identity.ts';
import { DEFAULT_SOCKET_LIMITS, MAX_FRAME_BYTES, type SocketLimits } from './limits.ts';
import { refuseUpgrade } from './refuse-upgrade.ts';

export const SOCKET_PATH = '/context-ws';

export interface ContextSocket {
  /** Takes over a connection that asks to become a WebSocket. Never throws. */
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Closes all with 1001, and those that do not answer at the deadline without a word. */
  stop(deadlineMs: number): Promise<void>;
  /** What is open now. */
  count(): { readonly connections: number; readonly subscriptions: number };
}

export type ContextSocketDeps = Pick<
  ApiDeps,
  'store' | 'waitForChange' | 'log' | 'clock' | 'ids' | 'measures'
> & { readonly socketLimits?: Partial<SocketLimits> };

const NO_MEASURES: SocketMeasures = {
  connection: () => undefined,
  subscriptions: () => undefined,
  sent: () => undefined,
  resynced: () => undefined,
  refused: () => undefined,
};
const REFUSALS: Partial<Record<ErrorCode, Parameters<SocketMeasures['refused']>[0]>> = {
  UNAUTHENTICATED: 'auth',
  FORBIDDEN: 'auth',
  ORIGIN_REFUSED: 'origin',
  RATE_LIMITED: 'limit',
  TOO_MANY_CONNECTIONS: 'limit',
};

/** The WebSocket door beside the HTTP one of `app`; it lets in whom that one does. */
export function createContextSocket(app: Express, deps: ContextSocketDeps): ContextSocket {
  const { log, clock, store, waitForChange, ids = uuidV7 } = deps;
  const door = doorOf(app);
  noteUpgrades(app);
  const measures = deps.measures?.sockets ?? NO_MEASURES;
  const limits = { ...DEFAULT_SOCKET_LIMITS, ...deps.socketLimits };
  const connections = new Set<Connection>();
  const { feedWatch: feed, contexts } = store;
  const { maxSubscriptions } = limits;
  const hub = createChangeHub({ feed, contexts, waitForChange, maxSubscriptions, measures, log });
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    // Compressing many small messages costs more memory and time than it saves.
    perMessageDeflate: false,
    // Those answers are counted with the others, in `outbound.ts`.
    autoPong: false,
    maxPayload: MAX_FRAME_BYTES,
    handleProtocols: chooseProtocol,
  });
  let entering = 0;
  let onEmpty: (() => void) | null = null;
  let isStopping = false;

  async function admit(req: IncomingMessage): Promise<Identity> {
    const [path, query] = (req.url ?? '/').split('?', 2);
    if (path !== SOCKET_PATH) throw new AppError('NOT_FOUND', `No WebSocket is at ${path}.`);
    if (query !== undefined) {
      throw new AppError('VALIDATION', 'The address takes no query; a key goes into a header.');
    }
    if (isStopping) throw new AppError('UNAVAILABLE', 'The server is stopping.');
    if (connections.size + entering > limits.maxConnections) {
      const detail = `This server has ${connections.size} connections already.`;
      throw new AppError('TOO_MANY_CONNECTIONS', detail);
    }
    // Express knows the address behind the proxies it is told to trust.
    const request = Object.setPrototypeOf(req, app.request) as Request;
    return identify(door, req, addressOf(request));
  }

  function serve(socket: WebSocket, identity: Identity): void {
    const { key } = identity;
    const onClosed = (closed: Connection): void => {
      connections.delete(closed);
      unwatch?.();
      measures.connection(-1);
      if (connections.size === 0) onEmpty?.();
    };
    const common = { hub, limits, measures, clock, log, onClosed };
    const connection = createConnection({ ...common, socket, identity });
    const goodBye = (): void => connection.close(1008, 'UNAUTHENTICATED');
    const unwatch = key === null ? null : door?.watch(key, goodBye);
    connections.add(connection);
    measures.connection(1);
    // The server may have begun to stop while the key was looked up.
    if (isStopping) connection.close(1001, 'the server is stopping');
  }

  const heartbeat = setInterval(() => {
    for (const connection of [...connections]) connection.heartbeat();
  }, limits.heartbeatMs);
  heartbeat.unref();

  return {
    upgrade(req, socket, head) {
      const onError = (): void => void socket.destroy();
      socket.on('error', onError);
      entering += 1;
      admit(req)
        .then((identity) => {
          socket.off('error', onError);
          server.handleUpgrade(req, socket, head, (ws) => serve(ws, identity));
        })
        .catch((thrown: unknown) => {
          const error = toAppError(thrown);
          if (error.status >= 500) log.warn({ err: thrown }, 'a WebSocket was refused');
          const reason = REFUSALS[error.code];
          if (reason) measures.refused(reason);
          refuseUpgrade(socket, error, ids());
        })
        .finally(() => (entering -= 1));
    },
    async stop(deadlineMs) {
      isStopping = true;
      clearInterval(heartbeat);
      if (connections.size === 0) return;
      const empty = new Promise<void>((resolve) => (onEmpty = resolve));
      for (const connection of connections) connection.close(1001, 'the server is stopping');
      const deadline = setTimeout(() => {
        for (const connection of [...connections]) connection.terminate();
      }, deadlineMs);
      await empty;
      clearTimeout(deadline);
    },
    count: () => ({ connections: connections.size, subscriptions: hub.count() }),
  };
}
