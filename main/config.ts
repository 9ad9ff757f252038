/**
 * Configuration: `context.yaml` overlaid by the environment, checked whole, every fault reported at
 * once, then frozen. Nothing else in the product reads the environment.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { AppError, messageOf, type FieldError } from '../domain/errors.ts';
import type { RetentionPolicy } from '../store/contract.ts';
import { Secret } from './secret.ts';
import { CONFIG_FILE, SETTINGS, type Setting } from './settings.ts';

export interface Config {
  /** Absolute. */
  readonly home: string;
  /** Whether missing servers may not be installed or downloaded. */
  readonly noInstall: boolean;
  readonly api: { readonly host: string; readonly port: number };
  readonly auth: { readonly mode: 'keys' | 'off'; readonly rootKey: Secret | null };
  /** Null: nobody named one; `npm start` brings up what is missing. */
  readonly database: {
    readonly url: Secret | null;
    readonly poolMin: number;
    readonly poolMax: number;
  };
  readonly redis: { readonly url: Secret | null; readonly prefix: string };
  readonly temporal: {
    readonly address: string | null;
    readonly namespace: string;
    readonly apiKey: Secret | null;
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
  readonly context: { readonly maxBytes: number };
  readonly sync: {
    readonly pulseMs: number;
    readonly maxLive: number;
    readonly maxLivePerProcess: number;
    readonly maxPolledRestMs: number;
    readonly maxWatchedRestMs: number;
    readonly auditMs: number;
  };
  readonly retention: RetentionPolicy;
  readonly rateLimit: { readonly maxRequests: number; readonly windowMs: number };
  readonly log: { readonly level: string };
}

type Values = Readonly<Record<string, unknown>>;

/**
 * Reads and checks the configuration.
 * @param file path of the YAML file; when it is the default one it may be missing
 * @throws AppError CONFIG_INVALID with one field error per fault
 */
export function loadConfig(env: NodeJS.ProcessEnv, file: string = CONFIG_FILE): Config {
  const faults: FieldError[] = [];
  const fromFile = flatten(readFile(file, file === CONFIG_FILE), faults);
  const values = Object.fromEntries(
    SETTINGS.map((setting) => [setting.path, valueOf(setting, { env, fromFile, faults })]),
  );
  checkTogether(values, faults);
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

function readFile(file: string, mayBeMissing: boolean): unknown {
  try {
    return parse(readFileSync(file, 'utf8')) ?? {};
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (isMissing && mayBeMissing) return {};
    throw new AppError('CONFIG_INVALID', `${file} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Nested keys as dotted paths. A key that is no setting is a fault, with the nearest one named. */
function flatten(tree: unknown, faults: FieldError[], path = ''): Values {
  const known = SETTINGS.map((setting) => setting.path as string);
  if (path !== '' && known.includes(path)) return { [path]: tree };
  const isBranch = path === '' || known.some((name) => name.startsWith(`${path}.`));
  if (!isBranch || typeof tree !== 'object' || tree === null || Array.isArray(tree)) {
    faults.push({
      pointer: path || 'the file',
      detail: isBranch
        ? 'must hold keys below it'
        : `is not a setting; did you mean ${nearest(path, known)}?`,
    });
    return {};
  }
  const parts = Object.entries(tree).map(([name, below]) =>
    flatten(below, faults, path ? `${path}.${name}` : name),
  );
  return Object.assign({}, ...parts) as Values;
}

function valueOf(
  setting: Setting,
  sources: { env: NodeJS.ProcessEnv; fromFile: Values; faults: FieldError[] },
): unknown {
  const fromEnv = setting.env ? sources.env[setting.env] : undefined;
  const isFromEnv = fromEnv !== undefined && fromEnv !== '';
  const given = isFromEnv ? fromEnv : sources.fromFile[setting.path];
  if (given === undefined) return setting.fallback;
  const parsed = setting.schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const where = isFromEnv ? `${setting.env} (${setting.path})` : setting.path;
  const shown = setting.isSecret ? '' : ` (it is ${JSON.stringify(given)})`;
  sources.faults.push({
    pointer: where,
    detail: `${parsed.error.issues.map((issue) => issue.message).join('; ')}${shown}`,
  });
  return setting.fallback;
}

/** Rules that need more than one setting. */
function checkTogether(values: Values, faults: FieldError[]): void {
  if (values['auth.mode'] === 'off' && !isLoopback(String(values['api.host']))) {
    faults.push({
      pointer: 'api.host',
      detail: `listening on ${String(values['api.host'])} needs auth.mode "keys" (CONTEXT_AUTH=keys): without keys anybody who can reach it owns your data`,
    });
  }
  const [watched, open] = [values['connectors.maxWatched'], values['connectors.maxOpen']];
  if (Number(watched) >= Number(open)) {
    faults.push({
      pointer: 'connectors.maxWatched',
      detail: `must be below connectors.maxOpen (${String(open)}): watched remotes are always open, polled ones need room too`,
    });
  }
  if (Number(values['retention.horizonMs']) < Number(values['retention.keepDeletedMs'])) {
    faults.push({
      pointer: 'retention.horizonMs',
      detail:
        'must not be below retention.keepDeletedMs: what is kept at least that long cannot go sooner',
    });
  }
  for (const root of values['connectors.fileRoots'] as string[]) {
    if (resolve(root) !== root.replace(/(.)\/$/, '$1'))
      faults.push({ pointer: 'connectors.fileRoots', detail: `${root} must be an absolute path` });
  }
}

/** Whether an address is only reachable from this machine. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

function configOf(values: Values): Config {
  const get = <T>(path: (typeof SETTINGS)[number]['path']): T => values[path] as T;
  const secret = (value: string | null): Secret | null =>
    value === null ? null : new Secret(value);
  return {
    home: resolve(get<string>('home')),
    noInstall: get('noInstall'),
    api: { host: get('api.host'), port: get('api.port') },
    auth: { mode: get('auth.mode'), rootKey: secret(get('auth.rootKey')) },
    database: {
      url: secret(databaseUrl(get)),
      poolMin: get('database.pool.min'),
      poolMax: get('database.pool.max'),
    },
    redis: {
      url: secret(redisUrl(get('redis.url'), get('redis.password'))),
      prefix: get('redis.prefix'),
    },
    temporal: {
      address: get('temporal.address'),
      namespace: get('temporal.namespace'),
      apiKey: secret(get('temporal.apiKey')),
      uiUrl: get('temporal.uiUrl'),
      taskQueue: get('temporal.taskQueue'),
      maxCachedWorkflows: get('temporal.maxCachedWorkflows'),
    },
    connectors: {
      fileRoots: get('connectors.fileRoots'),
      stdioAllow: get('connectors.stdioAllow'),
      remoteHosts: get('connectors.remoteHosts'),
      secrets: get('connectors.secrets'),
      maxOpen: get('connectors.maxOpen'),
      maxWatched: get('connectors.maxWatched'),
      idleMs: get('connectors.idleMs'),
    },
    context: { maxBytes: get('context.maxBytes') },
    sync: {
      pulseMs: get('sync.pulseMs'),
      maxLive: get('sync.maxLive'),
      maxLivePerProcess: get('sync.maxLivePerProcess'),
      maxPolledRestMs: get('sync.maxPolledRestMs'),
      maxWatchedRestMs: get('sync.maxWatchedRestMs'),
      auditMs: get('sync.auditMs'),
    },
    retention: {
      keepDeletedMs: get('retention.keepDeletedMs'),
      horizonMs: get('retention.horizonMs'),
      maxVersions: get('retention.maxVersions'),
      keepRunsMs: get('retention.keepRunsMs'),
      keepRunsPerLink: get('retention.keepRunsPerLink'),
      keepAuditMs: get('retention.keepAuditMs'),
      blobGraceMs: get('retention.blobGraceMs'),
    },
    rateLimit: { maxRequests: get('rateLimit.maxRequests'), windowMs: get('rateLimit.windowMs') },
    log: { level: get('log.debug') ? 'debug' : get('log.level') },
  };
}

function databaseUrl(get: <T>(path: (typeof SETTINGS)[number]['path']) => T): string | null {
  const url = get<string | null>('database.url');
  const host = get<string | null>('database.host');
  if (url !== null || host === null) return url;
  const made = new URL('postgres://localhost');
  made.hostname = host;
  made.port = String(get<number>('database.port'));
  made.pathname = `/${encodeURIComponent(get<string>('database.name'))}`;
  made.username = encodeURIComponent(get<string>('database.user'));
  made.password = encodeURIComponent(get<string | null>('database.password') ?? '');
  return made.href;
}

function redisUrl(url: string | null, password: string | null): string | null {
  if (url === null || password === null) return url;
  const made = new URL(url);
  if (made.password === '') made.password = encodeURIComponent(password);
  return made.href;
}

function nearest(path: string, known: readonly string[]): string {
  const score = (name: string): number =>
    [...path].filter((char, at) => name[at] === char).length -
    Math.abs(name.length - path.length) / 10;
  return known.reduce((best, name) => (score(name) > score(best) ? name : best));
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !(value instanceof Secret)) {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}
