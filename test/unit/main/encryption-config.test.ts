import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../main/config.ts';

const [KEY, OLD, OLDER] = [0, 1, 2].map(() => randomBytes(32).toString('base64')) as [
  string,
  string,
  string,
];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-encryption-config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function load(env: NodeJS.ProcessEnv, text = ''): ReturnType<typeof loadConfig> {
  const path = join(folder, 'context.yaml');
  writeFileSync(path, text);
  return loadConfig(env, path);
}

describe('the configuration of encryption', () => {
  it('is off, and has no key, unless somebody says so', () => {
    expect(load({}).encryption).toEqual({ enabled: false, key: null, oldKeys: [] });
  });

  it('takes key, old keys and default from the file or the environment', () => {
    const fromFile = load(
      {},
      `security:\n  encryption:\n    enabled: true\n    key: ${KEY}\n    old_keys: [${OLD}, ${OLDER}]\n`,
    ).encryption;
    expect(fromFile.enabled).toBe(true);
    expect(fromFile.key?.reveal()).toBe(KEY);
    expect(fromFile.oldKeys.map((old) => old.reveal())).toEqual([OLD, OLDER]);
    const fromEnvironment = load({
      CONTEXT_ENCRYPTION_ENABLED: 'true',
      CONTEXT_ENCRYPTION_KEY: KEY,
      CONTEXT_ENCRYPTION_OLD_KEYS: `${OLD}, ${OLDER}`,
    }).encryption;
    expect(fromEnvironment).toEqual(fromFile);
  });

  it('is shown nowhere: not as JSON, not in a log, not in a debugger', () => {
    const config = load({ CONTEXT_ENCRYPTION_KEY: KEY, CONTEXT_ENCRYPTION_OLD_KEYS: OLD });
    for (const shown of [JSON.stringify(config), inspect(config, { depth: 9 })]) {
      expect(shown.includes(KEY) || shown.includes(OLD)).toBe(false);
    }
  });

  it.each([
    ['a key of the wrong length', { CONTEXT_ENCRYPTION_KEY: 'your_32_character_secret_key' }],
    ['an old key of the wrong length', { CONTEXT_ENCRYPTION_OLD_KEYS: `${OLD},much-too-short` }],
  ])('refuses %s, and does not show it', (_what, env) => {
    try {
      load(env);
    } catch (error) {
      expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
      expect(String(error)).toMatch(/must be 32 bytes as base64, as hex, or as 32 characters/);
      expect(String(error)).not.toMatch(/your_32_character|much-too-short/);
      return;
    }
    throw new Error('it was taken');
  });

  it('refuses to encrypt by default without a key', () => {
    expect(() => load({ CONTEXT_ENCRYPTION_ENABLED: 'true' })).toThrow(
      /security\.encryption\.enabled: needs security\.encryption\.key/,
    );
  });
});
