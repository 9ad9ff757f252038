import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppError } from '../../../domain/errors.ts';
import { configDocs } from '../../../main/config-docs.ts';
import { loadConfig } from '../../../main/config.ts';
import { SETTINGS } from '../../../main/settings.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(text: string): string {
  const path = join(folder, 'given.yaml');
  writeFileSync(path, text);
  return path;
}

/** The faults of a configuration, by key. */
function faultsOf(env: NodeJS.ProcessEnv, text = ''): Record<string, string> {
  try {
    loadConfig(env, file(text));
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    expect(error.code).toBe('CONFIG_INVALID');
    return Object.fromEntries(error.errors.map(({ pointer, detail }) => [pointer, detail]));
  }
  return {};
}

describe('configuration', () => {
  it('needs nothing: every setting has a default', () => {
    const config = loadConfig({}, file(''));
    expect(config.api).toEqual({ host: '127.0.0.1', port: 3100 });
    expect(config.auth.mode).toBe('off');
    expect(config.database.url).toBeNull();
    expect(config.connectors).toMatchObject({ fileRoots: [], stdioAllow: [] });
  });

  it('lets the environment win over the file', () => {
    const config = loadConfig(
      { CONTEXT_API_PORT: '4000' },
      file('api:\n  port: 5000\n  host: 127.0.0.2\n'),
    );
    expect(config.api).toEqual({ host: '127.0.0.2', port: 4000 });
  });

  it('reports every fault at once, each with its key, and names the setting that was meant', () => {
    const faults = faultsOf(
      { CONTEXT_API_PORT: 'many', TEMPORAL_UI_URL: 'nowhere' },
      'api:\n  prot: 1\nlog:\n  level: loud\n',
    );
    expect(Object.keys(faults).sort()).toEqual([
      'CONTEXT_API_PORT (api.port)',
      'TEMPORAL_UI_URL (temporal.ui_url)',
      'api.prot',
      'log.level',
    ]);
    expect(faults['api.prot']).toContain('did you mean api.port?');
  });

  it('says what a value must be, in words', () => {
    const text = 'connectors:\n  file_roots: [1]\nlog:\n  level: loud\n  debug: perhaps\n';
    const env = {
      CONTEXT_API_PORT: 'abc',
      POSTGRES_PORT: '70000',
      CONTEXT_ROOT_KEY: 'hidden',
      TEMPORAL_UI_URL: 'nowhere',
      CONTEXT_TRUST_PROXY: 'everybody',
    };
    expect(faultsOf(env, text)).toEqual({
      'CONTEXT_API_PORT (api.port)': 'must be a number (it is "abc")',
      'POSTGRES_PORT (database.postgresql.port)': 'must be at most 65535 (it is "70000")',
      'CONTEXT_ROOT_KEY (auth.root_key)': 'must have at least 16 character(s)',
      'TEMPORAL_UI_URL (temporal.ui_url)': 'must be an address (URL) (it is "nowhere")',
      'CONTEXT_TRUST_PROXY (api.trust_proxy)':
        'must be a number up to 10, or addresses like 10.0.0.5, 10.0.0.0/8, loopback (it is "everybody")',
      'connectors.file_roots': '/0 must be a string (it is [1])',
      'log.level':
        'must be one of `trace`, `debug`, `info`, `warn`, `error`, `fatal`, `silent` (it is "loud")',
      'log.debug': 'must be true or false (it is "perhaps")',
    });
  });

  it('refuses to listen beyond loopback without keys', () => {
    expect(faultsOf({ CONTEXT_API_HOST: '0.0.0.0' })['api.host']).toContain('CONTEXT_AUTH=keys');
    expect(faultsOf({ CONTEXT_API_HOST: '0.0.0.0', CONTEXT_AUTH: 'keys' })).toEqual({});
  });

  it('wants absolute folders for file connectors', () => {
    expect(faultsOf({ SYNCLINE_FILE_ROOTS: '/srv/a:relative' })).toEqual({
      'connectors.file_roots': 'relative must be an absolute path',
    });
    expect(
      loadConfig({ SYNCLINE_FILE_ROOTS: '/srv/a:/srv/b/' }, file('')).connectors.fileRoots,
    ).toEqual(['/srv/a', '/srv/b/']);
  });

  it('makes one database address of its parts, and escapes them', () => {
    const config = loadConfig(
      {
        POSTGRES_HOST: 'db',
        POSTGRES_USER: 'u',
        POSTGRES_PASSWORD: 'p@ss/word',
        POSTGRES_DB: 'ctx',
      },
      file(''),
    );
    expect(config.database.url?.reveal()).toBe('postgres://u:p%40ss%2Fword@db:5432/ctx');
  });

  it('never shows a secret, neither in errors nor when printed', () => {
    const config = loadConfig(
      {
        DATABASE_URL: 'postgres://u:hidden@db/x',
        REDIS_URL: 'redis://r:6379',
        REDIS_PASSWORD: 'hidden',
      },
      file(''),
    );
    expect(
      `${JSON.stringify(config)} ${inspect(config)} ${String(config.redis.url)}`,
    ).not.toContain('hidden');
    expect(JSON.stringify(faultsOf({ DATABASE_URL: 'mysql://hidden' }))).not.toContain('hidden');
  });

  it('cannot be changed once it is read', () => {
    const config = loadConfig({}, file(''));
    expect(() => Object.assign(config.api, { port: 1 })).toThrow(TypeError);
  });

  it('says which file cannot be read', () => {
    expect(() => loadConfig({}, join(folder, 'missing.yaml'))).toThrow(/missing\.yaml/);
    expect(() => loadConfig({}, file('api: [unclosed'))).toThrow(/given\.yaml/);
  });

  it('names settings in one way only: lower case words joined by underscores', () => {
    for (const { path } of SETTINGS)
      expect(path).toMatch(/^[a-z\d]+(_[a-z\d]+)*(\.[a-z\d]+(_[a-z\d]+)*)*$/);
    expect(new Set(SETTINGS.map(({ path }) => path)).size).toBe(SETTINGS.length);
  });

  it('knows every key of the document it was made after', () => {
    const config = loadConfig(
      {},
      file(`
database:
  postgresql: { pool: { max: 20, min: 2 } }
  redis: { cache: { default_ttl: 3600 } }
context:
  storage: { default_ttl: 86400 }
  versioning: { max_versions: 10 }
  compression: { threshold: 1024 }
security:
  rate_limit: { max_requests: 1000, window_ms: 900000 }
production:
  caching: { aggressive: true, preload_hot_contexts: true, memory_cache_size: '512mb' }
  performance: { connection_pooling: true, query_optimization: true, index_optimization: true }
`),
    );
    expect(config.database).toMatchObject({ poolMin: 2, poolMax: 20, isPooled: true });
    expect(config.context).toMatchObject({ defaultTtlS: 86_400, compressAbove: 1024 });
    expect(config.retention.maxVersions).toBe(10);
    expect(config.rateLimit).toEqual({ maxRequests: 1000, windowMs: 900_000 });
  });

  it('takes times and sizes with units, and for ever as null', () => {
    const config = loadConfig(
      { CONTEXT_RATE_LIMIT_WINDOW_MS: '15m' },
      file(
        'context: { storage: { default_ttl: null, max_bytes: 1mb } }\nretention: { horizon_ms: 30d, keep_deleted_ms: 6h }\n',
      ),
    );
    expect(config.context).toMatchObject({ defaultTtlS: null, maxBytes: 1024 ** 2 });
    expect(config.retention).toMatchObject({
      horizonMs: 30 * 86_400_000,
      keepDeletedMs: 6 * 3_600_000,
    });
    expect(config.rateLimit.windowMs).toBe(900_000);
    expect(faultsOf({}, 'sync: { pulse_ms: 5 parsecs }')['sync.pulse_ms']).toContain('"6h"');
  });

  it('offers the setting that was meant, also when whole parts of its name are missing', () => {
    const faults = faultsOf({}, 'redis: { url: x }\nsync: { pulseMs: 1 }\nqqqqqq: 1\n');
    expect(faults['redis']).toContain('did you mean database.redis.url?');
    expect(faults['sync.pulseMs']).toContain('did you mean sync.pulse_ms?');
    expect(faults['qqqqqq']).toBe('is not a setting');
  });

  it('logs everything with DEBUG, whatever LOG_LEVEL says', () => {
    expect(loadConfig({ LOG_LEVEL: 'warn' }, file('')).log.level).toBe('warn');
    expect(loadConfig({ LOG_LEVEL: 'warn', DEBUG: 'true' }, file('')).log.level).toBe('debug');
  });

  it('is documented key by key in docs/configuration.md', () => {
    const page = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8');
    expect(page).toBe(configDocs());
  });
});
