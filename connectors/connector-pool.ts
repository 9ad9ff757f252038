/**
 * Open conversations with remotes, one per link, kept while the link is in use: opening one may
 * mean starting a process. Bounded: beyond the bound, and after a while unused, the one used
 * longest ago is closed and opened anew at its next call. Each call waits for the one before and
 * takes a token of its remote's bucket. A conversation that broke is dropped.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type {
  AnyConnectorType,
  Connector as ConnectorOf,
  ConnectorLog,
  ConnectorPermissions,
  OpenContext,
} from './connector.ts';
import { applyChecked, checkEntry, checkPage } from './check-answers.ts';
import { systemClock, type Clock } from '../domain/clock.ts';
import { AppError, messageOf } from '../domain/errors.ts';
import { fieldErrorsOf } from '../domain/field-errors.ts';
import type { TenantId } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';
import type { Link } from '../domain/link.ts';
import {
  callLimited,
  createRateLimiter,
  rateLimitOf,
  remoteNameOf,
  type RateLimiter,
  type TokenBucket,
} from './rate-limit.ts';

type Connector = ConnectorOf<Json>;

export interface ConnectorPoolDeps {
  readonly typeOf: (kind: string) => AnyConnectorType;
  readonly permissions: ConnectorPermissions;
  readonly secret: (name: string) => string;
  readonly log: ConnectorLog;
  /** What this hub and the tenant call themselves. */
  readonly hubIdOf?: (tenant: TenantId) => Promise<string>;
  /** Conversations kept open at most, besides those with a call under way; 200 unless told. */
  readonly maxOpen?: number;
  /** An unused one is closed after so long, ms; five minutes unless told. */
  readonly idleMs?: number;
  readonly clock?: Clock;
  readonly limiter?: RateLimiter;
}

export interface ConnectorPool {
  /** @throws AppError CONNECTOR_NOT_ALLOWED, CONNECTOR_UNREACHABLE, LINK_TO_ITSELF */
  get(tenant: TenantId, link: Link): Promise<Connector>;
  /** Whether such a link may be, as far as its remote answers soon. @throws AppError LINK_TO_ITSELF */
  checkScope(
    tenant: TenantId,
    link: Pick<Link, 'connector' | 'config' | 'scope'>,
    signal?: AbortSignal,
  ): Promise<void>;
  /** What {@link get} gave last for a link, if it still stands; opens nothing. */
  peek(tenant: TenantId, linkId: string): Connector | null;
  typeOf(kind: string): AnyConnectorType;
  /** Closes one link's conversation, e.g. after it failed. */
  drop(tenant: TenantId, linkId: string): Promise<void>;
  /** Closes what has been unused for long; called by a timer too. */
  closeIdle(): Promise<void>;
  /** How many conversations are open. */
  openCount(): number;
  close(): Promise<void>;
}

/** A link's conversation: open, or closed until its next call. */
interface Entry {
  readonly name: string;
  readonly configText: string;
  readonly open: () => Promise<Connector>;
  readonly bucket: TokenBucket;
  opening: Promise<Connector> | null;
  handle: Connector | null;
  /** Ends when the call before has ended. */
  turn: Promise<unknown>;
  busy: number;
  watches: number;
  usedAtMs: number;
  isDropped: boolean;
}

export function createConnectorPool(deps: ConnectorPoolDeps): ConnectorPool {
  const { clock = systemClock, maxOpen = 200, idleMs = 300_000 } = deps;
  const limiter =
    deps.limiter ??
    createRateLimiter({
      clock,
      wait: (ms, signal) => delay(ms, undefined, signal ? { signal } : {}),
    });
  const entries = new Map<string, Entry>();
  const open = new Set<Entry>();
  const timer = setInterval(() => void closeIdle(), Math.max(1_000, idleMs / 2)).unref();

  function enter(tenant: TenantId, link: Link, configText: string): Entry {
    const type = deps.typeOf(link.connector);
    const config = parseConfig(type, link);
    const limit = rateLimitOf(config) ?? type.rateLimit ?? null;
    const entry: Entry = {
      name: nameOf(tenant, link.id),
      configText,
      bucket: limiter.bucket(tenant, remoteNameOf(type.kind, config), limit),
      async open() {
        type.checkAllowed(config, deps.permissions);
        return type.open(config, contextOf(tenant, link));
      },
      opening: null,
      handle: null,
      turn: Promise.resolve(),
      busy: 0,
      watches: 0,
      usedAtMs: clock.now(),
      isDropped: false,
    };
    entries.set(entry.name, entry);
    return entry;
  }

  function contextOf(tenant: TenantId, { scope }: Pick<Link, 'scope'>): OpenContext {
    const { permissions, secret, log, hubIdOf } = deps;
    const own = hubIdOf ? { ownHubId: () => hubIdOf(tenant) } : {};
    return { prefix: scope.prefix, permissions, secret, log, ...own };
  }

  async function opened(entry: Entry): Promise<Connector> {
    if (entry.isDropped) throw new AppError('CONNECTOR_UNREACHABLE', 'the conversation was closed');
    entry.opening ??= entry.open();
    open.add(entry);
    const { opening } = entry;
    try {
      return await opening;
    } catch (error) {
      // The next call tries again; a failed opening is never remembered.
      if (entry.opening === opening) {
        entry.opening = null;
        open.delete(entry);
      }
      if (!entry.handle && entries.get(entry.name) === entry) entries.delete(entry.name);
      throw error;
    }
  }

  /** One call at a time, as the port promises its connectors. */
  function use<T>(
    entry: Entry,
    call: (connector: Connector) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    entry.busy += 1;
    const work = async (): Promise<T> =>
      callLimited(entry.bucket, async () => call(await opened(entry)), signal);
    const result = entry.turn.then(work, work);
    entry.turn = result.catch(() => undefined);
    return result.finally(() => {
      entry.busy -= 1;
      entry.usedAtMs = clock.now();
      trim();
    });
  }

  async function watch(
    entry: Entry,
    start: (connector: Connector) => Promise<() => Promise<void>>,
  ): Promise<() => Promise<void>> {
    entry.watches += 1;
    const forget = (): void => {
      entry.watches -= 1;
      entry.usedAtMs = clock.now();
    };
    try {
      const end = await start(await opened(entry));
      return () => end().finally(forget);
    } catch (error) {
      forget();
      throw error;
    }
  }

  function handleOf(entry: Entry, connector: Connector): Connector {
    const handle: Connector = {
      capabilities: connector.capabilities,
      probe: (signal) => use(entry, (inner) => inner.probe(signal), signal),
      observe: (request) =>
        use(entry, async (inner) => checkPage(await inner.observe(request)), request.signal),
      read: (ids, signal) =>
        use(entry, async (inner) => (await inner.read(ids, signal)).map(checkEntry), signal),
      apply: (ops, signal) => use(entry, (inner) => applyChecked(inner, ops, signal), signal),
      close: () => drop(entry.name),
    };
    if (connector.lapsed) {
      handle.lapsed = (ids, signal) => use(entry, (inner) => inner.lapsed!(ids, signal), signal);
    }
    if (!connector.watch) return handle;
    return { ...handle, watch: (onHint) => watch(entry, (inner) => inner.watch!(onHint)) };
  }

  const isUnused = (entry: Entry): boolean => entry.busy === 0 && entry.watches === 0;

  /** Closes those used longest ago until the bound is kept; one in use stays whatever the bound. */
  function trim(): void {
    if (open.size <= maxOpen) return;
    const oldest = [...open].filter(isUnused).sort((a, b) => a.usedAtMs - b.usedAtMs);
    for (const entry of oldest.slice(0, open.size - maxOpen)) void shut(entry);
  }

  async function closeIdle(): Promise<void> {
    const since = clock.now() - idleMs;
    const idle = [...entries.values()].filter((e) => isUnused(e) && e.usedAtMs <= since);
    for (const entry of idle.filter((e) => !open.has(e))) forget(entry);
    await Promise.all(idle.filter((e) => open.has(e)).map(shut));
  }

  async function shut(entry: Entry): Promise<void> {
    const { opening } = entry;
    entry.opening = null;
    open.delete(entry);
    entry.usedAtMs = clock.now();
    try {
      await (await opening)?.close();
    } catch (error) {
      deps.log.debug({ link: entry.name, error: messageOf(error) }, 'closing a connector failed');
    }
  }

  function forget(entry: Entry): void {
    entry.isDropped = true;
    if (entries.get(entry.name) === entry) entries.delete(entry.name);
  }

  async function drop(name: string): Promise<void> {
    const entry = entries.get(name);
    if (!entry) return;
    forget(entry);
    await shut(entry);
  }

  return {
    typeOf: deps.typeOf,
    async get(tenant, link) {
      const name = nameOf(tenant, link.id);
      const configText = JSON.stringify([link.connector, link.config, link.scope.prefix]);
      const known = entries.get(name);
      if (known && known.configText !== configText) await drop(name);
      const entry = entries.get(name) ?? enter(tenant, link, configText);
      if (entry.handle) return entry.handle;
      const connector = await opened(entry);
      entry.handle ??= handleOf(entry, connector);
      trim();
      return entry.handle;
    },
    async checkScope(tenant, link, signal) {
      const type = deps.typeOf(link.connector);
      const context = { ...contextOf(tenant, link), ...(signal ? { signal } : {}) };
      await type.checkScope?.(parseConfig(type, link), context);
    },
    peek: (tenant, linkId) => entries.get(nameOf(tenant, linkId))?.handle ?? null,
    drop: (tenant, linkId) => drop(nameOf(tenant, linkId)),
    closeIdle,
    openCount: () => open.size,
    async close() {
      clearInterval(timer);
      await Promise.all([...entries.keys()].map(drop));
    },
  };
}

const nameOf = (tenant: TenantId, linkId: string): string => `${tenant}/${linkId}`;

function parseConfig(type: AnyConnectorType, link: Pick<Link, 'config'>): unknown {
  const parsed = type.configSchema.safeParse(link.config);
  if (parsed.success) return parsed.data;
  const errors = fieldErrorsOf(parsed.error.issues, link.config, { at: ['config'] });
  throw new AppError('VALIDATION', `the ${type.kind} configuration is not valid`, { errors });
}
