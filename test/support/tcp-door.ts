/** A TCP door before a server, that can refuse, cut and stall connections. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface TcpDoor {
  readonly port: number;
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  /** Connections made so far. */
  connections(): number;
  /** Connections refused so far. */
  refusals(): number;
  /** Whether the mark has come out of the server. */
  hasSeenMark(): boolean;
  /** From now on lets nobody in, or everybody again. */
  refuse(isRefusing: boolean): void;
  /** Ends all connections at once. */
  cut(): void;
  /** Passes on nothing of what the server sends, or goes on with it. */
  stall(isStalled: boolean): void;
  close(): Promise<void>;
}

/** Opens a door to a port of this machine; `mark` is a text it looks out for. */
export async function openTcpDoor(target: number, mark = ''): Promise<TcpDoor> {
  const pairs = new Set<{ readonly inner: Socket; readonly outer: Socket }>();
  let made = 0;
  let refused = 0;
  let isRefusing = false;
  let isStalled = false;
  let hasSeen = false;
  const server = createServer((outer) => {
    if (isRefusing) {
      refused += 1;
      outer.destroy();
      return;
    }
    made += 1;
    const inner = connect(target, '127.0.0.1');
    let tail = '';
    const pair = { inner, outer };
    pairs.add(pair);
    const end = (): void => {
      pairs.delete(pair);
      inner.destroy();
      outer.destroy();
    };
    for (const socket of [inner, outer]) socket.on('error', end).on('close', end);
    outer.pipe(inner);
    inner.on('data', (chunk: Buffer) => {
      // It may come in two pieces.
      tail += chunk.toString('latin1');
      hasSeen ||= tail.includes(mark);
      tail = tail.slice(-mark.length);
      outer.write(chunk);
    });
    if (isStalled) inner.pause();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const cut = (): void => {
    for (const { inner, outer } of [...pairs]) {
      inner.destroy();
      outer.destroy();
    }
  };
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    connections: () => made,
    refusals: () => refused,
    hasSeenMark: () => hasSeen,
    refuse: (refusing) => void (isRefusing = refusing),
    cut,
    stall(stalled) {
      isStalled = stalled;
      for (const { inner } of pairs) {
        if (stalled) inner.pause();
        else inner.resume();
      }
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        cut();
      }),
  };
}
