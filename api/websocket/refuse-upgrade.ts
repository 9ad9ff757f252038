/** Answers a request for a WebSocket that is not to become one, as HTTP. */
import type { Duplex } from 'node:stream';
import type { AppError } from '../../domain/errors.ts';
import { problemOf } from '../middleware/problems.ts';

const PHRASES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  429: 'Too Many Requests',
  503: 'Service Unavailable',
};
const EXTRA_HEADERS: Readonly<Record<number, string>> = {
  401: 'WWW-Authenticate: Bearer\r\n',
  503: 'Retry-After: 1\r\n',
};

/** A peer that has not taken the answer by then does not read. */
const MAX_ANSWER_MS = 2000;

/** Sends the problem document of an error and closes, whether or not the peer does. */
export function refuseUpgrade(socket: Duplex, error: AppError, requestId: string): void {
  const problem = problemOf(error, requestId, null);
  const body = JSON.stringify(problem);
  const { status } = problem;
  // `end` alone would leave it half open, uncounted, for as long as a stranger likes.
  const timer = setTimeout(() => socket.destroy(), MAX_ANSWER_MS).unref();
  socket.once('finish', () => socket.destroy()).once('close', () => clearTimeout(timer));
  socket.end(
    `HTTP/1.1 ${status} ${PHRASES[status] ?? 'Error'}\r\n` +
      'Content-Type: application/problem+json; charset=utf-8\r\n' +
      `Content-Length: ${Buffer.byteLength(body)}\r\nX-Request-Id: ${requestId}\r\n` +
      `Cache-Control: no-store\r\n${EXTRA_HEADERS[status] ?? ''}Connection: close\r\n\r\n${body}`,
  );
}
