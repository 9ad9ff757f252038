/** Security headers. The API itself runs no script anywhere, so its policy allows none. */
import type { RequestHandler } from 'express';
import helmet from 'helmet';

/** Headers for JSON answers and the docs page (which adds the hash of its own style sheet). */
export function apiHeaders(): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"], baseUri: ["'none'"] },
    },
  });
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
