/** The server's end of a WebSocket whose client takes what is sent only when the test says so. */
import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';

export interface SlowPeer {
  readonly socket: WebSocket;
  /** What the client sends, as one chunk. */
  send(frames: readonly Buffer[]): void;
  /** Bytes the client sent that the server has not read yet. */
  unread(): number;
  /** Bytes on their way to the client. */
  unsent(): number;
  /** Everything the client has taken, as text. */
  taken(): string;
  /** From now on it takes everything. */
  read(): void;
}

const OPCODES = { text: 0x81, ping: 0x89 } as const;

/** A short frame as clients send it. */
export function frameOf(kind: keyof typeof OPCODES, text = ''): Buffer {
  const payload = Buffer.from(text);
  // Masked with zeros.
  const head = Buffer.from([OPCODES[kind], 0x80 | payload.length, 0, 0, 0, 0]);
  return Buffer.concat([head, payload]);
}

/** Opens one; nothing but the answer to the upgrade is taken. */
export function openSlowPeer(): SlowPeer {
  let isReading = true;
  let held: (() => void) | null = null;
  let taken = '';
  const duplex = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      const take = (): void => {
        taken += chunk.toString('latin1');
        done();
      };
      if (isReading) take();
      else held = take;
    },
    final: (done) => done(),
  });
  const headers = {
    upgrade: 'websocket',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'sec-websocket-version': '13',
  };
  const server = new WebSocketServer({ noServer: true, autoPong: false });
  const request = { method: 'GET', headers } as unknown as IncomingMessage;
  const opened: WebSocket[] = [];
  server.handleUpgrade(request, duplex, Buffer.alloc(0), (ws) => opened.push(ws));
  const [socket] = opened;
  if (!socket) throw new Error('the upgrade was refused');
  isReading = false;
  taken = '';
  return {
    socket,
    send: (frames) => void duplex.push(Buffer.concat(frames)),
    unread: () => duplex.readableLength,
    unsent: () => duplex.writableLength,
    taken: () => taken,
    read() {
      isReading = true;
      held?.();
      held = null;
    },
  };
}
