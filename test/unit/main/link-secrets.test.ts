import { describe, expect, it } from 'vitest';
import { AppError } from '../../../domain/errors.ts';
import { createLinkSecrets } from '../../../main/link-secrets.ts';
import { loadConfig } from '../../../main/config.ts';
import { SETTINGS } from '../../../main/settings.ts';

const ENV = {
  SYNCLINE_SECRET_OFFICE: 'a key',
  SYNCLINE_SECRET_EMPTY: '',
  OFFICE_KEY: 'another key',
  TEAM_KEY: 'a third',
  DATABASE_URL: 'postgres://user:password@db/syncline',
  HOME: '/home/somebody',
};

/** The value of a variable, or the code and message of the refusal. */
function read(name: string, allowed?: string): string {
  const given = allowed === undefined ? {} : { SYNCLINE_LINK_SECRETS: allowed };
  const secret = createLinkSecrets(ENV, loadConfig(given).connectors.secrets);
  try {
    return secret(name);
  } catch (error) {
    if (error instanceof AppError) return `${error.code}: ${error.message}`;
    throw error;
  }
}

describe('the secrets of links', () => {
  it('are the variables whose names begin with SYNCLINE_SECRET_, unless others are allowed', () => {
    expect(read('SYNCLINE_SECRET_OFFICE')).toBe('a key');
    expect(read('OFFICE_KEY')).toContain('CONNECTOR_NOT_ALLOWED');
    expect(read('OFFICE_KEY', 'OFFICE_KEY, TEAM_*')).toBe('another key');
    expect(read('TEAM_KEY', 'OFFICE_KEY, TEAM_*')).toBe('a third');
    expect(read('SYNCLINE_SECRET_OFFICE', 'OFFICE_KEY')).toContain('CONNECTOR_NOT_ALLOWED');
  });

  it('a refusal names the way out, and does not tell whether the variable is set', () => {
    const refusal =
      'CONNECTOR_NOT_ALLOWED: a link may not read the environment variable %; call it SYNCLINE_SECRET_… or add it to SYNCLINE_LINK_SECRETS';
    expect(read('HOME')).toBe(refusal.replace('%', 'HOME'));
    expect(read('NOWHERE')).toBe(refusal.replace('%', 'NOWHERE'));
  });

  it('are never the server’s own settings, whatever is allowed', () => {
    const names = SETTINGS.flatMap(({ env }) => (env === null ? [] : [env]));
    expect(names).toContain('DATABASE_URL');
    for (const name of names) {
      expect(read(name, names.join(','))).toBe(
        `CONNECTOR_NOT_ALLOWED: a link may not read the environment variable ${name}: it is a setting of the server`,
      );
      expect(read(name, 'D*,C*,P*,R*,T*,S*,L*')).toContain('CONNECTOR_NOT_ALLOWED');
    }
  });

  it('that are allowed and not set are named', () => {
    for (const name of ['SYNCLINE_SECRET_EMPTY', 'SYNCLINE_SECRET_NONE']) {
      expect(read(name)).toBe(
        `VALIDATION: the link refers to the environment variable ${name}, which is not set`,
      );
    }
  });

  it('cannot be allowed wholesale', () => {
    for (const senseless of ['*', 'A B', '*_KEY', '1*']) {
      expect(() => loadConfig({ SYNCLINE_LINK_SECRETS: senseless })).toThrow('connectors.secrets');
    }
  });
});
