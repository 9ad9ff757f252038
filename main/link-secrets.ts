/**
 * What `{"env": "NAME"}` in a link's config may read. Whoever makes links also chooses the host that is
 * sent the value, so only variables that the operator meant for links are read, and never a setting.
 */
import { AppError } from '../domain/errors.ts';
import { SETTINGS } from './settings.ts';

/**
 * Reads a link's secret by the name of its variable.
 * @param allowed names, or beginnings of names ending in `*`
 * @returns what throws AppError CONNECTOR_NOT_ALLOWED, or VALIDATION where the variable is not set
 */
export function createLinkSecrets(
  env: NodeJS.ProcessEnv,
  allowed: readonly string[],
): (name: string) => string {
  const settings = new Set<string | null>(SETTINGS.map((setting) => setting.env));
  return (name) => {
    if (settings.has(name)) throw refused(name, ': it is a setting of the server');
    if (!allowed.some((entry) => isNamedBy(entry, name))) {
      throw refused(name, '; call it SYNCLINE_SECRET_… or add it to SYNCLINE_LINK_SECRETS');
    }
    const value = env[name];
    if (value) return value;
    throw new AppError(
      'VALIDATION',
      `the link refers to the environment variable ${name}, which is not set`,
    );
  };
}

function isNamedBy(entry: string, name: string): boolean {
  return entry.endsWith('*') ? name.startsWith(entry.slice(0, -1)) : name === entry;
}

function refused(name: string, why: string): AppError {
  return new AppError(
    'CONNECTOR_NOT_ALLOWED',
    `a link may not read the environment variable ${name}${why}`,
  );
}
