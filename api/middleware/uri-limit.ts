/** Refuses request targets that are too long or not plain ASCII, and requests without `Host`. */
import type { RequestListener } from 'node:http';
import type { Express, Request, RequestHandler } from 'express';
import { AppError } from '../../domain/errors.ts';
import { stateOf } from '../request-state.ts';

/** Contract: URI ≤ 8 KiB. */
export const MAX_URI_BYTES = 8 * 1024;

/** A path, all of the server, or an absolute target as a proxy sends it. */
const TARGET = /^(?:\/|\*$|https?:\/\/[^/?#]+)/i;

/**
 * A listener that lets the app see every request. Express answers a target without a path by itself,
 * with a page and before any handler: such a one gets a path here, and {@link uriLimit} refuses it.
 */
export function withPath(app: Express): RequestListener {
  return (req, res) => {
    const target = req.url ?? '';
    if (!TARGET.test(target)) Object.assign(req, { url: '/', originalUrl: target || ' ' });
    app(req, res);
  };
}

/** Whether it is a probe of HTTP/1.0: it asks for health, which tells nothing that needs protection. */
export function isProbe({
  httpVersion,
  method,
  path,
}: Pick<Request, 'httpVersion' | 'method' | 'path'>): boolean {
  if (httpVersion !== '1.0') return false;
  return /^(GET|HEAD)$/.test(method) && /^\/api\/context\/health(\/(live|ready))?$/.test(path);
}

/** @throws AppError VALIDATION, with status 414 for one that is too long */
export function uriLimit(): RequestHandler {
  return (req, res, next) => {
    if (req.originalUrl.length > MAX_URI_BYTES) {
      stateOf(res).problemStatus = 414;
      throw new AppError('VALIDATION', `The URI is longer than ${MAX_URI_BYTES} bytes.`);
    }
    // Node would read other bytes as Latin-1, and so take one key for another.
    if (!/^[\x21-\x7e]*$/.test(req.originalUrl)) {
      throw new AppError('VALIDATION', 'The URI must be percent-encoded.');
    }
    if (!TARGET.test(req.originalUrl)) {
      throw new AppError('VALIDATION', 'The target of the request is not a path.');
    }
    // HTTP/1.0 has none, and probes speak it.
    if (req.get('host') === undefined && !isProbe(req)) {
      throw new AppError('VALIDATION', 'The request has no `Host` header.');
    }
    next();
  };
}
