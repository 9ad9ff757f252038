/** A bare WebSocket to an API, for tests that speak the protocol themselves. */
import { vi } from 'vitest';
import { WebSocket, type ClientOptions } from 'ws';

/** A message of the server; tests look into it freely. */
export interface TestMessage {
  readonly type: string;
  readonly id?: string;
  readonly subscriptions?: readonly string[];
  readonly payload: Readonly<Record<string, unknown>>;
}

export interface TestSocket {
  readonly socket: WebSocket;
  /** Everything that came, in order. */
  readonly messages: TestMessage[];
  send(message: unknown): void;
  /** Resolves with the first message of this type, come or coming; it is taken out. */
  take(type: string): Promise<TestMessage>;
  /** Subscribes, and resolves with the answer. */
  subscribe(payload: object): Promise<{ subscription: string; cursor: string }>;
  /** Payloads of updates so far. */
  updates(): Readonly<Record<string, unknown>>[];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  close(): void;
}

/** Opens one. @throws Error `Unexpected server response: 401` and the like */
export async function openSocket(
  apiUrl: string,
  options: ClientOptions & { readonly protocols?: string[]; readonly path?: string } = {},
): Promise<TestSocket> {
  const { protocols = [], path = '/context-ws', ...rest } = options;
  const socket = new WebSocket(apiUrl.replace(/^http/, 'ws') + path, protocols, rest);
  const messages: TestMessage[] = [];
  socket.on('message', (data) => {
    messages.push(JSON.parse((data as Buffer).toString()) as TestMessage);
  });
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('open', () => resolve());
    socket.once('error', reject);
  });
  socket.on('error', () => undefined);
  const send = (message: unknown): void =>
    socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  const take = async (type: string): Promise<TestMessage> =>
    vi.waitFor(
      () => {
        const at = messages.findIndex((each) => each.type === type);
        if (at < 0) throw new Error(`no ${type}, but ${JSON.stringify(messages.slice(-5))}`);
        return messages.splice(at, 1)[0]!;
      },
      { timeout: 10_000, interval: 5 },
    );
  return {
    socket,
    messages,
    send,
    take,
    async subscribe(payload) {
      send({ type: 'subscribe-context', payload });
      const { payload: answer } = await take('subscribed');
      return answer as { subscription: string; cursor: string };
    },
    updates: () =>
      messages.filter((each) => each.type === 'context-updated').map((each) => each.payload),
    closed,
    close: () => socket.close(),
  };
}
