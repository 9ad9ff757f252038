/**
 * Hands requests for a WebSocket to whoever serves them. Once a server listens for upgrades, Node
 * takes every request with an `Upgrade` header out of HTTP, also those of clients that only offer
 * HTTP/2 (`Upgrade: h2c`, Java's default): these are put back and served as if they had not asked.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ContextSocket } from './context-socket.ts';

const DROPPED = new Set(['upgrade', 'http2-settings', 'connection']);

/** Begins to take upgrades. */
export function acceptUpgrades(server: Server, websocket: ContextSocket): void {
  server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (req.headers.upgrade?.toLowerCase() === 'websocket') websocket.upgrade(req, socket, head);
    else putBack(server, { req, socket, head });
  });
}

function putBack(
  server: Server,
  { req, socket, head }: { req: IncomingMessage; socket: Duplex; head: Buffer },
): void {
  const lines = [`${req.method ?? 'GET'} ${req.url ?? '/'} HTTP/${req.httpVersion}`];
  for (let at = 0; at + 1 < req.rawHeaders.length; at += 2) {
    const [name = '', value = ''] = req.rawHeaders.slice(at, at + 2);
    if (!DROPPED.has(name.toLowerCase())) lines.push(`${name}: ${value}`);
  }
  // Header bytes are Latin-1, as Node read them.
  const request = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  socket.unshift(Buffer.concat([request, head]));
  server.emit('connection', socket);
}
