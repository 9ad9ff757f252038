/** Security headers. The API itself runs no script anywhere, so its policy allows none. */
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { RequestHandler } from 'express';
import helmet from 'helmet';

/** Headers for JSON answers and the docs page (which adds the hash of its own style sheet). */
export function apiHeaders(): RequestHandler {
  const headers = headersOf(
    helmet({
      contentSecurityPolicy: {
        useDefaults: false,
        directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"], baseUri: ["'none'"] },
      },
    }),
  );
  return (_req, res, next) => {
    for (const [name, value] of headers) res.setHeader(name, value);
    next();
  };
}

/** What helmet sets on every answer alike: asked once, for its dozen steps cost each request. */
function headersOf(set: ReturnType<typeof helmet>): readonly (readonly [string, string])[] {
  const headers: [string, string][] = [];
  let failure: unknown;
  const req = new IncomingMessage(new Socket());
  const res = new ServerResponse(req);
  res.setHeader = (name, value) => {
    headers.push([name, String(value)]);
    return res;
  };
  set(req, res, (error) => (failure = error));
  if (failure instanceof Error) throw failure;
  return headers;
}

/** Headers for pages of others, e.g. the queues' UI, which bring their own scripts and styles. */
export function pageHeaders(): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      directives: {
        scriptSrc: ["'self'", "'unsafe-inline'"],
        // Loopback is served over plain http; upgrading would break it.
        upgradeInsecureRequests: null,
      },
    },
  });
}
