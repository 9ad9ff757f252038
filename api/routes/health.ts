/** Health of the servers behind, for people (health) and for probes (live, ready). */
import { AppError } from '../../domain/errors.ts';
import { withDeadline } from '../../domain/with-deadline.ts';
import { CONTEXT_CALLS, type Health } from '../contract.ts';
import type { ApiDeps, HealthCheck } from '../ports.ts';
import { route, type Route } from './route.ts';

const CHECK_TIMEOUT_MS = 2000;

type Check = Health['checks']['postgres'];
type HealthDeps = Pick<ApiDeps, 'checks' | 'clock' | 'version'>;

/** The three health calls. Only Postgres being out makes them answer 503. */
export function healthRoutes(deps: HealthDeps): readonly Route[] {
  const startedAtMs = deps.clock.now();
  return [
    route(CONTEXT_CALLS.health, async () => {
      const checks = await runChecks(deps.checks);
      const body: Health = {
        status: statusOf(checks),
        checks,
        version: deps.version,
        uptime: Math.max(0, Math.round((deps.clock.now() - startedAtMs) / 1000)),
      };
      return { status: body.status === 'unavailable' ? 503 : 200, body };
    }),
    route(CONTEXT_CALLS.live, () => ({ status: 200, body: { status: 'ok' } })),
    route(CONTEXT_CALLS.ready, async () => {
      const isUp = (await runCheck(deps.checks.postgres)).status === 'up';
      return { status: isUp ? 200 : 503, body: { status: isUp ? 'ok' : 'unavailable' } };
    }),
  ];
}

function statusOf(checks: Health['checks']): Health['status'] {
  if (checks.postgres.status === 'down') return 'unavailable';
  return Object.values(checks).every((check) => check.status === 'up') ? 'ok' : 'degraded';
}

async function runChecks(checks: ApiDeps['checks']): Promise<Health['checks']> {
  const [postgres, redis, temporal, queues] = await Promise.all([
    runCheck(checks.postgres),
    runCheck(checks.redis),
    runCheck(checks.temporal),
    runCheck(checks.queues),
  ]);
  return { postgres, redis, temporal, queues };
}

async function runCheck(check: HealthCheck): Promise<Check> {
  const startedAt = performance.now();
  const elapsed = (): number => Math.round(performance.now() - startedAt);
  try {
    await withDeadline(check(), CHECK_TIMEOUT_MS, tooLate);
    return { status: 'up', latencyMs: elapsed() };
  } catch (error) {
    // Anybody may ask for health, so only our own messages are shown.
    const detail = error instanceof AppError ? error.message : 'It does not answer.';
    return { status: 'down', latencyMs: elapsed(), detail };
  }
}

const tooLate = (): AppError =>
  new AppError('UNAVAILABLE', `No answer within ${CHECK_TIMEOUT_MS} ms.`);
