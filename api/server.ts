/** Listens with an API, and stops it without cutting answers off. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Application, Express } from 'express';
import type { Logger } from 'pino';
import { AppError, ERROR_CODES, type ErrorCode } from '../domain/errors.ts';
import { withPath } from './middleware/uri-limit.ts';
import { stoppingOf } from './request-state.ts';
import { TIME_LIMITS, type TimeLimits } from './time-limits.ts';
import { acceptUpgrades } from './websocket/accept-upgrades.ts';
import type { ContextSocket } from './websocket/context-socket.ts';

/** Above the URI limit, so that an over-long URI gets a problem document and not a bare 431. */
const MAX_HEADER_BYTES = 64 * 1024;
/** A missing `Host` is refused by the app, with a problem document. */
const SERVER_OPTIONS = { maxHeaderSize: MAX_HEADER_BYTES, requireHostHeader: false };
/** How often Node looks for connections whose time is over, as a part of that time. */
const LOOKS = 5;

export interface ApiServer {
  /** `http://host:port`, with the port in use where 0 was asked for. */
  readonly url: string;
  readonly server: Server;
  /** Takes no new requests, ends long polls, waits for answers under way at most `deadlineMs`. */
  stop(deadlineMs: number): Promise<void>;
}

export interface ServerOptions {
  readonly app: Express;
  readonly host: string;
  readonly port: number;
  readonly log: Logger;
  /** Default: {@link TIME_LIMITS}. */
  readonly time?: TimeLimits;
  /** Takes over connections that ask to become WebSockets. */
  readonly websocket?: ContextSocket;
}

/**
 * Starts to listen.
 *
 * @throws AppError PORT_IN_USE, SERVER_NOT_STARTED (address not ours, port not permitted)
 */
export async function startApiServer(options: ServerOptions): Promise<ApiServer> {
  const { app, host, port, log, time = TIME_LIMITS, websocket } = options;
  const connectionsCheckingInterval = Math.ceil(time.headersMs / LOOKS);
  const server = createServer({ ...SERVER_OPTIONS, connectionsCheckingInterval }, withPath(app));
  server.headersTimeout = time.headersMs;
  server.requestTimeout = time.requestMs;
  server.keepAliveTimeout = time.keepAliveMs;
  server.on('clientError', answerMalformed);
  server.on('checkExpectation', refuseExpectation);
  if (websocket) acceptUpgrades(server, websocket);
  await listen(server, host, port);
  const url = urlOf(server.address() as AddressInfo, host);
  log.info({ url }, 'API listens');
  return {
    url,
    server,
    async stop(deadlineMs) {
      await Promise.all([websocket?.stop(deadlineMs), stop(server, app, deadlineMs)]);
    },
  };
}

/**
 * Proves that {@link startApiServer} will be able to listen, before anything else is started. Somebody
 * may still come in between.
 * @throws AppError PORT_IN_USE, SERVER_NOT_STARTED
 */
export async function requireFreePort(host: string, port: number): Promise<void> {
  const server = createServer();
  await listen(server, host, port);
  await new Promise((resolve) => server.close(resolve));
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (fault: NodeJS.ErrnoException) => reject(listenError(fault, host, port)));
    server.listen(port, host, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

function listenError(fault: NodeJS.ErrnoException, host: string, port: number): AppError {
  if (fault.code === 'EADDRINUSE') {
    const message = `Port ${port} on ${host} is in use. Stop the program that uses it, or set CONTEXT_API_PORT to another port.`;
    return new AppError('PORT_IN_USE', message, { cause: fault });
  }
  const message = `Cannot listen on ${host}:${port} (${fault.code ?? fault.message}). Set CONTEXT_API_HOST and CONTEXT_API_PORT to an address of this machine.`;
  return new AppError('SERVER_NOT_STARTED', message, { cause: fault });
}

function urlOf(address: AddressInfo, host: string): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`;
}

async function stop(server: Server, app: Application, deadlineMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  stoppingOf(app).abort();
  server.closeIdleConnections();
  // A connection that was busy when we began becomes idle when its answer is out.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  const deadline = setTimeout(() => server.closeAllConnections(), deadlineMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(deadline);
}

/** Answers what is not HTTP at all, or over the parser's limits; nothing of it reached the app. */
function answerMalformed(
  fault: NodeJS.ErrnoException,
  socket: Socket | NodeJS.WritableStream,
): void {
  const raw = socket as Socket;
  if (fault.code === 'ECONNRESET' || !raw.writable || raw.bytesWritten > 0) {
    raw.destroy();
    return;
  }
  const [status, reason] = MALFORMED[fault.code ?? ''] ?? [400, 'Bad Request'];
  const body = JSON.stringify(malformedProblem(status));
  raw.end(
    `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/** `Expect` with anything but `100-continue`, which Node itself would answer without a body. */
function refuseExpectation(_req: IncomingMessage, res: ServerResponse): void {
  res.writeHead(417, { 'Content-Type': 'application/problem+json', Connection: 'close' });
  res.end(JSON.stringify(malformedProblem(417)));
}

const MALFORMED: Readonly<Record<string, readonly [number, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Payload Too Large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
};

const MALFORMED_CODES: Readonly<Record<number, ErrorCode>> = {
  408: 'REQUEST_TIMEOUT',
  413: 'PAYLOAD_TOO_LARGE',
};

const DETAILS: Readonly<Record<number, string>> = {
  408: 'The request did not arrive in time.',
  417: 'The expectation of the `Expect` header cannot be met.',
  431: 'The request headers are too large.',
};

function malformedProblem(status: number): object {
  const code = MALFORMED_CODES[status] ?? 'VALIDATION';
  return {
    type: `/api/context/docs#${code}`,
    title: ERROR_CODES[code][1],
    status,
    code,
    detail: DETAILS[status] ?? 'This is not valid HTTP.',
    requestId: '-',
  };
}
