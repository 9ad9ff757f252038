/** Choosing a TCP port on the loopback address. */
import { createServer } from 'node:net';

export const LOOPBACK = '127.0.0.1';
/** How many ports after the preferred one are tried before any free one will do. */
const NEIGHBOURS = 50;

/** Whether a port (and, where given, another one at a fixed distance) can be listened on now. */
export async function isPortFree(port: number, alsoOffset = 0): Promise<boolean> {
  if (alsoOffset !== 0 && !(await canListen(port + alsoOffset))) return false;
  return canListen(port);
}

/**
 * The preferred port, else the next free one, else any. `preferred` 0 means any.
 * `alsoOffset`: a second port at that distance must be free too (Temporal's UI).
 * Another process may take it before it is used: callers retry.
 */
export async function choosePort(preferred: number, alsoOffset = 0): Promise<number> {
  if (preferred > 0) {
    for (let port = preferred; port < preferred + NEIGHBOURS; port++) {
      if (await isPortFree(port, alsoOffset)) return port;
    }
  }
  for (;;) {
    const port = await anyPort();
    if (port + alsoOffset < 65_536 && (await isPortFree(port, alsoOffset))) return port;
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: LOOPBACK, exclusive: true }, () =>
      server.close(() => resolve(true)),
    );
  });
}

function anyPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port: 0, host: LOOPBACK }, () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
