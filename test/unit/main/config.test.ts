import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppError } from '../../../domain/errors.ts';
import { configDocs } from '../../../main/config-docs.ts';
import { loadConfig } from '../../../main/config.ts';

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
      'TEMPORAL_UI_URL (temporal.uiUrl)',
      'api.prot',
      'log.level',
    ]);
    expect(faults['api.prot']).toContain('did you mean api.port?');
  });

  it('refuses to listen beyond loopback without keys', () => {
    expect(faultsOf({ CONTEXT_API_HOST: '0.0.0.0' })['api.host']).toContain('CONTEXT_AUTH=keys');
    expect(faultsOf({ CONTEXT_API_HOST: '0.0.0.0', CONTEXT_AUTH: 'keys' })).toEqual({});
  });

  it('wants absolute folders for file connectors', () => {
    expect(faultsOf({ SYNCLINE_FILE_ROOTS: '/srv/a:relative' })).toEqual({
      'connectors.fileRoots': 'relative must be an absolute path',
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

  it('is documented key by key in docs/configuration.md', () => {
    const page = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8');
    expect(page).toBe(configDocs());
  });
});
