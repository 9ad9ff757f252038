/** Role `api`: the REST door. */
import type { Router } from 'express';
import { z } from 'zod';
import { createApi } from '../api/app.ts';
import type { ApiDeps, ConnectorCatalog } from '../api/ports.ts';
import { startApiServer } from '../api/server.ts';
import { createContextSocket } from '../api/websocket/context-socket.ts';
import type { ContextCache } from '../cache/contract.ts';
import { describeGrade } from '../connectors/contract.ts';
import { systemClock } from '../domain/clock.ts';
import { AppError } from '../domain/errors.ts';
import { fieldErrorsOf } from '../domain/field-errors.ts';
import type { JsonObject } from '../domain/json.ts';
import type { Store } from '../store/contract.ts';
import { authOf } from './api-auth.ts';
import { createDoctor } from './doctor/doctor.ts';
import { startHotList } from './cache-preload.ts';
import type { Lifecycle } from './lifecycle.ts';
import { createChangeBell, createSettleBell } from './change-bell.ts';
import { permissionsOf, type Services } from './services.ts';
import { redisSender } from './redis-sender.ts';
import { requireLoopback } from './require-loopback.ts';
import { VERSION } from './version.ts';

const STOP_DEADLINE_MS = 5_000;
const CHECK_TIMEOUT_MS = 2_000;
/** How long the remote of a new link is asked who it is. */
const SCOPE_TIMEOUT_MS = 5_000;

export interface ApiRole {
  readonly url: string;
}

/** Starts the API. @throws AppError CONFIG_INVALID, PORT_IN_USE, SERVER_NOT_STARTED */
export async function startApi(
  services: Services,
  lifecycle: Lifecycle,
  extraRouters: readonly (readonly [string, Router])[] = [],
): Promise<ApiRole> {
  const { config, log, store } = services;
  await requireLoopback(config);
  const bell = createChangeBell(services);
  const settleBell = createSettleBell(services);
  lifecycle.add({
    name: 'bells',
    stop: async () => [bell, settleBell].forEach((each) => each.stop()),
  });
  const cache = config.cache.isEnabled ? followChanges(services, lifecycle) : null;
  const deps: ApiDeps = {
    store: cache === null ? store : forgetting(store, cache),
    ...(cache === null ? {} : { cache }),
    connectors: catalogOf(services),
    doctor: createDoctor({ ...services, clock: systemClock }),
    checks: checksOf(services),
    temporalUrl: (workflowId) => temporalUrl(services, workflowId),
    waitForChange: (_tenant, timeoutMs, signal) => bell.wait(timeoutMs, signal),
    waitForSettling: (_tenant, timeoutMs, signal) => settleBell.wait(timeoutMs, signal),
    log,
    measures: services.metrics,
    without: { docs: !config.features.docs, metrics: !config.features.metrics },
    clock: systemClock,
    auth: await authOf(services),
    limits: {
      maxContextBytes: config.context.maxBytes,
      maxImportBytes: config.imports.maxBytes,
      rateLimit: {
        enabled: config.auth.mode === 'keys',
        max: config.rateLimit.maxRequests,
        windowMs: config.rateLimit.windowMs,
        shared: { prefix: config.redis.prefix, send: redisSender(services.redis) },
      },
    },
    corsOrigins: config.corsOrigins,
    ...(config.trustProxy === 0 ? {} : { trustProxy: config.trustProxy }),
    version: VERSION,
    extraRouters,
  };
  const app = createApi(deps);
  const socket = config.features.websocket ? { websocket: createContextSocket(app, deps) } : {};
  const server = await startApiServer({ app, ...socket, ...config.api, log });
  lifecycle.add({
    name: 'api',
    stop: () => server.stop(STOP_DEADLINE_MS),
    deadlineMs: STOP_DEADLINE_MS + 1_000,
  });
  return { url: server.url };
}

/** Where the Temporal UI shows a workflow; null when no UI is known. */
function temporalUrl({ config }: Services, workflowId: string): string | null {
  const { uiUrl, namespace } = config.temporal;
  return uiUrl
    ? `${uiUrl}/namespaces/${namespace}/workflows/${encodeURIComponent(workflowId)}`
    : null;
}

function catalogOf({ registry, pool, config }: Services): ConnectorCatalog {
  return {
    list: () =>
      registry.list().map((type) => ({
        kind: type.kind,
        title: type.title,
        configSchema: z.toJSONSchema(type.configSchema, {
          io: 'input',
          unrepresentable: 'any',
        }) as JsonObject,
        capabilities: { ...type.capabilities } as unknown as JsonObject,
        grade: type.capabilities.grade,
        guarantee: describeGrade(type.capabilities.grade),
      })),
    check(kind, given) {
      const type = registry.get(kind);
      const parsed = type.configSchema.safeParse(given);
      if (!parsed.success) {
        const errors = fieldErrorsOf(parsed.error.issues, given, { at: ['config'] });
        throw new AppError('VALIDATION', `the ${kind} configuration is not valid`, { errors });
      }
      type.checkAllowed(parsed.data, permissionsOf(config));
    },
    checkScope: (tenant, link) =>
      pool.checkScope(tenant, link, AbortSignal.timeout(SCOPE_TIMEOUT_MS)),
  };
}

function checksOf({ store, redis, temporal }: Services): ApiDeps['checks'] {
  const ping = async (): Promise<void> => {
    await timed(redis.ping());
  };
  return {
    postgres: () => timed(store.ping()),
    redis: ping,
    queues: ping,
    temporal: async () => {
      await timed(temporal.healthService.check({}));
    },
  };
}

function timed<T>(work: Promise<T>): Promise<T> {
  const signal = AbortSignal.timeout(CHECK_TIMEOUT_MS);
  return Promise.race([
    work,
    new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error('no answer in time')), {
        once: true,
      });
    }),
  ]);
}

/** The cache, once it hears of what others change. */
function followChanges(services: Services, lifecycle: Lifecycle): ContextCache {
  const { caching, store, config, log } = services;
  const { contexts: cache, hot } = caching;
  const { ready, stop } = caching.follow(store.changeSweep);
  lifecycle.add({ name: 'cache', stop });
  const { isPreloaded } = config.cache;
  const list = startHotList({ hot, cache, contexts: store.contexts, isPreloaded, ready, log });
  lifecycle.add({ name: 'hot contexts', stop: () => list.stop() });
  return cache;
}

/**
 * A removed tenant's contexts are forgotten before its removal is answered. So are a tenant's before a
 * write's answer is given again: the first may have been lost on its way from Postgres, and then nobody
 * here has heard that the write was committed.
 */
function forgetting<S extends Pick<Store, 'tenants' | 'idempotency'>>(
  store: S,
  cache: ContextCache,
): S {
  const { tenants, idempotency } = store;
  return {
    ...store,
    idempotency: {
      ...idempotency,
      async claim(tenant, request) {
        const claim = await idempotency.claim(tenant, request);
        if (claim.status === 'answered') await cache.forgetTenant(tenant);
        return claim;
      },
    },
    tenants: {
      ...tenants,
      async remove(caller, id, how) {
        try {
          return await tenants.remove(caller, id, how);
        } finally {
          await cache.forgetTenant(id);
        }
      },
    },
  };
}
