/**
 * The HTTP door. Order matters: id → log → headers → limits on the target → origin → who → rate →
 * call. Whatever goes wrong anywhere becomes a problem document in one place, last.
 */
import express from 'express';
import { v7 as uuidV7 } from 'uuid';
import { docsRouter } from './docs/docs-router.ts';
import { authenticate, requireScope } from './middleware/authenticate.ts';
import { loopbackOnly } from './middleware/loopback-only.ts';
import { notFound, problems } from './middleware/problems.ts';
import { rateLimit } from './middleware/rate-limit.ts';
import { requestId } from './middleware/request-id.ts';
import { requestLog } from './middleware/request-log.ts';
import { apiHeaders, pageHeaders } from './middleware/security-headers.ts';
import { uriLimit } from './middleware/uri-limit.ts';
import type { ApiDeps } from './ports.ts';
import { changeRoutes } from './routes/changes.ts';
import { conflictRoutes } from './routes/conflicts.ts';
import { contextRoutes } from './routes/contexts.ts';
import { healthRoutes } from './routes/health.ts';
import { linkRoutes } from './routes/links.ts';
import { mountRoutes, type Route } from './routes/route.ts';
import { runRoutes } from './routes/runs.ts';

/** The whole API as an Express application; {@link ./server.ts} listens with it. */
export function createApi(deps: ApiDeps): express.Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);

  app.use(requestId(deps.ids ?? uuidV7), requestLog(deps.log), uriLimit());
  app.use('/api', apiHeaders());
  if (deps.auth.mode === 'off') app.use(loopbackOnly());
  app.use(authenticate(deps.auth), rateLimit(deps.limits.rateLimit));

  mountRoutes(app, routesOf(deps), deps.limits);
  app.use('/api/context', docsRouter(deps.version));
  app.get('/', (_req, res) => res.redirect('/api/context/docs'));
  for (const [path, router] of deps.extraRouters ?? []) {
    app.use(path, pageHeaders(), requireScope('admin'), router);
  }

  app.use(notFound(), problems(deps.log));
  return app;
}

function routesOf(deps: ApiDeps): readonly Route[] {
  const { store, connectors, temporalUrl, clock, waitForChange } = deps;
  const { contexts, links, runs, conflicts } = store;
  return [
    ...contextRoutes(contexts),
    ...changeRoutes({ contexts, clock, waitForChange }),
    ...healthRoutes(deps),
    ...linkRoutes({ links, connectors }),
    ...runRoutes({ links, runs, temporalUrl }),
    ...conflictRoutes({ conflicts, links }),
  ];
}
