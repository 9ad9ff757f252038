/** What goes out on one WebSocket: never waits for the reader, never piles up without bound. */
import type { WebSocket } from 'ws';
import type { SocketMeasures } from '../ports.ts';
import type { Outgoing } from './messages.ts';
import type { Consumer } from './subscription.ts';
import { createTurns } from './turns.ts';

export interface Outbound extends Consumer {
  /** A short message, sent however slow the reader is: who asks for them must heed `isFull`. */
  tell(message: Outgoing, id?: string): void;
  /** Answers a ping of the protocol. */
  pong(data: Buffer): void;
  /** Whether so much is on its way that the client should be heard no further until `calm`. */
  isFull(): boolean;
  /** To be called when the socket has closed. */
  gone(): void;
}

/** Short messages on their way; each takes far more memory than its few bytes. */
const MAX_UNSENT = 1000;
/** Replays to one client at once, and so the pages of the feed that may wait for a slow one. */
const MAX_REPLAYS = 2;
/** Replays pause while more than this part of the bound is on its way. */
const CALM_PART = 4;
const TEXT = { binary: false } as const;

/** The way out of an open socket. */
export function createOutbound(
  socket: WebSocket,
  maxBufferedBytes: number,
  measures: SocketMeasures,
): Outbound {
  let waiting: (() => void)[] = [];
  let isGone = false;
  let unsent = 0;
  const fits = (part: number): boolean =>
    socket.bufferedAmount <= maxBufferedBytes / part && unsent <= MAX_UNSENT / part;
  const isCalm = (): boolean => isGone || fits(CALM_PART);
  function onAnswered(): void {
    unsent -= 1;
    onSent();
  }
  function onSent(): void {
    if (waiting.length === 0 || !isCalm()) return;
    const resumed = waiting;
    waiting = [];
    for (const resume of resumed) resume();
  }
  return {
    replays: createTurns(MAX_REPLAYS),
    offer(message) {
      if (isGone || socket.bufferedAmount > maxBufferedBytes) return false;
      socket.send(message, TEXT, onSent);
      measures.sent(1);
      return true;
    },
    async calm() {
      if (!isCalm()) await new Promise<void>((resolve) => waiting.push(resolve));
    },
    tell(message, id) {
      if (isGone) return;
      unsent += 1;
      socket.send(JSON.stringify(id === undefined ? message : { ...message, id }), onAnswered);
      measures.sent(1);
    },
    pong(data) {
      if (isGone) return;
      unsent += 1;
      socket.pong(data, false, onAnswered);
    },
    isFull: () => !isGone && !fits(1),
    gone() {
      isGone = true;
      onSent();
    },
  };
}
