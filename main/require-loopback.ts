/** With keys off the API listens on this machine alone, whatever a name in the configuration means. */
import { lookup } from 'node:dns/promises';
import { AppError } from '../domain/errors.ts';
import { isLoopback } from './config.ts';

/** Where the API listens, and whether callers need keys. */
export interface Door {
  readonly api: { readonly host: string };
  readonly auth: { readonly mode: 'keys' | 'off' };
}

/** Every address a name means; injected by tests. */
export type Resolve = (host: string) => Promise<readonly string[]>;

/**
 * The configuration was checked as text; here the names are asked what they mean.
 * @throws AppError CONFIG_INVALID when keys are off and the host is, or may be, another machine's
 */
export async function requireLoopback(
  { api, auth }: Door,
  resolve: Resolve = addressesOf,
): Promise<void> {
  if (auth.mode === 'keys') return;
  const addresses = await resolve(api.host).catch(() => []);
  const isHere = isLoopback(api.host) && addresses.every(isLoopback);
  if (isHere) return;
  throw new AppError(
    'CONFIG_INVALID',
    `api.host ${api.host} is not only this machine (${addresses.join(', ') || 'unknown'}), and keys are off: set CONTEXT_AUTH=keys, or CONTEXT_API_HOST=127.0.0.1`,
  );
}

async function addressesOf(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}
