/** Who opens a WebSocket, and may they. */
import type { IncomingMessage } from 'node:http';
import { AppError } from '../../domain/errors.ts';
import type { TenantId } from '../../domain/ids.ts';
import { DEFAULT_TENANT, holds } from '../middleware/authenticate.ts';
import type { KeyDoor } from '../middleware/key-door.ts';
import { isLoopbackUrl } from '../middleware/loopback-only.ts';

/** What browsers send the key in: they can set no headers, and a URL ends up in logs. */
const KEY_PROTOCOL = 'syncline.key.';
/** Offered beside the key, so that the server need not name the key in its answer. */
const PLAIN_PROTOCOL = 'syncline';

export interface Identity {
  readonly tenant: TenantId;
  /** Watched while the connection lasts; null while keys are off. */
  readonly key: string | null;
}

/** The subprotocol to answer: browsers refuse a connection without one of those they offered. */
export function chooseProtocol(offered: ReadonlySet<string>): string | false {
  if (offered.has(PLAIN_PROTOCOL)) return PLAIN_PROTOCOL;
  return [...offered].find((each) => each.startsWith(KEY_PROTOCOL)) ?? false;
}

/**
 * @param door null: keys are off
 * @throws AppError ORIGIN_REFUSED, UNAUTHENTICATED, RATE_LIMITED, FORBIDDEN, UNAVAILABLE
 */
export async function identify(
  door: KeyDoor | null,
  req: IncomingMessage,
  address: string,
): Promise<Identity> {
  if (door === null) {
    requireLoopback(req);
    return { tenant: DEFAULT_TENANT, key: null };
  }
  const key = keyOf(req);
  if (key === null) throw new AppError('UNAUTHENTICATED', 'The request has no api key.');
  const { tenant, scopes } = await door.admit(key, address);
  if (holds(scopes, 'read')) return { tenant, key };
  throw new AppError('FORBIDDEN', 'This needs a key with the scope `read`.');
}

/** A page on the web can open a WebSocket to this machine; only its Origin and Host tell. */
function requireLoopback(req: IncomingMessage): void {
  const { host, origin } = req.headers;
  if (host === undefined || !isLoopbackUrl(`http://${host}`)) {
    throw new AppError('ORIGIN_REFUSED', 'Keys are off, and `Host` is not a loopback address.');
  }
  if (origin !== undefined && !isLoopbackUrl(origin)) {
    throw new AppError('ORIGIN_REFUSED', 'Keys are off, and `Origin` is not a loopback address.');
  }
}

function keyOf({ headers }: IncomingMessage): string | null {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((each) => each.trim());
  const spoken = offered.find((each) => each.startsWith(KEY_PROTOCOL))?.slice(KEY_PROTOCOL.length);
  const key = bearer ?? (spoken === undefined ? null : decoded(spoken));
  return key === '' ? null : key;
}

/** A key with characters a subprotocol cannot hold comes percent-encoded. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
