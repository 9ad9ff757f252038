/**
 * What can be said about an installation whose API does not answer, from outside: who holds the
 * home folder, and whether the servers it uses can be reached. It starts and changes nothing.
 */
import { connect } from 'node:net';
import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { readOwner } from './lock.ts';
import type { ServerName } from './server.ts';
import { readPorts } from './stack.ts';

/** Where a server is said to be: a URL or `host:port`; null: the embedded one. */
export type ServerAddresses = Readonly<Record<ServerName, string | null>>;

export interface ServerSight {
  readonly server: ServerName;
  readonly host: string;
  readonly port: number;
  readonly isEmbedded: boolean;
  readonly isReachable: boolean;
}

export interface Surroundings {
  readonly home: string;
  /** The process that holds the home folder; null: none does. */
  readonly owner: { readonly pid: number; readonly url: string | null } | null;
  /** Whether anything listens where the API should be. */
  readonly isApiPortTaken: boolean;
  /** Embedded servers that never ran here are left out. */
  readonly servers: readonly ServerSight[];
  /** Of the disk that holds the home folder; null: there is no such folder. */
  readonly freeBytes: number | null;
  /** The log of `npm start`, if there is one. */
  readonly logFile: string | null;
}

const CONNECT_MS = 2_000;
const PORTS: Readonly<Record<ServerName, number>> = {
  postgres: 5_432,
  redis: 6_379,
  temporal: 7_233,
};

/** Looks at an installation from outside; at most about two seconds. */
export async function lookAround(given: {
  readonly home: string;
  readonly apiUrl: string;
  readonly servers: ServerAddresses;
}): Promise<Surroundings> {
  const { home, apiUrl } = given;
  const api = placeOf(apiUrl, 80);
  const log = join(home, 'syncline.log');
  const [isApiPortTaken, servers, freeBytes] = await Promise.all([
    api ? isReachable(api) : false,
    Promise.all(placesOf(home, given.servers).map(sightOf)),
    freeBytesOf(home),
  ]);
  return {
    home,
    owner: readOwner(home),
    isApiPortTaken,
    servers,
    freeBytes,
    logFile: existsSync(log) ? log : null,
  };
}

type Place = Pick<ServerSight, 'host' | 'port'>;
type Located = Omit<ServerSight, 'isReachable'>;

function placesOf(home: string, addresses: ServerAddresses): Located[] {
  const embedded = readPorts(home);
  return (Object.keys(PORTS) as ServerName[]).flatMap((server): Located[] => {
    const named = addresses[server];
    const ownPort = embedded[server];
    if (named !== null) {
      const place = placeOf(named, PORTS[server]);
      return place ? [{ server, isEmbedded: false, ...place }] : [];
    }
    return ownPort === undefined
      ? []
      : [{ server, isEmbedded: true, host: '127.0.0.1', port: ownPort }];
  });
}

async function sightOf(place: Located): Promise<ServerSight> {
  return { ...place, isReachable: await isReachable(place) };
}

/** Host and port of a URL or `host:port`; null: it is neither. */
function placeOf(address: string, defaultPort: number): Place | null {
  const text = address.includes('://') ? address : `tcp://${address}`;
  if (!URL.canParse(text)) return null;
  const { hostname, port } = new URL(text);
  if (hostname === '') return null;
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || defaultPort) };
}

function isReachable({ host, port }: Place): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: CONNECT_MS });
    const end = (isThere: boolean): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });
}

async function freeBytesOf(home: string): Promise<number | null> {
  try {
    const { bavail, bsize } = await statfs(home);
    return bavail * bsize;
  } catch {
    return null;
  }
}
