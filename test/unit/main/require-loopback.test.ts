import { describe, expect, it } from 'vitest';
import { AppError } from '../../../domain/errors.ts';
import { isLoopback, loadConfig } from '../../../main/config.ts';
import { requireLoopback } from '../../../main/require-loopback.ts';

/** Pointers of the faults; keys are off unless told. */
function faultsOf(env: NodeJS.ProcessEnv): string[] {
  try {
    loadConfig(env);
  } catch (error) {
    if (error instanceof AppError) return error.errors.map((fault) => fault.pointer);
    throw error;
  }
  return [];
}

const BEYOND = [
  '0.0.0.0',
  '::',
  '::0',
  '*',
  '192.168.1.10',
  '10.0.0.1',
  '169.254.169.254',
  '2001:db8::1',
  'fe80::1',
  '::ffff:10.0.0.1',
  'example.com',
  'localhost.example.com',
  '127.0.0.1.example.com',
  '127.evil',
  '128.0.0.1',
  '0127.0.0.1',
];

describe('without keys', () => {
  it.each(BEYOND)('the server does not listen on %s', (host) => {
    expect(isLoopback(host)).toBe(false);
    expect(faultsOf({ CONTEXT_API_HOST: host, CONTEXT_AUTH: 'off' })).toContain('api.host');
    expect(faultsOf({ CONTEXT_API_HOST: host })).toContain('api.host');
    expect(faultsOf({ CONTEXT_API_HOST: host, CONTEXT_AUTH: 'keys' })).not.toContain('api.host');
  });

  it.each(['127.0.0.1', '127.0.0.53', '::1', 'localhost'])('it may listen on %s', (host) => {
    expect(faultsOf({ CONTEXT_API_HOST: host })).toEqual([]);
  });

  it('a page of another machine cannot be let in either', () => {
    const foreign = { CONTEXT_CORS_ORIGINS: 'http://localhost:5173,https://app.example.com' };
    expect(faultsOf(foreign)).toEqual(['security.cors.origins']);
    expect(faultsOf({ ...foreign, CONTEXT_AUTH: 'keys' })).toEqual([]);
    expect(faultsOf({ CONTEXT_CORS_ORIGINS: 'http://localhost:5173' })).toEqual([]);
  });

  it('a name must mean this machine when it is looked up, too', async () => {
    const at = (host: string, mode: 'off' | 'keys', ...addresses: string[]): Promise<void> =>
      requireLoopback({ api: { host }, auth: { mode } }, async () => addresses);
    await at('localhost', 'off', '127.0.0.1', '::1');
    await at('localhost', 'keys', '192.0.2.1');
    const elsewhere = at('localhost', 'off', '127.0.0.1', '192.0.2.1');
    await expect(elsewhere).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await expect(at('0.0.0.0', 'off', '127.0.0.1')).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
    await requireLoopback({
      api: { host: '127.0.0.1' },
      auth: { mode: 'off' },
    });
  });
});

describe('settings about callers', () => {
  it.each([
    ['CONTEXT_CORS_ORIGINS', '*', 'security.cors.origins'],
    ['CONTEXT_CORS_ORIGINS', 'app.example.com', 'security.cors.origins'],
    ['CONTEXT_CORS_ORIGINS', 'https://app.example.com/', 'security.cors.origins'],
    ['CONTEXT_CORS_ORIGINS', 'https://App.example.com', 'security.cors.origins'],
    ['CONTEXT_TRUST_PROXY', 'true', 'api.trust_proxy'],
    ['CONTEXT_TRUST_PROXY', '-1', 'api.trust_proxy'],
    ['CONTEXT_TRUST_PROXY', '11', 'api.trust_proxy'],
    ['CONTEXT_TRUST_PROXY', '10.0.0.0/33', 'api.trust_proxy'],
    ['CONTEXT_TRUST_PROXY', 'proxy.example.com', 'api.trust_proxy'],
  ])('%s=%s is refused', (name, value, path) => {
    expect(faultsOf({ [name]: value, CONTEXT_AUTH: 'keys' })).toEqual([`${name} (${path})`]);
  });

  it('take origins, and proxies by number or address', () => {
    const config = loadConfig({
      CONTEXT_AUTH: 'keys',
      CONTEXT_CORS_ORIGINS: 'https://app.example.com, http://localhost:5173',
      CONTEXT_TRUST_PROXY: 'loopback, 10.0.0.0/8, 2001:db8::/32',
    });
    expect(config.corsOrigins).toEqual(['https://app.example.com', 'http://localhost:5173']);
    expect(config.trustProxy).toEqual(['loopback', '10.0.0.0/8', '2001:db8::/32']);
    expect(loadConfig({ CONTEXT_TRUST_PROXY: '2' }).trustProxy).toBe(2);
    expect(loadConfig({}).trustProxy).toBe(0);
  });
});
