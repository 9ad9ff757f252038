/**
 * Every setting there is: where it stands in `context.yaml`, which environment variable overrides
 * it, what it means. The loader, the error messages and docs/configuration.md all come from here.
 */
import { z } from 'zod';
import { MASTER_KEY_FORM, parseMasterKey } from '../store/crypto/master-keys.ts';
import { proxies, webOrigins } from './access-kinds.ts';
import {
  bytes,
  count,
  durationMs,
  durationS,
  flag,
  listOf,
  port,
  text,
  wholeFrom,
} from './setting-kinds.ts';

export interface Setting {
  /** Dotted path in `context.yaml`. */
  readonly path: string;
  readonly env: string | null;
  readonly schema: z.ZodType;
  readonly fallback: unknown;
  readonly about: string;
  /** Never shown, never logged. */
  readonly isSecret?: true;
}

/** A variable's name, or how it begins; not all of them. */
const variables = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*\*?$/, 'must be a name, or NAME*');
const redisUrl = z
  .string()
  .regex(/^(rediss?|redis-cluster):\/\/[^,]+(,[^,]+)*$/, 'must start with redis://');
const masterKey = z.string().refine((key) => parseMasterKey(key) !== null, MASTER_KEY_FORM);
const DAY_MS = 86_400_000;
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

export const SETTINGS = [
  {
    path: 'home',
    env: 'SYNCLINE_HOME',
    schema: text,
    fallback: '.syncline',
    about: 'Folder of the embedded stack: data, ports, lock.',
  },
  {
    path: 'no_install',
    env: 'SYNCLINE_NO_INSTALL',
    schema: flag,
    fallback: false,
    about: 'Never install or download a server that is missing; say what to do instead.',
  },
  {
    path: 'api.host',
    env: 'CONTEXT_API_HOST',
    schema: text,
    fallback: '127.0.0.1',
    about: 'Address the API listens on. Anything but loopback needs `auth: keys`.',
  },
  {
    path: 'api.port',
    env: 'CONTEXT_API_PORT',
    schema: port,
    fallback: 3100,
    about: 'Port of the API; 0 takes any free one.',
  },
  {
    path: 'api.max_import_bytes',
    env: 'CONTEXT_IMPORT_MAX_BYTES',
    schema: bytes(1024),
    fallback: 4 * 1024 ** 3,
    about: 'Bytes one import may have, unpacked.',
  },
  {
    path: 'api.trust_proxy',
    env: 'CONTEXT_TRUST_PROXY',
    schema: proxies,
    fallback: 0,
    about:
      'Proxies in front whose `X-Forwarded-For` tells who calls: how many there are, or their addresses (`,`-separated in the environment: `10.0.0.0/8`, `loopback`). 0: it is not believed.',
  },
  {
    path: 'auth.mode',
    env: 'CONTEXT_AUTH',
    schema: z.enum(['keys', 'off']),
    fallback: 'off',
    about: 'Whether callers need an API key. `off` works on loopback only.',
  },
  {
    path: 'auth.root_key',
    env: 'CONTEXT_ROOT_KEY',
    schema: z.string().min(16).nullable(),
    fallback: null,
    about:
      'Key with all scopes, for all tenants. Without it the first start with keys on makes one and prints it once. Another one replaces it.',
    isSecret: true,
  },
  {
    path: 'database.postgresql.url',
    env: 'DATABASE_URL',
    schema: z
      .string()
      .regex(/^postgres(ql)?:\/\//, 'must start with postgres://')
      .nullable(),
    fallback: null,
    about: 'Postgres to use. Without it `npm start` brings up an embedded one.',
    isSecret: true,
  },
  {
    path: 'database.postgresql.host',
    env: 'POSTGRES_HOST',
    schema: text.nullable(),
    fallback: null,
    about: 'Used when `database.postgresql.url` is not set.',
  },
  {
    path: 'database.postgresql.port',
    env: 'POSTGRES_PORT',
    schema: port,
    fallback: 5432,
    about: 'Used with `database.postgresql.host`.',
  },
  {
    path: 'database.postgresql.name',
    env: 'POSTGRES_DB',
    schema: text,
    fallback: 'syncline',
    about: 'Used with `database.postgresql.host`.',
  },
  {
    path: 'database.postgresql.user',
    env: 'POSTGRES_USER',
    schema: text,
    fallback: 'syncline',
    about: 'Used with `database.postgresql.host`.',
  },
  {
    path: 'database.postgresql.password',
    env: 'POSTGRES_PASSWORD',
    schema: z.string().nullable(),
    fallback: null,
    about: 'Used with `database.postgresql.host`.',
    isSecret: true,
  },
  {
    path: 'database.postgresql.pool.min',
    env: null,
    schema: wholeFrom(0),
    fallback: 2,
    about: 'Connections kept open.',
  },
  {
    path: 'database.postgresql.pool.max',
    env: null,
    schema: count,
    fallback: 20,
    about: 'Connections at most, per process.',
  },
  {
    path: 'database.postgresql.read_url',
    env: 'DATABASE_READ_URL',
    schema: z
      .string()
      .regex(/^postgres(ql)?:\/\//, 'must start with postgres://')
      .nullable(),
    fallback: null,
    about:
      'A streaming replica for reads that may be a little old: list, versions, analytics. The primary answers when it is down or too far behind.',
    isSecret: true,
  },
  {
    path: 'database.postgresql.read_max_lag_ms',
    env: null,
    schema: durationMs(100),
    fallback: 5_000,
    about: 'How far the replica may be behind before the primary answers instead; ms.',
  },
  {
    path: 'database.redis.url',
    env: 'REDIS_URL',
    schema: redisUrl.nullable(),
    fallback: null,
    about:
      'Redis for queues and announcements. Without it `npm start` brings one up. Several nodes of a Redis Cluster: `redis-cluster://a:6379,b:6379`.',
    isSecret: true,
  },
  {
    path: 'database.redis.password',
    env: 'REDIS_PASSWORD',
    schema: z.string().nullable(),
    fallback: null,
    about: 'Password, when it is not in the URL.',
    isSecret: true,
  },
  {
    path: 'database.redis.prefix',
    env: null,
    schema: text,
    fallback: 'syncline',
    about: 'Prefix of every key we write to Redis.',
  },
  {
    path: 'database.redis.cache_url',
    env: 'REDIS_CACHE_URL',
    schema: redisUrl.nullable(),
    fallback: null,
    about:
      'Redis of the cache, when it is another than `database.redis.url`. It may forget anything at any time (`maxmemory-policy allkeys-lru`); the other must not.',
    isSecret: true,
  },
  {
    path: 'database.redis.cache.default_ttl',
    env: null,
    schema: durationS(1),
    fallback: 3_600,
    about: 'How long an entry of the Redis cache lives; seconds, ± 10 %.',
  },
  {
    path: 'temporal.address',
    env: 'TEMPORAL_ADDRESS',
    schema: text.nullable(),
    fallback: null,
    about: '`host:port` of a Temporal frontend. Without it `npm start` brings one up.',
  },
  {
    path: 'temporal.namespace',
    env: 'TEMPORAL_NAMESPACE',
    schema: text,
    fallback: 'default',
    about: 'Temporal namespace.',
  },
  {
    path: 'temporal.api_key',
    env: 'TEMPORAL_API_KEY',
    schema: z.string().nullable(),
    fallback: null,
    about: 'API key of Temporal Cloud; turns TLS on.',
    isSecret: true,
  },
  {
    path: 'temporal.tls.enabled',
    env: 'TEMPORAL_TLS',
    schema: flag.nullable(),
    fallback: null,
    about:
      'Whether to speak TLS with Temporal. Null: when there is an API key, or one of the settings below is set.',
  },
  {
    path: 'temporal.tls.ca_file',
    env: 'TEMPORAL_TLS_SERVER_CA_CERT_PATH',
    schema: text.nullable(),
    fallback: null,
    about: 'PEM file of the authority that signed its certificate. Null: those the system trusts.',
  },
  {
    path: 'temporal.tls.cert_file',
    env: 'TEMPORAL_TLS_CLIENT_CERT_PATH',
    schema: text.nullable(),
    fallback: null,
    about: 'PEM file of our own certificate, for mutual TLS; with `temporal.tls.key_file`.',
  },
  {
    path: 'temporal.tls.key_file',
    env: 'TEMPORAL_TLS_CLIENT_KEY_PATH',
    schema: text.nullable(),
    fallback: null,
    about: 'PEM file of the key of that certificate.',
  },
  {
    path: 'temporal.tls.server_name',
    env: 'TEMPORAL_TLS_SERVER_NAME',
    schema: text.nullable(),
    fallback: null,
    about: 'The name its certificate must be for, where that is not the one in the address.',
  },
  {
    path: 'temporal.ui_url',
    env: 'TEMPORAL_UI_URL',
    schema: z.url().nullable(),
    fallback: null,
    about: 'Base URL of the Temporal UI, for links in answers.',
  },
  {
    path: 'temporal.task_queue',
    env: null,
    schema: text,
    fallback: 'syncline-sync',
    about: 'Task queue of the sync workers.',
  },
  {
    path: 'temporal.max_cached_workflows',
    env: null,
    schema: count,
    fallback: 300,
    about: 'Workflows one worker keeps in memory.',
  },
  {
    path: 'connectors.file_roots',
    env: 'SYNCLINE_FILE_ROOTS',
    schema: listOf(':'),
    fallback: [],
    about: 'Absolute folders that file connectors may open (`:`-separated in the environment).',
  },
  {
    path: 'connectors.stdio_allow',
    env: 'SYNCLINE_STDIO_ALLOW',
    schema: listOf(','),
    fallback: [],
    about: 'Commands that stdio connectors may start (`,`-separated in the environment).',
  },
  {
    path: 'connectors.remote_hosts',
    env: 'SYNCLINE_REMOTE_HOSTS',
    schema: listOf(','),
    fallback: ['localhost', '127.0.0.1', '[::1]'],
    about:
      'Hosts, or `host:port`, that connectors may call over HTTP (`,`-separated in the environment). It replaces the default, so name loopback too if it is to stay allowed.',
  },
  {
    path: 'connectors.secrets',
    env: 'SYNCLINE_LINK_SECRETS',
    schema: listOf(',').pipe(z.array(variables)),
    fallback: ['SYNCLINE_SECRET_*'],
    about:
      'Environment variables that the configs of links may name as `{"env": "NAME"}`: names, or how names begin, with `*` at the end (`,`-separated in the environment). It replaces the default. Settings of the server itself are never read for a link.',
  },
  {
    path: 'connectors.max_open',
    env: null,
    schema: count,
    fallback: 200,
    about:
      'Remotes a process keeps open at once, besides those with a call under way. Each may be a process or a connection; beyond the bound the one used longest ago is closed until it is needed.',
  },
  {
    path: 'connectors.max_watched',
    env: null,
    schema: wholeFrom(0),
    fallback: 150,
    about:
      'Remotes a process listens to at once; must be below `connectors.max_open`. Links beyond it are polled.',
  },
  {
    path: 'connectors.idle_ms',
    env: null,
    schema: durationMs(1000),
    fallback: 300_000,
    about: 'An open remote that nobody has used for so long, and nobody watches, is closed; ms.',
  },
  {
    path: 'context.storage.max_bytes',
    env: null,
    schema: bytes(1),
    fallback: 10_485_760,
    about: 'Most bytes of compact JSON one context may hold.',
  },
  {
    path: 'context.storage.default_ttl',
    env: null,
    schema: durationS(1).nullable(),
    fallback: 86_400,
    about: 'How long a context lives whose writer named no `ttl`; seconds, null: for ever.',
  },
  {
    path: 'context.compression.threshold',
    env: null,
    schema: bytes(0),
    fallback: 1_024,
    about:
      'Bodies of more bytes than this are compressed, unless the writer says otherwise (`compress`). What links write is compressed above 1024, whatever this says.',
  },
  {
    path: 'sync.pulse_ms',
    env: null,
    schema: durationMs(1000),
    fallback: 5000,
    about: 'How often due links are woken.',
  },
  {
    path: 'sync.max_live',
    env: null,
    schema: count,
    fallback: 200,
    about:
      'Links that may be under way at once, in all processes. The pulse wakes no more; the others stay due and come in turn, tenant by tenant. Hints and hub writes are not held back by it.',
  },
  {
    path: 'sync.max_live_per_process',
    env: null,
    schema: count,
    fallback: 50,
    about: 'Links one process works on at once; more wait in the queue.',
  },
  {
    path: 'sync.max_polled_rest_ms',
    env: null,
    schema: durationMs(1),
    fallback: 30_000,
    about:
      'While nothing changes, a link whose remote cannot be watched is looked at less and less often: after 1, 2, 4 … intervals, but at least this often (or at its own interval, if that is longer); ms.',
  },
  {
    path: 'sync.max_watched_rest_ms',
    env: null,
    schema: durationMs(1),
    fallback: 60_000,
    about: 'The same for a link whose remote is watched; the look is only a net for lost hints.',
  },
  {
    path: 'sync.audit_ms',
    env: null,
    schema: durationMs(60_000),
    fallback: DAY_MS,
    about:
      'How often each link is audited (± 25 %): both sides are read anew, compared and, where they differ, brought together by an ordinary run; ms.',
  },
  {
    path: 'retention.keep_deleted_ms',
    env: null,
    schema: durationMs(60_000),
    fallback: 7 * DAY_MS,
    about:
      'Deleted contexts and rows of the change feed stay at least this long, and until every link has seen them; ms.',
  },
  {
    path: 'retention.horizon_ms',
    env: null,
    schema: durationMs(60_000),
    fallback: 30 * DAY_MS,
    about:
      'Rows of the change feed go after this long, seen or not. A cursor from before is refused with `CURSOR_EXPIRED`; a link that slept longer is compared anew and deletes nothing; ms.',
  },
  {
    path: 'context.versioning.max_versions',
    env: null,
    schema: count,
    fallback: 100,
    about: 'Versions kept per context, besides those a link or an open conflict still needs.',
  },
  {
    path: 'retention.keep_runs_ms',
    env: null,
    schema: durationMs(60_000),
    fallback: 30 * DAY_MS,
    about: 'Runs with their ops, and decided conflicts, stay at least this long; ms.',
  },
  {
    path: 'retention.keep_runs_per_link',
    env: null,
    schema: count,
    fallback: 50,
    about: 'Newest runs kept per link, however old.',
  },
  {
    path: 'retention.keep_audit_ms',
    env: null,
    schema: durationMs(60_000),
    fallback: 365 * DAY_MS,
    about: 'Rows of the audit log (who changed what) stay this long; ms.',
  },
  {
    path: 'retention.blob_grace_ms',
    env: null,
    schema: durationMs(2 * 3_600_000),
    fallback: DAY_MS,
    about: 'A body that nothing refers to any more stays this long after its last use; ms.',
  },
  {
    path: 'backup.directory',
    env: 'BACKUP_DIRECTORY',
    schema: text.nullable(),
    fallback: null,
    about:
      'Folder for scheduled backups; none are made without it. `syncline backup` writes there too.',
  },
  {
    path: 'backup.interval',
    env: 'BACKUP_INTERVAL',
    schema: durationMs(60_000),
    fallback: 6 * 3_600_000,
    about: 'A scheduled backup is made when the newest one is this old; ms.',
  },
  {
    path: 'backup.retention',
    env: 'BACKUP_RETENTION',
    schema: durationMs(60_000),
    fallback: 30 * DAY_MS,
    about: 'Scheduled backups older than this are deleted, but never the newest; ms.',
  },
  {
    path: 'security.rate_limit.max_requests',
    env: 'CONTEXT_RATE_LIMIT_MAX_REQUESTS',
    schema: count,
    fallback: 1000,
    about: 'Requests one caller may make per window. Not applied while keys are off.',
  },
  {
    path: 'security.rate_limit.window_ms',
    env: 'CONTEXT_RATE_LIMIT_WINDOW_MS',
    schema: durationMs(1),
    fallback: 900_000,
    about: 'Length of that window, ms.',
  },
  {
    path: 'security.cors.origins',
    env: 'CONTEXT_CORS_ORIGINS',
    schema: webOrigins,
    fallback: [],
    about:
      'Origins whose pages may call the API from a browser, like `https://app.example.com` (`,`-separated in the environment).',
  },
  {
    path: 'security.encryption.enabled',
    env: 'CONTEXT_ENCRYPTION_ENABLED',
    schema: flag,
    fallback: false,
    about:
      'Encrypt every new context unless its writer says `encrypt: false`. Needs `security.encryption.key`.',
  },
  {
    path: 'security.encryption.key',
    env: 'CONTEXT_ENCRYPTION_KEY',
    schema: masterKey.nullable(),
    fallback: null,
    about:
      'Master key, 32 bytes as base64, as hex or as 32 characters (`openssl rand -base64 32`). With it writers may say `encrypt: true`. Who loses it loses every encrypted context.',
    isSecret: true,
  },
  {
    path: 'security.encryption.old_keys',
    env: 'CONTEXT_ENCRYPTION_OLD_KEYS',
    schema: listOf(',').pipe(z.array(masterKey)).nullable(),
    fallback: null,
    about:
      'Master keys from before, so that what they wrapped still opens; the job worker wraps it anew with the current one (`,`-separated in the environment).',
    isSecret: true,
  },
  {
    path: 'log.level',
    env: 'LOG_LEVEL',
    schema: z.enum(LOG_LEVELS),
    fallback: 'info',
    about: 'Least severe level that is logged.',
  },
  {
    path: 'log.debug',
    env: 'DEBUG',
    schema: flag,
    fallback: false,
    about: 'Shorthand for `log.level: debug`.',
  },
  {
    path: 'metrics.port',
    env: 'SYNCLINE_METRICS_PORT',
    schema: port.nullable(),
    fallback: null,
    about:
      'Port on which a sync worker or job worker that is a process of its own serves `/metrics`; null: none, 0: any free one. An API always serves its own.',
  },
  {
    path: 'metrics.host',
    env: 'SYNCLINE_METRICS_HOST',
    schema: text,
    fallback: '127.0.0.1',
    about:
      'Address of that port. `/metrics` there asks for no key, so keep it to addresses that only your Prometheus reaches.',
  },
  {
    path: 'features.docs',
    env: null,
    schema: flag,
    fallback: true,
    about: 'Whether the API serves its documentation page and `openapi.json`.',
  },
  {
    path: 'features.metrics',
    env: null,
    schema: flag,
    fallback: true,
    about: 'Whether the API serves `/metrics`.',
  },
  {
    path: 'features.queue_board',
    env: null,
    schema: flag,
    fallback: true,
    about: 'Whether the all-in-one process serves the queue board at `/admin/queues`.',
  },
  {
    path: 'features.websocket',
    env: null,
    schema: flag,
    fallback: true,
    about: 'Whether the API serves `/context-ws`.',
  },
  {
    path: 'alerts.error_ratio',
    env: null,
    schema: z.coerce.number().min(0).max(1),
    fallback: 0.05,
    about:
      'Share of answers with a 5xx status above which the alert rules fire. The thresholds are told on `/metrics` (`syncline_alert_threshold`), and the rules in `deploy/` compare with them.',
  },
  {
    path: 'alerts.response_time_p95_seconds',
    env: null,
    schema: z.coerce.number().positive(),
    fallback: 0.5,
    about: '95th percentile of `context_response_time` above which they fire; seconds.',
  },
  {
    path: 'alerts.sync_lag_seconds',
    env: null,
    schema: durationS(1),
    fallback: 60,
    about: 'Lag of a link above which they fire; seconds.',
  },
  {
    path: 'alerts.outbox_age_seconds',
    env: null,
    schema: durationS(1),
    fallback: 30,
    about: 'Age of the oldest outbox row above which they fire; seconds.',
  },
  {
    path: 'alerts.queue_waiting',
    env: null,
    schema: count,
    fallback: 1_000,
    about: 'Jobs waiting in a queue above which they fire.',
  },
  {
    path: 'alerts.pool_waiting',
    env: null,
    schema: count,
    fallback: 10,
    about: 'Callers waiting for a Postgres connection, in one process, above which they fire.',
  },
  {
    path: 'alerts.event_loop_lag_seconds',
    env: null,
    schema: z.coerce.number().positive(),
    fallback: 0.25,
    about: '99th percentile of the event loop lag above which they fire; seconds.',
  },
  {
    path: 'alerts.backup_age_seconds',
    env: null,
    schema: durationS(60),
    fallback: 43_200,
    about: 'Age of the newest backup above which they fire; seconds.',
  },
  {
    path: 'alerts.conflicts',
    env: null,
    schema: count,
    fallback: 100,
    about: 'Open conflicts of a link above which they fire.',
  },
  {
    path: 'production.caching.enabled',
    env: 'CONTEXT_CACHE_ENABLED',
    schema: flag,
    fallback: true,
    about: 'Whether the API answers reads of current contexts from memory and Redis.',
  },
  {
    path: 'production.caching.aggressive',
    env: null,
    schema: flag,
    fallback: false,
    about:
      'Keep contexts in memory as long as in Redis instead of 5 minutes, and fetch a hot one anew before its time is over, behind its readers.',
  },
  {
    path: 'production.caching.preload_hot_contexts',
    env: null,
    schema: flag,
    fallback: false,
    about:
      'At start-up load the contexts that were read most of late into the cache, in the background.',
  },
  {
    path: 'production.caching.memory_cache_size',
    env: null,
    schema: bytes(0),
    fallback: 134_217_728,
    about:
      'Memory for the cache inside each API process; bytes, or `"512mb"`. 0: none, Redis alone caches.',
  },
  {
    path: 'production.performance.connection_pooling',
    env: null,
    schema: flag,
    fallback: true,
    about:
      'Keep Postgres connections open between transactions. `false` opens one for each and closes it after (for a pooler of yours in front).',
  },
  {
    path: 'production.performance.query_optimization',
    env: null,
    schema: flag,
    fallback: true,
    about:
      'Plan for short queries: switches the just-in-time compiler of Postgres off for our transactions.',
  },
  {
    path: 'production.performance.index_optimization',
    env: null,
    schema: flag,
    fallback: true,
    about:
      'Keep tables and indexes small where the server does not do it by itself: the embedded Postgres has no autovacuum, so a job vacuums and analyses what has changed much. A Postgres with autovacuum is left alone.',
  },
] as const satisfies readonly Setting[];

/** A setting's dotted path. */
export type SettingPath = (typeof SETTINGS)[number]['path'];

/** Where {@link loadConfig} looks for the file unless told. */
export const CONFIG_FILE = 'context.yaml';
