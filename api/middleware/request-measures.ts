/**
 * Measures every answer: which call, how it ended, how long it took. The labels come from the
 * contract, never from the request: no path, key or tenant can become one.
 */
import type { RequestHandler } from 'express';
import { CALLS } from '../contract.ts';
import type { ApiMeasures, MeasuredMethod } from '../ports.ts';
import { stateOf } from '../request-state.ts';

const METHODS: readonly string[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];
/** What is served besides the calls of the contract. */
const PAGES = ['/metrics', '/admin/queues', '/api/context/docs', '/api/context/openapi.json'];
/** Of what matches nothing, or was refused before it was matched. */
const UNMATCHED = 'unmatched';

/** Tells `measures` of requests that began and of answers that ended or were cut off. */
export function requestMeasures(measures: ApiMeasures | undefined): RequestHandler {
  if (!measures) return (_req, _res, next) => next();
  const routes = new Map(CALLS.map(({ id, path }) => [id, path.replace(/\{(\w+)\}/g, ':$1')]));
  return (req, res, next) => {
    const began = performance.now();
    const page = pageOf(req.path);
    measures.requestBegan();
    res.once('close', () => {
      const { callId } = stateOf(res);
      measures.requestEnded({
        route: (callId === null ? page : routes.get(callId)) ?? UNMATCHED,
        call: callId,
        method: methodOf(req.method),
        // Node's own code for a caller who went away: nothing was answered.
        status: res.headersSent ? res.statusCode : 499,
        seconds: (performance.now() - began) / 1_000,
      });
    });
    next();
  };
}

function pageOf(path: string): string | undefined {
  return PAGES.find((page) => path === page || path.startsWith(`${page}/`));
}

function methodOf(method: string): MeasuredMethod {
  return (METHODS.includes(method) ? method : 'OTHER') as MeasuredMethod;
}
