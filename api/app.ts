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
import { doctorRoutes } from './routes/doctor.ts';
import { healthRoutes } from './routes/health.ts';
import { auditRoutes } from './routes/audits.ts';
import { linkRoutes } from './routes/links.ts';
import { metricsRouter } from './routes/metrics.ts';
import { mountRoutes, type Route } from './routes/route.ts';
import { planRoutes } from './routes/plans.ts';
import { runRoutes } from './routes/runs.ts';
import { waitRoutes } from './routes/wait.ts';

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

  const { maxContextBytes } = deps.limits;
  mountRoutes(app, routesOf(deps), { maxContextBytes, idempotency: deps.store.idempotency });
  app.use('/api/context', docsRouter(deps.version));
  app.use('/metrics', metricsRouter({ metrics: deps.store.metrics, ...deps }));
  app.get('/', (_req, res) => res.redirect('/api/context/docs'));
  for (const [path, router] of deps.extraRouters ?? []) {
    app.use(path, pageHeaders(), requireScope('admin'), router);
  }

  app.use(notFound(), problems(deps.log));
  return app;
}

function routesOf(deps: ApiDeps): readonly Route[] {
  const { store, connectors, temporalUrl, clock, waitForChange, waitForSettling } = deps;
  const { contexts, links, runs, audits, conflicts, waits } = store;
  return [
    ...contextRoutes(contexts),
    ...changeRoutes({ contexts, clock, waitForChange }),
    ...healthRoutes(deps),
    ...doctorRoutes(deps),
    ...linkRoutes({ links, connectors }),
    ...runRoutes({ links, runs, temporalUrl }),
    ...auditRoutes({ links, runs, audits, temporalUrl }),
    ...planRoutes({ links, runs, temporalUrl, clock, waitForSettling }),
    ...conflictRoutes({ conflicts, links }),
    ...waitRoutes({ links, waits, clock, waitForSettling }),
  ];
}
