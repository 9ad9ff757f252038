/** Gives every request an id: the caller's `X-Request-Id` where it is sane, else one of ours. */
import type { RequestHandler } from 'express';
import type { IdSource } from '../../domain/ids.ts';
import { initState } from '../request-state.ts';

const SANE_ID = /^[\w.:@/+=-]{1,128}$/;

/** Sets the request state and answers `X-Request-Id`. */
export function requestId(newId: IdSource): RequestHandler {
  return (req, res, next) => {
    const given = req.get('x-request-id');
    const id = given !== undefined && SANE_ID.test(given) ? given : newId();
    initState(res, id);
    res.setHeader('X-Request-Id', id);
    next();
  };
}
