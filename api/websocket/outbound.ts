/** What goes out on one WebSocket: never waits for the reader, never piles up without bound. */
import type { WebSocket } from 'ws';
import type { SocketMeasures } from '../ports.ts';
import type { Outgoing } from './messages.ts';
import type { Consumer } from './subscription.ts';

export interface Outbound extends Consumer {
  /** A short message, sent however slow the reader is. */
  tell(message: Outgoing, id?: string): void;
  /** To be called when the socket has closed. */
  gone(): void;
}

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
  const isCalm = (): boolean => isGone || socket.bufferedAmount <= maxBufferedBytes / CALM_PART;
  function onSent(): void {
    if (waiting.length === 0 || !isCalm()) return;
    const resumed = waiting;
    waiting = [];
    for (const resume of resumed) resume();
  }
  return {
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
      socket.send(JSON.stringify(id === undefined ? message : { ...message, id }), onSent);
      measures.sent(1);
    },
    gone() {
      isGone = true;
      onSent();
    },
  };
}
