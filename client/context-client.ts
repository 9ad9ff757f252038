/** The client: typed calls over `fetch`, for Node 20+ and browsers. Imports nothing of Node. */
import type {
  ChangePage,
  ConnectorRow,
  Context,
  ContextEnvelope,
  Deleted,
  Health,
  Page,
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
import { doctorCalls, type DoctorCalls } from './doctor-calls.ts';
import { SyncError } from './sync-error.ts';
import { createTransport, type CallOptions, type Transport } from './transport.ts';

export interface ClientOptions {
  /** Default `http://127.0.0.1:3100`. */
  readonly url?: string;
  readonly apiKey?: string;
  /** For one answer; default 30,000. */
  readonly timeoutMs?: number;
  /** Of calls that may be repeated without harm: reads, pause, resume, …; default 2. */
  readonly retries?: number;
  readonly fetch?: typeof fetch;
  /** 0 to 1; spreads retries. Default `Math.random`. */
  readonly random?: () => number;
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
 * meet its own first write under `ifVersion`. So writes are never repeated.
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
  readonly #transport: Transport;

  constructor(options: ClientOptions = {}) {
    this.url = options.url ?? DEFAULT_URL;
    this.#transport = createTransport({
      url: this.url,
      apiKey: options.apiKey ?? null,
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      retries: options.retries ?? DEFAULT_RETRIES,
      // Browsers want fetch to be called on the window.
      fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
      random: options.random ?? Math.random,
    });
    this.links = linkCalls(this.#transport);
    this.runs = runCalls(this.#transport);
    this.conflicts = conflictCalls(this.#transport);
    this.doctor = doctorCalls(this.#transport);
  }

  /** Proof that the server answers. @throws SyncError UNREACHABLE, UNAVAILABLE */
  async initialize(): Promise<void> {
    const health = await this.health();
    if (health.status !== 'unavailable') return;
    throw new SyncError('The server answers, but its database does not.', {
      code: 'UNAVAILABLE',
      status: 503,
    });
  }

  /** Creates, or replaces with a new version. */
  store(key: string, data: unknown, options?: StoreOptions): Promise<ContextEnvelope> {
    const body = { key, data, options };
    return this.#call('POST', '/api/context/store', { ...WRITE, body });
  }

  /** The context, or null when there is none. */
  async get(
    key: string,
    query: { readonly version?: number; readonly fields?: readonly string[] } = {},
  ): Promise<Context | null> {
    const { version, fields } = query;
    try {
      return await this.#call<Context>('GET', pathOf('get', key), {
        ...READ,
        query: { version, fields: fields?.join(',') },
      });
    } catch (error) {
      if (error instanceof SyncError && MISSING.has(error.code)) return null;
      throw error;
    }
  }

  update(key: string, data: unknown, options?: UpdateOptions): Promise<ContextEnvelope> {
    const body = { data, options };
    return this.#call('PUT', pathOf('update', key), { ...WRITE, body });
  }

  delete(key: string, options: { readonly ifVersion?: number } = {}): Promise<Deleted> {
    return this.#call('DELETE', pathOf('delete', key), { ...WRITE, query: { ...options } });
  }

  /** History, newest first. */
  versions(key: string, query?: PageQuery): Promise<Page<VersionRow>> {
    return this.#call('GET', pathOf('versions', key), { ...READ, query: { ...query } });
  }

  /** A page of contexts by key, without their data. */
  list(query?: ListQuery): Promise<Page<ContextEnvelope>> {
    return this.#call('GET', '/api/context/list', { ...READ, query: { ...query } });
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

  /** Ends everything under way; later calls fail. */
  close(): void {
    this.#transport.close();
  }

  #call<Answer>(method: string, path: string, options: CallOptions): Promise<Answer> {
    return this.#transport.call<Answer>(method, path, options);
  }
}

const MISSING: ReadonlySet<string> = new Set(['CONTEXT_NOT_FOUND', 'VERSION_NOT_FOUND']);
