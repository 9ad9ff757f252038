/**
 * Which pages of other origins may call the API: none, but those the configuration names. Keys go in
 * a header, never in cookies, so credentials are never allowed.
 */
import cors from 'cors';
import type { RequestHandler } from 'express';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
const REQUEST_HEADERS = [
  'Authorization',
  'Cache-Control',
  'Content-Type',
  'Idempotency-Key',
  'If-Match',
  'If-None-Match',
  'X-Request-Id',
];
const ANSWER_HEADERS = [
  'ETag',
  'Location',
  'Idempotency-Replayed',
  'RateLimit-Limit',
  'RateLimit-Policy',
  'RateLimit-Remaining',
  'RateLimit-Reset',
  'Retry-After',
  'X-Cache',
  'X-Request-Id',
];
/** Browsers keep a preflight's answer that long. */
const MAX_AGE_SECONDS = 600;

/** @param origins exactly as browsers send them, e.g. `https://app.example.com` */
export function crossOrigin(origins: readonly string[]): RequestHandler {
  if (origins.length === 0) return (_req, _res, next) => next();
  const answer = cors({
    origin: [...origins],
    methods: METHODS,
    allowedHeaders: REQUEST_HEADERS,
    exposedHeaders: ANSWER_HEADERS,
    credentials: false,
    maxAge: MAX_AGE_SECONDS,
  });
  return (req, res, next) => {
    // A plain OPTIONS is no preflight: it asks for `Allow`.
    const isPlainOptions =
      req.method === 'OPTIONS' && req.get('access-control-request-method') === undefined;
    if (isPlainOptions || req.get('origin') === undefined) {
      res.vary('Origin');
      next();
      return;
    }
    answer(req, res, next);
  };
}
