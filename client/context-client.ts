/**
 * The client: typed calls over `fetch`, subscriptions over a WebSocket, for Node 20+ and browsers.
 * Imports nothing of Node.
 */
import type {
  Analytics,
  AnalyticsQuery,
  BatchOperation,
  BatchResult,
  ChangePage,
  ConnectorRow,
  Context,
  ContextDiff,
  ContextEnvelope,
  Deleted,
  Health,
  Page,
  Rollback,
  SearchAnswer,
  SearchOptions,
  StoreOptions,
  UpdateOptions,
  VersionRow,
} from '../api/contract.ts';
import {
  conflictCalls,
  linkCalls,
  runCalls,
  type ConflictCalls,
  type LinkCalls,
  type PageQuery,
  type RunCalls,
} from './sync-calls.ts';
import {
  auditLogCalls,
  keyCalls,
  tenantCalls,
  type AuditLogCalls,
  type KeyCalls,
  type TenantCalls,
} from './admin-calls.ts';
import { createClosing, type Closing } from './closing.ts';
import { doctorCalls, type DoctorCalls } from './doctor-calls.ts';
import { encryptionCalls, type EncryptionCalls } from './encryption-calls.ts';
import { createEmitter, type Emitter, type Listener } from './emitter.ts';
import {
  createLiveFeed,
  type ClientEvents,
  type ContextFilter,
  type LiveFeed,
  type Subscription,
} from './live-feed.ts';
import { createOwnWrites, type OwnWrites } from './own-writes.ts';
import { openSocket, type OpenSocket } from './open-socket.ts';
import { SyncError } from './sync-error.ts';
import { transferCalls, type TransferCalls } from './transfer-calls.ts';
import {
  createTransport,
  type CallOptions,
  type Transport,
  type TransportOptions,
} from './transport.ts';

export interface ClientOptions {
  /** Default `http://127.0.0.1:3100`. */
  readonly url?: string;
  readonly apiKey?: string;
  /** For one answer; default 30,000. */
  readonly timeoutMs?: number;
  /**
   * How often a call is tried again that found no answer, or one that says "later"; default 2.
   * Writes, too: each carries an `Idempotency-Key`, so that it is done once.
   */
  readonly retries?: number;
  readonly fetch?: typeof fetch;
  /** 0 to 1; spreads retries. Default `Math.random`. */
  readonly random?: () => number;
  /** Makes an `Idempotency-Key`; default 128 random bits. */
  readonly newKey?: () => string;
  readonly openSocket?: OpenSocket;
}

export interface ListQuery extends PageQuery {
  readonly prefix?: string;
  /** Contexts that have all of them. */
  readonly tag?: string | readonly string[];
  readonly sessionId?: string;
  readonly agentId?: string;
  readonly parent?: string;
  readonly source?: string;
}

export interface ChangesQuery {
  /** Cursor of the page before; left out: the oldest kept; `now`: only the head's cursor. */
  readonly since?: string;
  readonly limit?: number;
  /** Seconds to wait for a change, at most 30. */
  readonly wait?: number;
}

const DEFAULT_URL = 'http://127.0.0.1:3100';
const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_RETRIES = 2;
const READ = { isRepeatable: true } as const;
/**
 * A write whose answer was lost may have happened: done again it would make one more version, or
 * meet its own first write under `ifVersion`. So the transport sends it with an `Idempotency-Key`.
 */
const WRITE = { isRepeatable: false } as const;

const pathOf = (call: string, key: string): string =>
  `/api/context/${call}/${encodeURIComponent(key)}`;

/** Every call throws {@link SyncError} with the API's code when it does not succeed. */
export class ContextClient {
  readonly url: string;
  readonly links: LinkCalls;
  readonly runs: RunCalls;
  readonly conflicts: ConflictCalls;
  readonly doctor: DoctorCalls;
  readonly encryption: EncryptionCalls;
  readonly keys: KeyCalls;
  readonly tenants: TenantCalls;
  readonly auditLog: AuditLogCalls;
  readonly transfer: TransferCalls;
  readonly #transport: Transport;
  readonly #closing: Closing = createClosing();
  readonly #events: Emitter<ClientEvents> = createEmitter();
  readonly #live: LiveFeed;
  readonly #ownWrites: OwnWrites = createOwnWrites(() => performance.now());

  /** @throws SyncError VALIDATION for an option there is none of, e.g. a misspelt one */
  constructor(options: ClientOptions = {}) {
    requireKnown(options);
    this.url = options.url ?? DEFAULT_URL;
    const transport: TransportOptions = {
      url: this.url,
      apiKey: options.apiKey ?? null,
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      retries: options.retries ?? DEFAULT_RETRIES,
      // Browsers want fetch to be called on the window.
      fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
      random: options.random ?? Math.random,
      newKey: options.newKey ?? randomKey,
    };
    this.#transport = createTransport(transport, this.#closing);
    this.transfer = transferCalls(transport, this.#closing);
    this.#live = createLiveFeed({
      url: this.url,
      apiKey: options.apiKey ?? null,
      openSocket: options.openSocket ?? openSocket,
      random: options.random ?? Math.random,
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      probe: () => this.changes({ since: 'now' }),
      events: this.#events,
    });
    this.links = linkCalls(this.#transport);
    this.runs = runCalls(this.#transport);
    this.conflicts = conflictCalls(this.#transport);
    this.doctor = doctorCalls(this.#transport);
    this.encryption = encryptionCalls(this.#transport);
    this.keys = keyCalls(this.#transport);
    this.tenants = tenantCalls(this.#transport);
    this.auditLog = auditLogCalls(this.#transport);
  }

  /**
   * Proof that the server answers and takes the key, whatever its scopes.
   * @throws SyncError UNREACHABLE, UNAVAILABLE, UNAUTHENTICATED, ORIGIN_REFUSED, RATE_LIMITED
   */
  async initialize(): Promise<void> {
    const health = await this.health();
    if (health.status === 'unavailable')
      throw new SyncError('The server answers, but its database does not.', {
        code: 'UNAVAILABLE',
        status: 503,
      });
    try {
      // Any cheap call that wants a key would do.
      await this.changes({ since: 'now' });
    } catch (error) {
      // Refused for its scopes only: the key itself is good.
      if (!(error instanceof SyncError) || error.code !== 'FORBIDDEN') throw error;
    }
  }

  /** Creates, or replaces with a new version. */
  store(key: string, data: unknown, options?: StoreOptions): Promise<ContextEnvelope> {
    const body = { key, data, options };
    return this.#write('POST', '/api/context/store', { body });
  }

  /** The context, or null when there is none. Never older than what this client wrote itself. */
  async get(
    key: string,
    query: { readonly version?: number; readonly fields?: readonly string[] } = {},
  ): Promise<Context | null> {
    const { version, fields } = query;
    const path = pathOf('get', key);
    const call = { ...READ, query: { version, fields: fields?.join(',') } };
    const written = version === undefined ? this.#ownWrites.versionOf(key) : null;
    // Without its version nobody can say how old an answer is.
    const isFromSource = written !== null && fields !== undefined && !fields.includes('version');
    try {
      const context = await this.#call<Context>('GET', path, { ...call, isFromSource });
      if (written === null || isFromSource || context.version >= written) return context;
      return await this.#call<Context>('GET', path, { ...call, isFromSource: true });
    } catch (error) {
      if (error instanceof SyncError && MISSING.has(error.code)) return null;
      throw error;
    }
  }

  update(key: string, data: unknown, options?: UpdateOptions): Promise<ContextEnvelope> {
    const body = { data, options };
    return this.#write('PUT', pathOf('update', key), { body });
  }

  delete(key: string, options: { readonly ifVersion?: number } = {}): Promise<Deleted> {
    return this.#write('DELETE', pathOf('delete', key), { query: { ...options } });
  }

  /** History, newest first. */
  versions(key: string, query?: PageQuery): Promise<Page<VersionRow>> {
    return this.#call('GET', pathOf('versions', key), { ...READ, query: { ...query } });
  }

  /** What changed between two versions; from the one before, to the current one. */
  diff(
    key: string,
    query: { readonly from?: number; readonly to?: number } = {},
  ): Promise<ContextDiff> {
    return this.#call('GET', pathOf('diff', key), { ...READ, query: { ...query } });
  }

  /** Makes an old version's data current again, as a new version; options stay. */
  rollback(
    key: string,
    version: number,
    options: Omit<Rollback, 'version'> = {},
  ): Promise<ContextEnvelope> {
    const body = { version, ...options };
    return this.#write('POST', pathOf('rollback', key), { body });
  }

  /**
   * Up to 1000 operations in order; one result each. With `atomic`, all or nothing: the first that
   * fails is thrown, with `problem.failedIndex`.
   */
  async batch(
    operations: readonly BatchOperation[],
    options: { readonly atomic?: boolean } = {},
  ): Promise<readonly BatchResult[]> {
    const isRead = operations.every(({ op }) => op === 'get');
    const body = { ...options, operations };
    const call = { ...(isRead ? READ : WRITE), body };
    const path = '/api/context/batch';
    const { results } = await this.#call<{ results: readonly BatchResult[] }>('POST', path, call);
    for (const { op, key, version } of results)
      if (op !== 'get' && key !== null && version !== undefined) this.#ownWrites.add(key, version);
    return results;
  }

  /** Numbers about all contexts, or those of a session or agent. */
  analytics(query: AnalyticsQuery = {}): Promise<Analytics> {
    return this.#call('GET', '/api/context/analytics', { ...READ, query: { ...query } });
  }

  /** A page of contexts by key, without their data. */
  list(query?: ListQuery): Promise<Page<ContextEnvelope>> {
    return this.#call('GET', '/api/context/list', { ...READ, query: { ...query } });
  }

  /** Contexts by the words of a question, best first; an empty one gives the newest. */
  search(query: string, options: SearchOptions = {}): Promise<SearchAnswer> {
    return this.#call('POST', '/api/context/search', { ...READ, body: { query, options } });
  }

  /** A page of the change feed; pass its cursor as `since` to go on. */
  changes(query: ChangesQuery = {}): Promise<ChangePage> {
    const extraMs = (query.wait ?? 0) * 1000;
    return this.#call('GET', '/api/context/changes', { ...READ, query: { ...query }, extraMs });
  }

  /** Kinds of remotes, and what each guarantees. */
  async connectors(): Promise<readonly ConnectorRow[]> {
    return (await this.#call<Page<ConnectorRow>>('GET', '/api/sync/connectors', READ)).items;
  }

  /** Also answers, with status `unavailable`, when the database is out. */
  health(): Promise<Health> {
    return this.#call('GET', '/api/context/health', { ...READ, alsoOk: [503] });
  }

  /**
   * Tells each change of a key, or of what a filter names, with the event `contextChange`. Survives
   * lost connections without a gap. Resolves when the server has taken it; a refusal is told by the
   * event `error`, too, for those who do not wait.
   *
   * @throws SyncError VALIDATION, INVALID_KEY, CURSOR_EXPIRED, UNAUTHENTICATED, …, TIMEOUT
   */
  subscribe(keyOrFilter: string | ContextFilter): Promise<Subscription> {
    return this.#live.subscribe(filterOf(keyOrFilter));
  }

  /** Ends a subscription, or all of a key or filter. Nothing is told for it any more. */
  unsubscribe(what: string | ContextFilter | Subscription): void {
    this.#live.unsubscribe(typeof what === 'string' ? filterOf(what) : what);
  }

  on<Name extends keyof ClientEvents>(event: Name, listener: Listener<ClientEvents[Name]>): this {
    this.#events.on(event, listener);
    return this;
  }

  once<Name extends keyof ClientEvents>(event: Name, listener: Listener<ClientEvents[Name]>): this {
    this.#events.once(event, listener);
    return this;
  }

  off<Name extends keyof ClientEvents>(event: Name, listener: Listener<ClientEvents[Name]>): this {
    this.#events.off(event, listener);
    return this;
  }

  /** Ends everything under way, subscriptions and transfers, too; later calls fail. */
  close(): void {
    this.#live.close();
    this.#closing.close();
  }

  /** A write of one context. */
  async #write<Answer extends { readonly key: string; readonly version: number }>(
    method: string,
    path: string,
    options: Pick<CallOptions, 'body' | 'query'>,
  ): Promise<Answer> {
    const answer = await this.#call<Answer>(method, path, { ...WRITE, ...options });
    this.#ownWrites.add(answer.key, answer.version);
    return answer;
  }

  #call<Answer>(method: string, path: string, options: CallOptions): Promise<Answer> {
    return this.#transport.call<Answer>(method, path, options);
  }
}

// A misspelt `apiKey` would otherwise be found out as UNAUTHENTICATED, far from here.
function requireKnown(options: ClientOptions): void {
  const unknown = Object.keys(options).find((name) => !OPTIONS.has(name));
  if (unknown === undefined) return;
  const detail = `There is no option \`${unknown}\`; there are ${[...OPTIONS].join(', ')}.`;
  throw new SyncError(detail, { code: 'VALIDATION', status: 0 });
}

const OPTIONS: ReadonlySet<string> = new Set(
  Object.keys({
    url: 0,
    apiKey: 0,
    timeoutMs: 0,
    retries: 0,
    fetch: 0,
    random: 0,
    newKey: 0,
    openSocket: 0,
  } satisfies Record<keyof ClientOptions, 0>),
);

const MISSING: ReadonlySet<string> = new Set(['CONTEXT_NOT_FOUND', 'VERSION_NOT_FOUND']);

const filterOf = (keyOrFilter: string | ContextFilter): ContextFilter =>
  typeof keyOrFilter === 'string' ? { key: keyOrFilter } : keyOrFilter;

// `crypto.randomUUID` is missing on pages that came over plain HTTP.
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
