/** Refuses request targets that are too long or not plain ASCII, and requests without `Host`. */
import type { RequestListener } from 'node:http';
import type { Express, RequestHandler } from 'express';
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
    if (req.get('host') === undefined) {
      throw new AppError('VALIDATION', 'The request has no `Host` header.');
    }
    next();
  };
}
