/** The only file of the command that reads the environment, `context.yaml` and the running stack's lock. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import type { ServerAddresses } from '../dev/look-around.ts';

export interface Environment {
  /**
   * Where the API is: `SYNCLINE_URL`; `CONTEXT_API_HOST` and `CONTEXT_API_PORT`; what the stack that runs
   * from here wrote down; `api.host` and `api.port` of `context.yaml`; the default.
   */
  readonly url: string;
  readonly apiKey: string | null;
  readonly hasColor: boolean;
  /** Where to look when the API does not answer; absent: nobody knows. */
  readonly installation?: {
    /** Folder of the embedded stack's state, absolute. */
    readonly home: string;
    /** Servers the configuration names. */
    readonly servers: ServerAddresses;
  };
}

const DEFAULT_HOST = '127.0.0.1';
const DEFAULT_PORT = '3100';
const DEFAULT_URL = `http://${DEFAULT_HOST}:${DEFAULT_PORT}`;
/** Where a server listens that listens everywhere. */
const EVERYWHERE: ReadonlySet<string> = new Set(['0.0.0.0', '::', '[::]']);

/** Reads what the server reads to know where things are, `SYNCLINE_API_KEY` and `NO_COLOR`. */
export function readEnvironment(env: NodeJS.ProcessEnv = process.env): Environment {
  const file = readConfigFile();
  const home = resolve(env['SYNCLINE_HOME'] || file('home') || '.syncline');
  return {
    url:
      env['SYNCLINE_URL'] ||
      urlOf(env['CONTEXT_API_HOST'], env['CONTEXT_API_PORT']) ||
      urlOfRunningStack(home) ||
      urlOf(file('api.host'), file('api.port')) ||
      DEFAULT_URL,
    apiKey: env['SYNCLINE_API_KEY'] || null,
    hasColor: !env['NO_COLOR'] && env['TERM'] !== 'dumb',
    installation: {
      home,
      servers: {
        postgres: env['DATABASE_URL'] || postgresOf(env) || file('database.postgresql.url'),
        redis: env['REDIS_URL'] || file('database.redis.url'),
        temporal: env['TEMPORAL_ADDRESS'] || file('temporal.address'),
      },
    },
  };
}

/** Null when neither is given, or they make no URL. */
function urlOf(host?: string | null, port?: string | null): string | null {
  if (!host && !port) return null;
  const named = !host || EVERYWHERE.has(host) ? DEFAULT_HOST : host;
  const authority = named.includes(':') && !named.startsWith('[') ? `[${named}]` : named;
  const url = `http://${authority}:${port || DEFAULT_PORT}`;
  return URL.canParse(url) ? url : null;
}

function postgresOf(env: NodeJS.ProcessEnv): string | null {
  const host = env['POSTGRES_HOST'];
  return host ? `${host}:${env['POSTGRES_PORT'] || '5432'}` : null;
}

/** Texts of `context.yaml` by dotted path. The server checks the file; here a bad one counts as none. */
function readConfigFile(): (path: string) => string | null {
  let tree: unknown = null;
  try {
    tree = parse(readFileSync('context.yaml', 'utf8'));
  } catch {
    // Not there, or not YAML.
  }
  return (path) => {
    const found = path.split('.').reduce<unknown>(memberOf, tree);
    const text = typeof found === 'number' ? String(found) : found;
    return typeof text === 'string' && text !== '' ? text : null;
  };
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

// The lock is written by dev/lock.ts. Not there, or half written: nothing runs from this folder.
function urlOfRunningStack(home: string): string | null {
  try {
    const lock: unknown = JSON.parse(readFileSync(join(home, 'lock.json'), 'utf8'));
    const url = typeof lock === 'object' && lock !== null && 'url' in lock ? lock.url : null;
    return typeof url === 'string' && URL.canParse(url) ? url : null;
  } catch {
    return null;
  }
}
