/**
 * Configuration: `context.yaml` overlaid by the environment, checked whole, every fault reported at
 * once, then frozen. Nothing else in the product reads the environment.
 */
import { isIPv4 } from 'node:net';
import { resolve } from 'node:path';
import { isLoopbackUrl } from '../api/middleware/loopback-only.ts';
import { AppError, type FieldError } from '../domain/errors.ts';
import type { RetentionPolicy } from '../store/contract.ts';
import { withPassword } from './redis.ts';
import { Secret } from './secret.ts';
import { readSettings, type SettingsRead, type Values } from './read-settings.ts';
import { CONFIG_FILE, type SettingPath } from './settings.ts';

export interface Config {
  /** Absolute. */
  readonly home: string;
  /** Whether missing servers may not be installed or downloaded. */
  readonly noInstall: boolean;
  readonly api: { readonly host: string; readonly port: number };
  readonly imports: { readonly maxBytes: number };
  readonly auth: { readonly mode: 'keys' | 'off'; readonly rootKey: Secret | null };
  /** Null: nobody named one; `npm start` brings up what is missing. */
  readonly database: {
    readonly url: Secret | null;
    readonly poolMin: number;
    readonly poolMax: number;
    /** A replica for reads that may be a little old. */
    readonly readUrl: Secret | null;
    readonly readMaxLagMs: number;
    /** False: a connection per transaction. */
    readonly isPooled: boolean;
    readonly hasShortPlans: boolean;
    /** Whether a job vacuums where the server does not by itself. */
    readonly isTended: boolean;
  };
  readonly redis: { readonly url: Secret | null; readonly prefix: string };
  readonly cache: {
    readonly isEnabled: boolean;
    /** Null: that of queues and announcements. */
    readonly url: Secret | null;
    /** How long Redis keeps an entry, ms. */
    readonly lifeMs: number;
    /** Bytes of the cache in memory; 0: none. */
    readonly memoryBytes: number;
    readonly isAggressive: boolean;
    readonly isPreloaded: boolean;
  };
  readonly temporal: {
    readonly address: string | null;
    readonly namespace: string;
    readonly apiKey: Secret | null;
    /** Null: in clear. */
    readonly tls: TemporalTls | null;
    readonly uiUrl: string | null;
    readonly taskQueue: string;
    readonly maxCachedWorkflows: number;
  };
  readonly connectors: {
    readonly fileRoots: readonly string[];
    readonly stdioAllow: readonly string[];
    readonly remoteHosts: readonly string[];
    /** Variables links may read: names, or beginnings ending in `*`. */
    readonly secrets: readonly string[];
    readonly maxOpen: number;
    readonly maxWatched: number;
    readonly idleMs: number;
  };
  readonly context: {
    readonly maxBytes: number;
    /** Seconds; null: for ever. */
    readonly defaultTtlS: number | null;
    /** Bodies above it are compressed, bytes. */
    readonly compressAbove: number;
  };
  readonly sync: {
    readonly pulseMs: number;
    readonly maxLive: number;
    readonly maxLivePerProcess: number;
    readonly maxPolledRestMs: number;
    readonly maxWatchedRestMs: number;
    readonly auditMs: number;
  };
  readonly retention: RetentionPolicy;
  /** `enabled`: new contexts are encrypted unless their writer says otherwise. */
  readonly encryption: {
    readonly enabled: boolean;
    readonly key: Secret | null;
    readonly oldKeys: readonly Secret[];
  };
  readonly backup: {
    /** Null: no backups on schedule. */
    readonly directory: string | null;
    readonly intervalMs: number;
    readonly keepMs: number;
  };
  readonly rateLimit: { readonly maxRequests: number; readonly windowMs: number };
  /** Origins whose pages may call. */
  readonly corsOrigins: readonly string[];
  /** Proxies that are believed: how many, or their addresses; 0: none. */
  readonly trustProxy: number | readonly string[];
  readonly log: { readonly level: string };
  /** Where a worker process serves its metrics; port null: nowhere. */
  readonly metrics: { readonly host: string; readonly port: number | null };
  readonly features: Features;
  /** Name → bound; `/metrics` tells them, and the alert rules compare with them. */
  readonly alerts: Readonly<Record<string, number>>;
}

/** How to speak TLS with Temporal; what is null is left to the system. */
export interface TemporalTls {
  /** PEM of who vouches for the server. */
  readonly caFile: string | null;
  /** PEM of our own certificate and its key; both or neither. */
  readonly certFile: string | null;
  readonly keyFile: string | null;
  /** The name its certificate must be for, where that is not the address. */
  readonly serverName: string | null;
}

/** What can be switched off. */
export interface Features {
  readonly docs: boolean;
  readonly metrics: boolean;
  readonly queueBoard: boolean;
  readonly websocket: boolean;
}

/**
 * Reads and checks the configuration.
 * @param file path of the YAML file; when it is the default one it may be missing
 * @throws AppError CONFIG_INVALID with one field error per fault
 */
export function loadConfig(env: NodeJS.ProcessEnv, file: string = CONFIG_FILE): Config {
  const { values, faults } = checkSettings(env, file);
  if (faults.length > 0) {
    const list = faults.map((fault) => `  ${fault.pointer}: ${fault.detail}`).join('\n');
    throw new AppError(
      'CONFIG_INVALID',
      `the configuration has ${faults.length} fault(s):\n${list}`,
      { errors: faults },
    );
  }
  return deepFreeze(configOf(values));
}

/**
 * Every setting with where it comes from, and every fault there is.
 * @throws AppError CONFIG_INVALID when the file cannot be read at all
 */
export function checkSettings(env: NodeJS.ProcessEnv, file: string = CONFIG_FILE): SettingsRead {
  const read = readSettings(env, file);
  const faults = [...read.faults];
  checkTogether(read.values, faults);
  return { ...read, faults };
}

/** Rules that need more than one setting. */
function checkTogether(values: Values, faults: FieldError[]): void {
  if (values['auth.mode'] === 'off' && !isLoopback(String(values['api.host']))) {
    faults.push({
      pointer: 'api.host',
      detail: `listening on ${String(values['api.host'])} needs auth.mode "keys" (CONTEXT_AUTH=keys): without keys anybody who can reach it owns your data`,
    });
  }
  const foreign = (values['security.cors.origins'] as string[]).filter(
    (origin) => !isLoopbackUrl(origin),
  );
  if (values['auth.mode'] === 'off' && foreign.length > 0) {
    faults.push({
      pointer: 'security.cors.origins',
      detail: `${foreign.join(', ')} needs auth.mode "keys" (CONTEXT_AUTH=keys): without keys only pages of this machine may call`,
    });
  }
  const [watched, open] = [values['connectors.max_watched'], values['connectors.max_open']];
  if (Number(watched) >= Number(open)) {
    faults.push({
      pointer: 'connectors.max_watched',
      detail: `must be below connectors.max_open (${String(open)}): watched remotes are always open, polled ones need room too`,
    });
  }
  if (Number(values['retention.horizon_ms']) < Number(values['retention.keep_deleted_ms'])) {
    faults.push({
      pointer: 'retention.horizon_ms',
      detail:
        'must not be below retention.keep_deleted_ms: what is kept at least that long cannot go sooner',
    });
  }
  if (
    values['security.encryption.enabled'] === true &&
    values['security.encryption.key'] === null
  ) {
    faults.push({
      pointer: 'security.encryption.enabled',
      detail:
        'needs security.encryption.key (CONTEXT_ENCRYPTION_KEY): without it nothing can be encrypted',
    });
  }
  checkTemporal(values, faults);
  for (const root of values['connectors.file_roots'] as string[]) {
    if (resolve(root) !== root.replace(/(.)\/$/, '$1'))
      faults.push({ pointer: 'connectors.file_roots', detail: `${root} must be an absolute path` });
  }
}

function checkTemporal(values: Values, faults: FieldError[]): void {
  if ((values['temporal.tls.cert_file'] === null) !== (values['temporal.tls.key_file'] === null)) {
    faults.push({
      pointer: 'temporal.tls.cert_file',
      detail: 'goes with temporal.tls.key_file: both or neither',
    });
  }
  if (values['temporal.tls.enabled'] === false && values['temporal.api_key'] !== null) {
    faults.push({
      pointer: 'temporal.tls.enabled',
      detail: 'must not be false with temporal.api_key: the key would be sent in clear',
    });
  }
}

/** Whether an address is only reachable from this machine. */
export function isLoopback(host: string): boolean {
  // `127.0.0.1.example.com` is a name like any other.
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

function configOf(values: Values): Config {
  const get = <T>(path: SettingPath): T => values[path] as T;
  const secret = (value: string | null): Secret | null =>
    value === null ? null : new Secret(value);
  return {
    home: resolve(get<string>('home')),
    noInstall: get('no_install'),
    api: { host: get('api.host'), port: get('api.port') },
    imports: { maxBytes: get('api.max_import_bytes') },
    auth: { mode: get('auth.mode'), rootKey: secret(get('auth.root_key')) },
    database: {
      url: secret(databaseUrl(get)),
      poolMin: get('database.postgresql.pool.min'),
      poolMax: get('database.postgresql.pool.max'),
      readUrl: secret(get('database.postgresql.read_url')),
      readMaxLagMs: get('database.postgresql.read_max_lag_ms'),
      isPooled: get('production.performance.connection_pooling'),
      hasShortPlans: get('production.performance.query_optimization'),
      isTended: get('production.performance.index_optimization'),
    },
    redis: {
      url: secret(redisUrl(get('database.redis.url'), get('database.redis.password'))),
      prefix: get('database.redis.prefix'),
    },
    cache: {
      isEnabled: get('production.caching.enabled'),
      url: secret(redisUrl(get('database.redis.cache_url'), get('database.redis.password'))),
      lifeMs: get<number>('database.redis.cache.default_ttl') * 1_000,
      memoryBytes: get('production.caching.memory_cache_size'),
      isAggressive: get('production.caching.aggressive'),
      isPreloaded: get('production.caching.preload_hot_contexts'),
    },
    temporal: {
      address: get('temporal.address'),
      namespace: get('temporal.namespace'),
      apiKey: secret(get('temporal.api_key')),
      tls: temporalTls(get),
      uiUrl: get('temporal.ui_url'),
      taskQueue: get('temporal.task_queue'),
      maxCachedWorkflows: get('temporal.max_cached_workflows'),
    },
    connectors: {
      fileRoots: get('connectors.file_roots'),
      stdioAllow: get('connectors.stdio_allow'),
      remoteHosts: get('connectors.remote_hosts'),
      secrets: get('connectors.secrets'),
      maxOpen: get('connectors.max_open'),
      maxWatched: get('connectors.max_watched'),
      idleMs: get('connectors.idle_ms'),
    },
    context: {
      maxBytes: get('context.storage.max_bytes'),
      defaultTtlS: get('context.storage.default_ttl'),
      compressAbove: get('context.compression.threshold'),
    },
    sync: {
      pulseMs: get('sync.pulse_ms'),
      maxLive: get('sync.max_live'),
      maxLivePerProcess: get('sync.max_live_per_process'),
      maxPolledRestMs: get('sync.max_polled_rest_ms'),
      maxWatchedRestMs: get('sync.max_watched_rest_ms'),
      auditMs: get('sync.audit_ms'),
    },
    retention: {
      keepDeletedMs: get('retention.keep_deleted_ms'),
      horizonMs: get('retention.horizon_ms'),
      maxVersions: get('context.versioning.max_versions'),
      keepRunsMs: get('retention.keep_runs_ms'),
      keepRunsPerLink: get('retention.keep_runs_per_link'),
      keepAuditMs: get('retention.keep_audit_ms'),
      blobGraceMs: get('retention.blob_grace_ms'),
    },
    backup: {
      directory: get('backup.directory'),
      intervalMs: get('backup.interval'),
      keepMs: get('backup.retention'),
    },
    encryption: {
      enabled: get('security.encryption.enabled'),
      key: secret(get('security.encryption.key')),
      oldKeys: (get<string[] | null>('security.encryption.old_keys') ?? []).map(
        (key) => new Secret(key),
      ),
    },
    corsOrigins: get('security.cors.origins'),
    trustProxy: get('api.trust_proxy'),
    rateLimit: {
      maxRequests: get('security.rate_limit.max_requests'),
      windowMs: get('security.rate_limit.window_ms'),
    },
    log: { level: get('log.debug') ? 'debug' : get('log.level') },
    metrics: { host: get('metrics.host'), port: get('metrics.port') },
    features: {
      docs: get('features.docs'),
      metrics: get('features.metrics'),
      queueBoard: get('features.queue_board'),
      websocket: get('features.websocket'),
    },
    alerts: alertsOf(values),
  };
}

/** `alerts.error_ratio` → `error_ratio`. */
function alertsOf(values: Values): Record<string, number> {
  const own = Object.entries(values).filter(([path]) => path.startsWith('alerts.'));
  return Object.fromEntries(own.map(([path, value]) => [path.slice(7), Number(value)]));
}

function databaseUrl(get: <T>(path: SettingPath) => T): string | null {
  const url = get<string | null>('database.postgresql.url');
  const host = get<string | null>('database.postgresql.host');
  if (url !== null || host === null) return url;
  const made = new URL('postgres://localhost');
  made.hostname = host;
  made.port = String(get<number>('database.postgresql.port'));
  made.pathname = `/${encodeURIComponent(get<string>('database.postgresql.name'))}`;
  made.username = encodeURIComponent(get<string>('database.postgresql.user'));
  made.password = encodeURIComponent(get<string | null>('database.postgresql.password') ?? '');
  return made.href;
}

/** On where it is asked for, and by itself where a key or a file is given. */
function temporalTls(get: <T>(path: SettingPath) => T): TemporalTls | null {
  const tls: TemporalTls = {
    caFile: get('temporal.tls.ca_file'),
    certFile: get('temporal.tls.cert_file'),
    keyFile: get('temporal.tls.key_file'),
    serverName: get('temporal.tls.server_name'),
  };
  const hasReason =
    get('temporal.api_key') !== null || Object.values(tls).some((value) => value !== null);
  return (get<boolean | null>('temporal.tls.enabled') ?? hasReason) ? tls : null;
}

function redisUrl(url: string | null, password: string | null): string | null {
  return url === null || password === null ? url : withPassword(url, password);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !(value instanceof Secret)) {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}
