/**
 * Subscriptions over one WebSocket that comes back by itself. Each subscription remembers the
 * cursor of the last change it told, and goes on from there after a lost connection or a `resync`,
 * so that nothing is missed; what comes twice with the same fields is told once.
 */
import type { Change, ContextEnvelope, Json } from '../api/contract.ts';
import { closedError } from './closing.ts';
import type { Emitter } from './emitter.ts';
import {
  createLiveConnection,
  type LiveConnectionOptions,
  type Message,
} from './live-connection.ts';
import { SyncError } from './sync-error.ts';

/** Exactly one of `key`, `prefix`, `sessionId` and `tag`. */
export interface ContextFilter {
  readonly key?: string;
  /** Start of the keys; `''` is every key. */
  readonly prefix?: string;
  readonly sessionId?: string;
  readonly tag?: string;
  /** Members of the context and JSON pointers into its data that each change is to bring. */
  readonly fields?: readonly string[];
  /** Cursor after which to begin; left out: now. */
  readonly since?: string;
}

/** What a `contextChange` tells: the change, and what `fields` asked for. */
export type ContextChange = Change &
  Partial<Omit<ContextEnvelope, keyof Change>> & { readonly data?: Json };

export interface ClientEvents {
  /**
   * A context somebody subscribed to has changed. Told once, however many subscriptions it fits; once
   * more for each other list of `fields` among them.
   */
  contextChange: ContextChange;
  /** A subscription or the connection has trouble. The client goes on trying where that may help. */
  error: SyncError;
}

export interface Subscription {
  readonly filter: ContextFilter;
  /** Everything up to here was told; null while it is not subscribed yet. */
  readonly cursor: string | null;
}

export interface LiveFeed {
  /** Resolves when the server has taken it. @throws SyncError */
  subscribe(filter: ContextFilter): Promise<Subscription>;
  /** Nothing is told for it any more. Ends all that fit, if a filter is given. */
  unsubscribe(of: Subscription | ContextFilter): void;
  close(): void;
}

export type LiveFeedOptions = Omit<LiveConnectionOptions, 'onOpen' | 'onMessage' | 'onFailure'> & {
  readonly events: Emitter<ClientEvents>;
  /** For the server to take a subscription. */
  readonly timeoutMs: number;
};

/** A change that came in a replay may come live, too. */
const REMEMBERED_CURSORS = 5000;
/** The list of fields of a subscription without. */
const NO_FIELDS = '';
/** A subscription refused because the server is busy is tried again after this. */
const AGAIN_MS = 1000;

class Wanted implements Subscription {
  readonly id: string;
  readonly filter: ContextFilter;
  cursor: string | null;
  /** The server's name for it on this connection. */
  serverId: string | null = null;
  isTaken = false;
  readonly settle: { resolve(): void; reject(error: SyncError): void };

  constructor(id: string, filter: ContextFilter, settle: Wanted['settle']) {
    this.id = id;
    this.filter = filter;
    this.cursor = filter.since ?? null;
    this.settle = settle;
  }
}

/** A feed without subscriptions; it connects with the first one. */
export function createLiveFeed(options: LiveFeedOptions): LiveFeed {
  const { events, timeoutMs } = options;
  const wanted = new Map<string, Wanted>();
  const byServer = new Map<string, Wanted>();
  const told = createRecent(REMEMBERED_CURSORS);
  let made = 0;
  let isClosed = false;

  function send(each: Wanted): void {
    const { fields, since: _since, ...selector } = each.filter;
    const payload = {
      ...selector,
      ...(fields === undefined ? {} : { fields }),
      ...(each.cursor === null ? {} : { since: each.cursor }),
    };
    connection.send({ type: 'subscribe-context', id: each.id, payload });
  }

  function forget(each: Wanted): void {
    wanted.delete(each.id);
    if (each.serverId !== null) byServer.delete(each.serverId);
    if (wanted.size === 0) connection.rest();
  }

  function taken(message: Message): void {
    const { subscription = '', cursor } = message.payload;
    const each = wanted.get(message.id ?? '');
    if (!each) {
      // Unsubscribed while the server was at it.
      connection.send({ type: 'unsubscribe-context', payload: { subscription } });
      return;
    }
    each.serverId = subscription;
    each.cursor ??= cursor ?? null;
    each.isTaken = true;
    byServer.set(subscription, each);
    each.settle.resolve();
  }

  function changed(message: Message): void {
    const change = message.payload as unknown as ContextChange;
    let fields: string | null = null;
    for (const id of message.subscriptions ?? []) {
      const each = byServer.get(id);
      if (!each) continue;
      each.cursor = change.cursor;
      // The server sends one message for all with the same list of fields.
      fields = each.filter.fields?.join() ?? NO_FIELDS;
    }
    if (fields === null || !told.isNew(change.cursor, fields)) return;
    events.emit('contextChange', change);
  }

  function behind({ payload: { subscription = '', since } }: Message): void {
    const each = byServer.get(subscription);
    if (!each) return;
    byServer.delete(subscription);
    each.serverId = null;
    each.cursor = since ?? each.cursor;
    send(each);
  }

  function refused(message: Message): void {
    const { code = 'BAD_ANSWER', detail = 'The server refused it.' } = message.payload;
    const error = new SyncError(detail, { code: code as SyncError['code'], status: 0 });
    const each = wanted.get(message.id ?? '');
    if (!each?.isTaken) {
      if (each) forget(each);
      each?.settle.reject(error);
      events.emit('error', error);
      return;
    }
    events.emit('error', error);
    // What came after this cursor is gone; the listener knows now, and hears what comes next.
    const isLost = code === 'CURSOR_EXPIRED' || code === 'INVALID_CURSOR';
    if (isLost) each.cursor = null;
    setTimeout(
      () => {
        if (wanted.get(each.id) === each && each.serverId === null) send(each);
      },
      isLost ? 0 : AGAIN_MS,
    );
  }

  const handlers: Readonly<Record<string, (message: Message) => void>> = {
    subscribed: taken,
    'context-updated': changed,
    resync: behind,
    error: refused,
  };

  const connection = createLiveConnection({
    ...options,
    onOpen() {
      byServer.clear();
      for (const each of wanted.values()) {
        each.serverId = null;
        send(each);
      }
    },
    onMessage: (message) => handlers[message.type]?.(message),
    onFailure(error, isFinal) {
      events.emit('error', error);
      if (!isFinal) return;
      for (const each of [...wanted.values()]) {
        forget(each);
        each.settle.reject(error);
      }
    },
  });

  function subscribe(filter: ContextFilter): Promise<Subscription> {
    if (isClosed) return Promise.reject(closedError());
    made += 1;
    const id = String(made);
    const subscribed = new Promise<Subscription>((resolve, reject) => {
      const timer = setTimeout(() => {
        forget(each);
        const facts = { code: 'TIMEOUT', status: 0 } as const;
        reject(new SyncError(`No answer to the subscription within ${timeoutMs} ms.`, facts));
      }, timeoutMs);
      const each: Wanted = new Wanted(id, filter, {
        resolve() {
          clearTimeout(timer);
          resolve(each);
        },
        reject(error) {
          clearTimeout(timer);
          reject(error);
        },
      });
      wanted.set(id, each);
      if (connection.isOpen()) send(each);
      else connection.wake();
    });
    // Who does not wait for the answer hears of a refusal through the event `error`.
    subscribed.catch(() => undefined);
    return subscribed;
  }

  return {
    subscribe,
    unsubscribe(of) {
      for (const each of [...wanted.values()].filter((one) => isMeant(one, of))) {
        const { serverId } = each;
        forget(each);
        each.settle.reject(new SyncError('Unsubscribed.', { code: 'UNREACHABLE', status: 0 }));
        if (serverId === null) continue;
        connection.send({ type: 'unsubscribe-context', payload: { subscription: serverId } });
      }
    },
    close() {
      isClosed = true;
      connection.close();
      const error = closedError();
      for (const each of [...wanted.values()]) {
        wanted.delete(each.id);
        each.settle.reject(error);
      }
    },
  };
}

function isMeant(one: Wanted, of: Subscription | ContextFilter): boolean {
  if ('filter' in of) return one === of;
  const { key, prefix, sessionId, tag } = of;
  const { filter } = one;
  return (
    filter.key === key &&
    filter.prefix === prefix &&
    filter.sessionId === sessionId &&
    filter.tag === tag
  );
}

/** What was told of the last so many cursors, by the list of fields it was told with. */
function createRecent(limit: number): { isNew(cursor: string, fields: string): boolean } {
  const known = new Map<string, Set<string>>();
  return {
    isNew(cursor, fields) {
      const lists = known.get(cursor);
      // Told with fields, it has told all that it tells without.
      if (lists && (fields === NO_FIELDS || lists.has(fields))) return false;
      if (lists) lists.add(fields);
      else known.set(cursor, new Set([fields]));
      const [oldest] = known.keys();
      if (known.size > limit && oldest !== undefined) known.delete(oldest);
      return true;
    },
  };
}
