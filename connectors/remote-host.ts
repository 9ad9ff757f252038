/** Which hosts connectors may call: what a tenant writes into a link must not reach inner servers. */
import { AppError } from '../domain/errors.ts';
import type { ConnectorPermissions } from './connector.ts';

/** What is allowed when nobody said otherwise. */
export const LOOPBACK_HOSTS: readonly string[] = ['localhost', '127.0.0.1', '[::1]'];

/**
 * An entry names a host (any port) or `host:port`; nothing is guessed, no wildcards.
 * @throws AppError CONNECTOR_NOT_ALLOWED
 */
export function checkRemoteHost(
  url: string,
  { remoteHosts = LOOPBACK_HOSTS }: ConnectorPermissions,
): void {
  const { hostname, protocol, port } = new URL(url);
  const portInUse = port || (protocol === 'https:' ? '443' : '80');
  const allowed = remoteHosts.map((host) => host.toLowerCase());
  if (allowed.includes(hostname) || allowed.includes(`${hostname}:${portInUse}`)) return;
  throw new AppError(
    'CONNECTOR_NOT_ALLOWED',
    `The host ${hostname}:${portInUse} may not be called from here. Allow it with SYNCLINE_REMOTE_HOSTS.`,
  );
}
