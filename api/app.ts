/**
 * The HTTP door. Order matters: id → log → limits on target and time → headers → origin → who → rate
 * → call. Whatever goes wrong anywhere becomes a problem document in one place, last.
 */
import express from 'express';
import { v7 as uuidV7 } from 'uuid';
import { docsRouter } from './docs/docs-router.ts';
import { createAccess, keepDoor } from './middleware/access.ts';
import { authenticate } from './middleware/authenticate.ts';
import { crossOrigin } from './middleware/cross-origin.ts';
import { keyAsPassword, requireRootOnPage } from './middleware/key-as-password.ts';
import { loopbackOnly } from './middleware/loopback-only.ts';
import { upgradeRequired } from './middleware/plain-get.ts';
import { notFound, problems } from './middleware/problems.ts';
import { rateLimit } from './middleware/rate-limit.ts';
import { requestId } from './middleware/request-id.ts';
import { requestMeasures } from './middleware/request-measures.ts';
import { requestLog } from './middleware/request-log.ts';
import { apiHeaders, pageHeaders } from './middleware/security-headers.ts';
import { timeLimit } from './middleware/time-limit.ts';
import { uriLimit } from './middleware/uri-limit.ts';
import { MAX_IMPORT_BYTES, type ApiDeps } from './ports.ts';
import { adminRoutes } from './routes/admin.ts';
import { changeRoutes } from './routes/changes.ts';
import { conflictRoutes } from './routes/conflicts.ts';
import { contextRoutes } from './routes/contexts.ts';
import { doctorRoutes } from './routes/doctor.ts';
import { healthRoutes } from './routes/health.ts';
import { encryptionRoutes } from './routes/encryption.ts';
import { transferRoutes } from './routes/export-import.ts';
import { analyticsRoutes } from './routes/analytics.ts';
import { auditRoutes } from './routes/audits.ts';
import { linkRoutes } from './routes/links.ts';
import { metricsRouter } from './routes/metrics.ts';
import { mountRoutes, type Route } from './routes/route.ts';
import { planRoutes } from './routes/plans.ts';
import { runRoutes } from './routes/runs.ts';
import { searchRoutes } from './routes/search.ts';
import { waitRoutes } from './routes/wait.ts';
import { TIME_LIMITS } from './time-limits.ts';

/** The whole API as an Express application; {@link ./server.ts} listens with it. */
export function createApi(deps: ApiDeps): express.Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  if (deps.trustProxy !== undefined) app.set('trust proxy', deps.trustProxy);

  app.use(requestId(deps.ids ?? uuidV7), requestLog(deps.log));
  app.use(requestMeasures(deps.measures), uriLimit());
  app.use(timeLimit(deps.limits.time ?? TIME_LIMITS), apiHeaders());
  app.use('/api', crossOrigin(deps.corsOrigins ?? []));
  if (deps.auth.mode === 'off') app.use(loopbackOnly());
  const { door, requests } = createAccess(deps);
  keepDoor(app, door);
  const pages = deps.extraRouters ?? [];
  for (const [path] of pages) app.use(path, keyAsPassword());
  app.use(authenticate(door), rateLimit(deps.limits.rateLimit, requests));

  const { maxContextBytes } = deps.limits;
  mountRoutes(app, routesOf(deps), { maxContextBytes, idempotency: deps.store.idempotency });
  if (!deps.without?.docs) app.use('/api/context', docsRouter(deps.version));
  if (!deps.without?.metrics)
    app.use('/metrics', metricsRouter({ metrics: deps.store.metrics, ...deps }));
  app.all('/context-ws', upgradeRequired());
  app.get('/', (_req, res) => res.redirect('/api/context/docs'));
  for (const [path, router] of pages) {
    app.use(path, pageHeaders(), requireRootOnPage(), router);
  }

  app.use(notFound(), problems(deps.log));
  return app;
}

function routesOf(deps: ApiDeps): readonly Route[] {
  const { store, connectors, temporalUrl, clock, waitForChange, waitForSettling } = deps;
  const { contexts, links, runs, audits, conflicts, waits } = store;
  return [
    ...contextRoutes(contexts, deps.cache),
    ...searchRoutes(store.search),
    ...analyticsRoutes(store.analytics, deps.cache),
    ...transferRoutes({
      ...store,
      clock,
      ...deps.limits,
      maxImportBytes: deps.limits.maxImportBytes ?? MAX_IMPORT_BYTES,
    }),
    ...changeRoutes({ contexts, clock, waitForChange }),
    ...healthRoutes(deps),
    ...doctorRoutes(deps),
    ...linkRoutes({ links, connectors }),
    ...runRoutes({ links, runs, temporalUrl }),
    ...auditRoutes({ links, runs, audits, temporalUrl }),
    ...planRoutes({ links, runs, temporalUrl, clock, waitForSettling }),
    ...conflictRoutes({ conflicts, links }),
    ...adminRoutes(deps),
    ...encryptionRoutes(store.rotation),
    ...waitRoutes({ links, waits, clock, waitForSettling }),
  ];
}
