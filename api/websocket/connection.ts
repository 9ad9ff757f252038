/** One WebSocket: reads its messages, keeps its subscriptions, ends with everything it held. */
import type { Logger } from 'pino';
import type { RawData, WebSocket } from 'ws';
import { AppError, ERROR_CODES, messageOf } from '../../domain/errors.ts';
import type { Clock } from '../../domain/clock.ts';
import type { SocketMeasures } from '../ports.ts';
import type { ChangeHub } from './change-hub.ts';
import type { Identity } from './identity.ts';
import { MAX_STRIKES, STRIKE_WINDOW_MS, type SocketLimits } from './limits.ts';
import { readMessage, requestIdOf, type Incoming } from './messages.ts';
import { createOutbound } from './outbound.ts';
import type { Selector } from './selector.ts';
import type { Subscription } from './subscription.ts';

export interface Connection {
  /** Asks the client for a sign of life; ends a connection that gave none since the last time. */
  heartbeat(): void;
  close(code: 1001 | 1008, reason: string): void;
  /** Ends it without a word. */
  terminate(): void;
}

export interface ConnectionDeps {
  readonly socket: WebSocket;
  readonly identity: Identity;
  readonly hub: ChangeHub;
  readonly limits: SocketLimits;
  readonly measures: SocketMeasures;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onClosed: (connection: Connection) => void;
}

type Subscribe = Extract<Incoming, { type: 'subscribe' }>;

/** Serves an open socket until it closes. */
export function createConnection(deps: ConnectionDeps): Connection {
  const { socket, identity, hub, limits, measures, clock, log } = deps;
  const out = createOutbound(socket, limits.maxBufferedBytes, measures);
  const subscriptions = new Map<string, Subscription>();
  let made = 0;
  /** Those that wait to begin; some may have ended meanwhile. */
  let opening = 0;
  let isAlive = true;
  let strikes: number[] = [];

  function close(subscription: Subscription): void {
    subscriptions.delete(subscription.id);
    hub.close(subscription);
  }

  function fail(error: unknown, id: string | undefined, subscription?: string): void {
    const known = error instanceof AppError ? error : new AppError('INTERNAL', messageOf(error));
    if (known.status >= 500) log.error({ err: error }, `websocket: ${known.code}`);
    const detail = known.code === 'INTERNAL' ? ERROR_CODES.INTERNAL[2] : known.message;
    const ended = subscription === undefined ? {} : { subscription };
    out.tell({ type: 'error', payload: { code: known.code, detail, ...ended } }, id);
  }

  function subscribe({ selector, since, fields, id: request }: Subscribe): void {
    const count = Math.max(subscriptions.size, opening);
    if (count >= limits.maxSubscriptionsPerConnection) {
      const detail = `This connection has ${count} subscriptions already.`;
      throw new AppError('TOO_MANY_SUBSCRIPTIONS', detail);
    }
    made += 1;
    const id = String(made);
    const subscription: Subscription = {
      id,
      tenant: identity.tenant,
      selector,
      fields,
      since,
      consumer: out,
      onBehind(from) {
        close(subscription);
        measures.resynced();
        out.tell({ type: 'resync', payload: { subscription: id, since: from } });
      },
      after: null,
      before: null,
      held: null,
      hasOverflowed: false,
      isEnded: false,
    };
    subscriptions.set(id, subscription);
    const onReady = (cursor: string): void =>
      out.tell({ type: 'subscribed', payload: { subscription: id, cursor } }, request);
    opening += 1;
    hub
      .open(subscription, onReady)
      .catch((error: unknown) => {
        // Whoever has unsubscribed meanwhile does not care.
        if (!subscription.isEnded) fail(error, request, id);
        close(subscription);
      })
      .finally(() => (opening -= 1));
  }

  function unsubscribe(of: string | Selector, request: string | undefined): void {
    const ended = [...subscriptions.values()].filter(({ id, selector }) =>
      typeof of === 'string' ? id === of : selector.kind === of.kind && selector.value === of.value,
    );
    if (ended.length === 0) throw new AppError('NOT_FOUND', 'There is no such subscription.');
    for (const subscription of ended) {
      close(subscription);
      out.tell({ type: 'unsubscribed', payload: { subscription: subscription.id } }, request);
    }
  }

  function strike(): void {
    const now = clock.now();
    strikes = [...strikes.filter((at) => at > now - STRIKE_WINDOW_MS), now];
    if (strikes.length >= MAX_STRIKES) connection.close(1008, 'too many bad messages');
  }

  function receive(data: RawData, isBinary: boolean): void {
    let message: Incoming;
    const bytes = bytesOf(data);
    try {
      message = readMessage(bytes, isBinary);
    } catch (error) {
      fail(error, requestIdOf(bytes));
      strike();
      return;
    }
    try {
      if (message.type === 'subscribe') subscribe(message);
      else if (message.type === 'unsubscribe') unsubscribe(message.of, message.id);
      else out.tell({ type: 'pong' }, message.id);
    } catch (error) {
      fail(error, message.id);
      // To have asked for more than there is room for is no abuse.
      if (error instanceof AppError && error.code !== 'TOO_MANY_SUBSCRIPTIONS') strike();
    }
  }

  /** Hears no more of a client that does not take its answers, until it has. */
  function pauseIfFull(): void {
    if (socket.isPaused || socket.readyState !== socket.OPEN || !out.isFull()) return;
    socket.pause();
    void out.calm().then(() => {
      // What it sent meanwhile, a pong perhaps, could not be heard; that it reads shows life, too.
      isAlive = true;
      socket.resume();
    });
  }

  function end(code: 1001 | 1008, reason: string): void {
    socket.close(code, reason);
    // Its good-bye must be heard; nothing else is any more.
    if (socket.isPaused) socket.resume();
  }

  const connection: Connection = {
    heartbeat() {
      if (!isAlive) {
        socket.terminate();
        return;
      }
      isAlive = false;
      socket.ping();
    },
    close: end,
    terminate: () => socket.terminate(),
  };

  // What is still on its way in after we have closed is not for us.
  socket.on('message', (data, isBinary) => {
    isAlive = true;
    if (socket.readyState === socket.OPEN) receive(data, isBinary);
    pauseIfFull();
  });
  socket.on('ping', (data) => {
    if (socket.readyState === socket.OPEN) out.pong(data);
    pauseIfFull();
  });
  socket.on('pong', () => void (isAlive = true));
  // A broken frame closes the socket; there is nobody left to tell.
  socket.on('error', (error) => log.debug({ error: error.message }, 'websocket'));
  socket.on('close', () => {
    out.gone();
    for (const subscription of [...subscriptions.values()]) close(subscription);
    deps.onClosed(connection);
  });
  return connection;
}

function bytesOf(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data;
}
