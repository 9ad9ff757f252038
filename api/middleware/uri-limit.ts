/** Refuses request targets that are too long or not plain ASCII, and requests without `Host`. */
import type { RequestHandler } from 'express';
import { AppError } from '../../domain/errors.ts';
import { stateOf } from '../request-state.ts';

/** Contract: URI ≤ 8 KiB. */
export const MAX_URI_BYTES = 8 * 1024;

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
    if (req.get('host') === undefined) {
      throw new AppError('VALIDATION', 'The request has no `Host` header.');
    }
    next();
  };
}
