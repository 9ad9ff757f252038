import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkSettings, loadConfig, type Config } from '../../../main/config.ts';
import { temporalAccess } from '../../../main/temporal-connection.ts';

let folder: string;
let file: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-tls-'));
  file = join(folder, 'given.yaml');
  writeFileSync(file, '');
});
afterAll(() => rmSync(folder, { recursive: true }));

const CA = 'TEMPORAL_TLS_SERVER_CA_CERT_PATH';
const CERT = 'TEMPORAL_TLS_CLIENT_CERT_PATH';
const temporal = (env: NodeJS.ProcessEnv): Config['temporal'] => loadConfig(env, file).temporal;
const faultsOf = (env: NodeJS.ProcessEnv): string[] =>
  checkSettings(env, file).faults.map(({ pointer }) => pointer);

describe('TLS to Temporal', () => {
  it('is off by itself, and on with an API key, a file, or when it is asked for', () => {
    expect(temporal({}).tls).toBeNull();
    expect(temporal({ TEMPORAL_API_KEY: 'key' }).tls).not.toBeNull();
    expect(temporal({ [CA]: 'ca.pem' }).tls).toMatchObject({ caFile: 'ca.pem' });
    expect(temporal({ TEMPORAL_TLS: 'true' }).tls).not.toBeNull();
    expect(temporal({ TEMPORAL_TLS: 'false', [CA]: 'ca.pem' }).tls).toBeNull();
  });

  it('takes a certificate only with its key, and sends no API key in clear', () => {
    expect(faultsOf({ [CERT]: 'own.pem' })).toEqual(['temporal.tls.cert_file']);
    expect(faultsOf({ TEMPORAL_TLS: 'false', TEMPORAL_API_KEY: 'key' })).toEqual([
      'temporal.tls.enabled',
    ]);
  });

  it('names the setting whose file cannot be read or is no certificate', () => {
    const missing = temporal({ [CA]: join(folder, 'nowhere.pem') });
    expect(() => temporalAccess(missing)).toThrow(/temporal\.tls\.ca_file: .* cannot be read/);
    const wrong = temporal({ [CA]: file });
    expect(() => temporalAccess(wrong)).toThrow(/temporal\.tls\.ca_file: .* is not PEM/);
  });

  it('with an API key alone trusts whom the system trusts', () => {
    const where = temporal({ TEMPORAL_ADDRESS: 'cloud:7233', TEMPORAL_API_KEY: 'key' });
    expect(temporalAccess(where)).toEqual({ address: 'cloud:7233', apiKey: 'key', tls: {} });
  });
});
