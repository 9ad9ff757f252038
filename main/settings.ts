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
