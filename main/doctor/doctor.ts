/**
 * The doctor: examines the installation and one tenant's links, and repairs what is safe. It never
 * throws: what cannot be examined is itself a finding. A repair only makes somebody look or puts
 * back what a start would make; nothing is decided and no remote is written.
 */
import type { Doctor, DoctorReport } from '../../api/contract.ts';
import type { Clock } from '../../domain/clock.ts';
import type { Caller } from '../../domain/context.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Services } from '../services.ts';
import { checkBackups } from './check-backups.ts';
import { checkDisk } from './check-disk.ts';
import { MAX_LINKS, checkLinks, checkQuarantine } from './check-links.ts';
import { checkPulse, checkWorkers } from './check-pulse.ts';
import { checkQueues, judgeOutbox, outboxOf } from './check-queues.ts';
import { PROBES_MS, checkRemotes } from './check-remotes.ts';
import { checkPostgres, checkRedis, checkTemporal } from './check-servers.ts';
import { inTime } from './in-time.ts';
import { problem, type Problem, type Repair } from './problem.ts';

export type DoctorDeps = Pick<
  Services,
  'config' | 'store' | 'pool' | 'redis' | 'redisUrl' | 'temporal' | 'client' | 'wake'
> & { readonly clock: Clock; readonly log: Pick<Services['log'], 'warn'> };

interface Examination {
  readonly report: DoctorReport;
  readonly problems: readonly Problem[];
}

/** Longest one part of an examination may take, ms; probes of remotes have their own limits. */
const PART_TIMEOUT_MS = 8_000;
const REMOTES_TIMEOUT_MS = PROBES_MS + 2_000;
/** Each may start a workflow, beside the pulse's bound; what is left is found again. */
const MAX_REPAIRS = 200;

export function createDoctor(deps: DoctorDeps): Doctor {
  return {
    examine: async (caller) => (await examine(deps, caller)).report,
    async repair(caller) {
      const { report, problems } = await examine(deps, caller);
      const repairs = await repairAll(deps, problems);
      if (repairs.length === 0) return report;
      await keepRecord(deps, caller, repairs);
      const after = await examine(deps, caller);
      return { ...after.report, repairs };
    },
  };
}

async function examine(deps: DoctorDeps, caller: Caller): Promise<Examination> {
  const began = performance.now();
  const [postgres, redis, temporal] = await Promise.all([
    checkPostgres(deps),
    checkRedis(deps),
    checkTemporal(deps),
  ]);
  const [isPostgresUp, isRedisUp, isTemporalUp] = [postgres, redis, temporal].map(
    ({ server }) => server.status === 'up',
  ) as [boolean, boolean, boolean];
  const seen: Pick<DoctorReport, 'links' | 'outbox'>[] = [];
  const parts = await Promise.all([
    part('the disk', () => checkDisk(deps.config.home)),
    part('the backups', () => checkBackups(deps, { isRedisUp })),
    isTemporalUp ? part('the pulse', () => checkPulse(deps)) : [],
    isTemporalUp ? part('the sync workers', () => checkWorkers(deps)) : [],
    isRedisUp ? part('the queues', () => checkQueues(deps)) : [],
    isPostgresUp ? examineLinks(deps, caller, { isTemporalUp, seen }) : [],
  ]);
  const problems = [postgres, redis, temporal].flatMap((one) => one.problems).concat(parts.flat());
  const report: DoctorReport = {
    healthy: problems.length === 0,
    checkedAt: new Date(deps.clock.now()).toISOString(),
    tookMs: Math.round(performance.now() - began),
    servers: { postgres: postgres.server, redis: redis.server, temporal: temporal.server },
    links: seen[0]?.links ?? null,
    outbox: seen[0]?.outbox ?? null,
    findings: problems.map(({ finding }) => finding),
    repairs: [],
  };
  return { report, problems };
}

async function examineLinks(
  deps: DoctorDeps,
  { tenant }: Caller,
  given: { isTemporalUp: boolean; seen: Pick<DoctorReport, 'links' | 'outbox'>[] },
): Promise<readonly Problem[]> {
  const { isTemporalUp, seen } = given;
  return part(
    'the links',
    async () => {
      const outbox = await deps.store.doctor.outbox();
      const conditions = await deps.store.doctor.links(tenant, MAX_LINKS);
      seen.push({ links: conditions.length, outbox: outboxOf(outbox) });
      const found = await Promise.all([
        part('the workflows', () => checkLinks(deps, tenant, { conditions, isTemporalUp })),
        part('the quarantine', () => checkQuarantine(deps, tenant, conditions)),
        part('the remotes', () => checkRemotes(deps, tenant, conditions), REMOTES_TIMEOUT_MS),
      ]);
      return [...judgeOutbox(outbox, isTemporalUp), ...found.flat()];
    },
    REMOTES_TIMEOUT_MS + PART_TIMEOUT_MS,
  );
}

/** One part of the examination; that it could not be done is a finding, not the end of the others. */
async function part(
  name: string,
  check: () => Promise<readonly Problem[]>,
  timeoutMs: number = PART_TIMEOUT_MS,
): Promise<readonly Problem[]> {
  try {
    return await inTime(timeoutMs, check);
  } catch (error) {
    const explanation = `The examination of ${name} could not be finished: ${messageOf(error)}.`;
    const advice = 'Mend what else is found, then look again; the log of the API may say more.';
    return [problem({ code: 'CHECK_FAILED', explanation, advice })];
  }
}

type Done = DoctorReport['repairs'][number];

/** Each repair once, one after the other; one that fails does not keep the next from being done. */
async function repairAll(
  { log }: Pick<DoctorDeps, 'log'>,
  problems: readonly Problem[],
): Promise<Done[]> {
  const named = new Map<string, { repair: Repair; finding: Problem['finding'] }>();
  for (const { repair, finding } of problems) {
    if (repair && !named.has(repair.name)) named.set(repair.name, { repair, finding });
  }
  const done: Done[] = [];
  for (const { repair, finding } of [...named.values()].slice(0, MAX_REPAIRS)) {
    const { code, linkId, link } = finding;
    try {
      const detail = await inTime(PART_TIMEOUT_MS, repair.act);
      done.push({ code, linkId, link, done: true, detail });
    } catch (error) {
      log.warn({ code, linkId, error: messageOf(error) }, 'a repair of the doctor failed');
      done.push({ code, linkId, link, done: false, detail: messageOf(error) });
    }
  }
  return done;
}

async function keepRecord(
  deps: DoctorDeps,
  caller: Caller,
  repairs: readonly Done[],
): Promise<void> {
  const acts = repairs
    .filter(({ done }) => done)
    .map(({ code, linkId }) => ({ code, target: linkId ?? 'installation' }));
  try {
    await deps.store.doctor.recordRepairs(caller, acts);
  } catch (error) {
    deps.log.warn({ error: messageOf(error) }, 'the doctor could not record its repairs');
  }
}
