/** One WebSocket to `/context-ws` that is opened again, with back-off, until it is not needed. */
import type { OpenSocket, Socket } from './open-socket.ts';
import { SyncError, type ClientErrorCode } from './sync-error.ts';

/** A message of the server; which members there are depends on its type. */
export interface Message {
  readonly type: string;
  readonly id?: string;
  readonly subscriptions?: readonly string[];
  readonly payload: {
    readonly subscription?: string;
    readonly cursor?: string;
    readonly since?: string;
    readonly code?: string;
    readonly detail?: string;
  };
}

export interface LiveConnectionOptions {
  /** Of the API: `http://…` or `https://…`. */
  readonly url: string;
  readonly apiKey: string | null;
  readonly openSocket: OpenSocket;
  /** 0 to 1; spreads attempts to connect. */
  readonly random: () => number;
  /** Asks the API by HTTP whether we may come in: a browser does not say why it could not. */
  readonly probe: () => Promise<unknown>;
  readonly onOpen: () => void;
  readonly onMessage: (message: Message) => void;
  /** `isFinal`: trying again cannot help, and is not done. */
  readonly onFailure: (error: SyncError, isFinal: boolean) => void;
}

export interface LiveConnection {
  isOpen(): boolean;
  /** Connects, if it is not connected or connecting. */
  wake(): void;
  /** Does nothing while it is not open: the next `onOpen` says everything again. */
  send(message: object): void;
  /** Closes until the next {@link wake}. */
  rest(): void;
  /** Closes for ever. */
  close(): void;
}

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 10_000;
/** A server that has said nothing for so long after a ping is gone. */
const PING_MS = 20_000;
/** Codes of the event `error` that end all subscriptions: trying again cannot help. */
export const ENDING_CODES: ReadonlySet<ClientErrorCode> = new Set([
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'ORIGIN_REFUSED',
]);

/** A connection at rest. */
export function createLiveConnection(options: LiveConnectionOptions): LiveConnection {
  const { openSocket, random, probe, onOpen, onMessage, onFailure } = options;
  let state: 'resting' | 'connecting' | 'open' | 'closed' = 'resting';
  let socket: Socket | null = null;
  /** Counts attempts, so that one that was given up is known when it ends. */
  let attempts = 0;
  let failures = 0;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let ping: ReturnType<typeof setInterval> | undefined;
  let isSilent = false;

  function connect(): void {
    state = 'connecting';
    attempts += 1;
    const attempt = attempts;
    openSocket(socketUrl(options.url), protocolsOf(options.apiKey)).then(
      (opened) => {
        opened.onerror = () => undefined;
        // It may have been closed, or put to rest, while `ws` was loading.
        if (state !== 'connecting' || attempt !== attempts) opened.close();
        else attach(opened);
      },
      (cause: unknown) => {
        const detail = `${options.url} is no address of a WebSocket (${String(cause)}).`;
        fail(new SyncError(detail, { code: 'UNREACHABLE', status: 0, cause }), true);
      },
    );
  }

  function attach(opened: Socket): void {
    socket = opened;
    opened.onopen = () => {
      state = 'open';
      isSilent = false;
      ping = setInterval(beat, PING_MS);
      onOpen();
    };
    opened.onmessage = ({ data }) => {
      isSilent = false;
      failures = 0;
      if (typeof data === 'string') onMessage(JSON.parse(data) as Message);
    };
    opened.onclose = ({ code, reason }) => {
      if (socket === opened) lost(code, reason);
    };
  }

  function beat(): void {
    if (isSilent) {
      drop();
      lost(1006, '');
      return;
    }
    isSilent = true;
    send({ type: 'ping' });
  }

  /** Lets go of the socket without hearing from it again. */
  function drop(): void {
    clearInterval(ping);
    clearTimeout(retry);
    const left = socket;
    socket = null;
    left?.close(1000);
  }

  function lost(code: number, reason: string): void {
    clearInterval(ping);
    const wasOpen = state === 'open';
    socket = null;
    state = 'connecting';
    const delayMs = delayOf(failures, random);
    failures += 1;
    if (wasOpen && code !== 1008) {
      retry = setTimeout(connect, delayMs);
      return;
    }
    void explain(reason).then((error) => {
      if (state !== 'connecting' || socket !== null) return;
      if (ENDING_CODES.has(error.code)) fail(error, true);
      else {
        onFailure(error, false);
        retry = setTimeout(connect, delayMs);
      }
    });
  }

  async function explain(reason: string): Promise<SyncError> {
    const detail = `The WebSocket of ${options.url} cannot be opened${reason === '' ? '' : ` (${reason})`}.`;
    try {
      await probe();
    } catch (error) {
      if (error instanceof SyncError) return error;
    }
    return new SyncError(detail, { code: 'UNREACHABLE', status: 0 });
  }

  function fail(error: SyncError, isFinal: boolean): void {
    state = 'resting';
    onFailure(error, isFinal);
  }

  function send(message: object): void {
    if (state === 'open') socket?.send(JSON.stringify(message));
  }

  return {
    isOpen: () => state === 'open',
    wake() {
      if (state === 'resting') connect();
    },
    send,
    rest() {
      if (state === 'closed') return;
      state = 'resting';
      failures = 0;
      drop();
    },
    close() {
      state = 'closed';
      drop();
    },
  };
}

/** Doubles with each failure, half of it by chance. */
function delayOf(failures: number, random: () => number): number {
  const fullMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** failures);
  return fullMs / 2 + (random() * fullMs) / 2;
}

function socketUrl(url: string): string {
  return `${url.replace(/\/+$/, '').replace(/^http/i, 'ws')}/context-ws`;
}

/** Browsers can set no headers. A subprotocol takes few characters, so the key is encoded. */
function protocolsOf(apiKey: string | null): string[] {
  if (apiKey === null) return [];
  const encoded = encodeURIComponent(apiKey).replace(
    /[()]/g,
    (char) => `%${char.charCodeAt(0).toString(16)}`,
  );
  return ['syncline', `syncline.key.${encoded}`];
}
