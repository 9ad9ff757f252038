/**
 * Every setting there is: where it stands in `context.yaml`, which environment variable overrides
 * it, what it means. The loader, the error messages and docs/configuration.md all come from here.
 */
import { z } from 'zod';

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

const port = z.coerce.number().int().min(0).max(65_535);
const count = z.coerce.number().int().min(1);
const text = z.string().min(1);
const flag = z.union([z.boolean(), z.stringbool()]);
const listOf = (separator: string) =>
  z.union([
    z.array(text),
    z.string().transform((all) =>
      all
        .split(separator)
        .map((part) => part.trim())
        .filter(Boolean),
    ),
  ]);
/** A variable's name, or how it begins; not all of them. */
const variables = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*\*?$/, 'must be a name, or NAME*');
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
    path: 'noInstall',
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
    path: 'auth.mode',
    env: 'CONTEXT_AUTH',
    schema: z.enum(['keys', 'off']),
    fallback: 'off',
    about: 'Whether callers need an API key. `off` works on loopback only.',
  },
  {
    path: 'auth.rootKey',
    env: 'CONTEXT_ROOT_KEY',
    schema: z.string().min(16).nullable(),
    fallback: null,
    about:
      'Key with all scopes for the tenant `default`. Without it the first start with keys on makes one and prints it once.',
    isSecret: true,
  },
  {
    path: 'database.url',
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
    path: 'database.host',
    env: 'POSTGRES_HOST',
    schema: text.nullable(),
    fallback: null,
    about: 'Used when `database.url` is not set.',
  },
  {
    path: 'database.port',
    env: 'POSTGRES_PORT',
    schema: port,
    fallback: 5432,
    about: 'Used with `database.host`.',
  },
  {
    path: 'database.name',
    env: 'POSTGRES_DB',
    schema: text,
    fallback: 'syncline',
    about: 'Used with `database.host`.',
  },
  {
    path: 'database.user',
    env: 'POSTGRES_USER',
    schema: text,
    fallback: 'syncline',
    about: 'Used with `database.host`.',
  },
  {
    path: 'database.password',
    env: 'POSTGRES_PASSWORD',
    schema: z.string().nullable(),
    fallback: null,
    about: 'Used with `database.host`.',
    isSecret: true,
  },
  {
    path: 'database.pool.min',
    env: null,
    schema: z.coerce.number().int().min(0),
    fallback: 2,
    about: 'Connections kept open.',
  },
  {
    path: 'database.pool.max',
    env: null,
    schema: count,
    fallback: 20,
    about: 'Connections at most, per process.',
  },
  {
    path: 'redis.url',
    env: 'REDIS_URL',
    schema: z
      .string()
      .regex(/^rediss?:\/\//, 'must start with redis://')
      .nullable(),
    fallback: null,
    about: 'Redis for queues and announcements. Without it `npm start` brings one up.',
    isSecret: true,
  },
  {
    path: 'redis.password',
    env: 'REDIS_PASSWORD',
    schema: z.string().nullable(),
    fallback: null,
    about: 'Password, when it is not in the URL.',
    isSecret: true,
  },
  {
    path: 'redis.prefix',
    env: null,
    schema: text,
    fallback: 'syncline',
    about: 'Prefix of every key we write to Redis.',
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
    path: 'temporal.apiKey',
    env: 'TEMPORAL_API_KEY',
    schema: z.string().nullable(),
    fallback: null,
    about: 'API key of Temporal Cloud; turns TLS on.',
    isSecret: true,
  },
  {
    path: 'temporal.uiUrl',
    env: 'TEMPORAL_UI_URL',
    schema: z.url().nullable(),
    fallback: null,
    about: 'Base URL of the Temporal UI, for links in answers.',
  },
  {
    path: 'temporal.taskQueue',
    env: null,
    schema: text,
    fallback: 'syncline-sync',
    about: 'Task queue of the sync workers.',
  },
  {
    path: 'temporal.maxCachedWorkflows',
    env: null,
    schema: count,
    fallback: 300,
    about: 'Workflows one worker keeps in memory.',
  },
  {
    path: 'connectors.fileRoots',
    env: 'SYNCLINE_FILE_ROOTS',
    schema: listOf(':'),
    fallback: [],
    about: 'Absolute folders that file connectors may open (`:`-separated in the environment).',
  },
  {
    path: 'connectors.stdioAllow',
    env: 'SYNCLINE_STDIO_ALLOW',
    schema: listOf(','),
    fallback: [],
    about: 'Commands that stdio connectors may start (`,`-separated in the environment).',
  },
  {
    path: 'connectors.remoteHosts',
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
    path: 'connectors.maxOpen',
    env: null,
    schema: count,
    fallback: 200,
    about:
      'Remotes a process keeps open at once, besides those with a call under way. Each may be a process or a connection; beyond the bound the one used longest ago is closed until it is needed.',
  },
  {
    path: 'connectors.maxWatched',
    env: null,
    schema: z.coerce.number().int().min(0),
    fallback: 150,
    about:
      'Remotes a process listens to at once; must be below `connectors.maxOpen`. Links beyond it are polled.',
  },
  {
    path: 'connectors.idleMs',
    env: null,
    schema: z.coerce.number().int().min(1000),
    fallback: 300_000,
    about: 'An open remote that nobody has used for so long, and nobody watches, is closed; ms.',
  },
  {
    path: 'context.maxBytes',
    env: null,
    schema: count,
    fallback: 10_485_760,
    about: 'Most bytes of compact JSON one context may hold.',
  },
  {
    path: 'sync.pulseMs',
    env: null,
    schema: z.coerce.number().int().min(1000),
    fallback: 5000,
    about: 'How often due links are woken.',
  },
  {
    path: 'sync.maxLive',
    env: null,
    schema: count,
    fallback: 200,
    about:
      'Links that may be under way at once, in all processes. The pulse wakes no more; the others stay due and come in turn, tenant by tenant. Hints and hub writes are not held back by it.',
  },
  {
    path: 'sync.maxLivePerProcess',
    env: null,
    schema: count,
    fallback: 50,
    about: 'Links one process works on at once; more wait in the queue.',
  },
  {
    path: 'sync.maxPolledRestMs',
    env: null,
    schema: count,
    fallback: 30_000,
    about:
      'While nothing changes, a link whose remote cannot be watched is looked at less and less often: after 1, 2, 4 … intervals, but at least this often (or at its own interval, if that is longer); ms.',
  },
  {
    path: 'sync.maxWatchedRestMs',
    env: null,
    schema: count,
    fallback: 60_000,
    about: 'The same for a link whose remote is watched; the look is only a net for lost hints.',
  },
  {
    path: 'sync.auditMs',
    env: null,
    schema: z.coerce.number().int().min(60_000),
    fallback: DAY_MS,
    about:
      'How often each link is audited (± 25 %): both sides are read anew, compared and, where they differ, brought together by an ordinary run; ms.',
  },
  {
    path: 'retention.keepDeletedMs',
    env: null,
    schema: z.coerce.number().int().min(60_000),
    fallback: 7 * DAY_MS,
    about:
      'Deleted contexts and rows of the change feed stay at least this long, and until every link has seen them; ms.',
  },
  {
    path: 'retention.horizonMs',
    env: null,
    schema: z.coerce.number().int().min(60_000),
    fallback: 30 * DAY_MS,
    about:
      'Rows of the change feed go after this long, seen or not. A cursor from before is refused with `CURSOR_EXPIRED`; a link that slept longer is compared anew and deletes nothing; ms.',
  },
  {
    path: 'retention.maxVersions',
    env: null,
    schema: count,
    fallback: 100,
    about: 'Versions kept per context, besides those a link or an open conflict still needs.',
  },
  {
    path: 'retention.keepRunsMs',
    env: null,
    schema: z.coerce.number().int().min(60_000),
    fallback: 30 * DAY_MS,
    about: 'Runs with their ops, and decided conflicts, stay at least this long; ms.',
  },
  {
    path: 'retention.keepRunsPerLink',
    env: null,
    schema: count,
    fallback: 50,
    about: 'Newest runs kept per link, however old.',
  },
  {
    path: 'retention.keepAuditMs',
    env: null,
    schema: z.coerce.number().int().min(60_000),
    fallback: 365 * DAY_MS,
    about: 'Rows of the audit log (who changed what) stay this long; ms.',
  },
  {
    path: 'retention.blobGraceMs',
    env: null,
    schema: z.coerce
      .number()
      .int()
      .min(2 * 3_600_000),
    fallback: DAY_MS,
    about: 'A body that nothing refers to any more stays this long after its last use; ms.',
  },
  {
    path: 'rateLimit.maxRequests',
    env: 'CONTEXT_RATE_LIMIT_MAX_REQUESTS',
    schema: count,
    fallback: 1000,
    about: 'Requests one caller may make per window. Not applied while keys are off.',
  },
  {
    path: 'rateLimit.windowMs',
    env: 'CONTEXT_RATE_LIMIT_WINDOW_MS',
    schema: count,
    fallback: 900_000,
    about: 'Length of that window, ms.',
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
] as const satisfies readonly Setting[];

/** Where {@link loadConfig} looks for the file unless told. */
export const CONFIG_FILE = 'context.yaml';
