/** Whether the three servers answer, which versions they are, and whether their clocks agree with ours. */
import pg from 'pg';
import type { DoctorFinding, DoctorReport } from '../../api/contract.ts';
import type { Clock } from '../../domain/clock.ts';
import { messageOf } from '../../domain/errors.ts';
import { MIGRATIONS } from '../migrate.ts';
import type { Services } from '../services.ts';
import { inTime } from './in-time.ts';
import { problem, span, type Problem } from './problem.ts';

export interface CheckedServer {
  readonly server: DoctorReport['servers']['postgres'];
  readonly problems: readonly Problem[];
}

/** What a server that answers tells. */
interface Answer {
  readonly version: string;
  /** Its clock against ours, ms; null: it does not tell. */
  readonly skewMs: number | null;
  readonly problems?: readonly Problem[];
}

interface ServerKind {
  readonly title: string;
  readonly code: DoctorFinding['code'];
  readonly advice: string;
}

const ANSWER_TIMEOUT_MS = 3_000;
/** Clocks further apart than this mislead; the bound of a link's status too. */
export const SKEW_BOUND_MS = 5_000;

const POSTGRES: ServerKind = {
  title: 'Postgres',
  code: 'POSTGRES_DOWN',
  advice:
    'Start it or mend DATABASE_URL; until then nothing is stored or synced, and links are not examined.',
};
const REDIS: ServerKind = {
  title: 'Redis',
  code: 'REDIS_DOWN',
  advice:
    'Start it or mend REDIS_URL; syncs go on meanwhile, maintenance waits, and nothing is lost.',
};
const TEMPORAL: ServerKind = {
  title: 'Temporal',
  code: 'TEMPORAL_DOWN',
  advice:
    'Start it or mend TEMPORAL_ADDRESS; writes are kept and wakes wait in the outbox until it is back.',
};

type Deps = Pick<Services, 'config' | 'redis' | 'temporal'> & { readonly clock: Clock };

/** Asks Postgres on a connection of its own, so that a pool that is used up does not look like an outage. */
export function checkPostgres({ config, clock }: Deps): Promise<CheckedServer> {
  return check(POSTGRES, async () => {
    const postgres = new pg.Client({
      connectionString: config.database.url?.reveal(),
      connectionTimeoutMillis: ANSWER_TIMEOUT_MS,
      query_timeout: ANSWER_TIMEOUT_MS,
    });
    postgres.on('error', () => undefined);
    try {
      await postgres.connect();
      const asked = clock.now();
      const { rows } = await postgres.query<{ version: string; nowMs: number; db: string }>(
        `SELECT current_setting('server_version') AS version, current_database() AS db,
           (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS "nowMs"`,
      );
      const { version, nowMs } = rows[0]!;
      // It looked at its clock halfway between our question and its answer.
      const skewMs = nowMs - (asked + clock.now()) / 2;
      return { version, skewMs, problems: await checkSchema(postgres) };
    } finally {
      void postgres.end().catch(() => undefined);
    }
  });
}

async function checkSchema(postgres: pg.Client): Promise<readonly Problem[]> {
  const { rows } = await postgres.query<{ name: string }>('SELECT name FROM syncline_migrations');
  const done = new Set(rows.map((row) => row.name));
  const known = MIGRATIONS.map((migration) => migration.name);
  const missing = known.filter((name) => !done.has(name));
  const strange = [...done].filter((name) => !known.includes(name));
  const pending = problem({
    code: 'MIGRATIONS_PENDING',
    explanation: `The database lacks ${missing.length} migration(s) this version needs, the first being ${missing[0]}.`,
    advice: 'Run `node dist/main/run.js migrate` (or start with `npm start`, which does it).',
  });
  const newer = problem({
    code: 'DATABASE_NEWER',
    explanation: `The database has ${strange.length} migration(s) this version does not know, the last being ${strange.at(-1)}.`,
    advice: 'A newer Syncline uses this database: bring this process to the same version.',
  });
  return [...(missing.length > 0 ? [pending] : []), ...(strange.length > 0 ? [newer] : [])];
}

export function checkRedis({ redis, clock }: Deps): Promise<CheckedServer> {
  return check(REDIS, async () => {
    const asked = clock.now();
    const [seconds, micros] = await redis.time();
    const nowMs = Number(seconds) * 1_000 + Number(micros) / 1_000;
    const skewMs = nowMs - (asked + clock.now()) / 2;
    const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1] ?? 'unknown';
    return { version, skewMs };
  });
}

/** Temporal does not tell its time; the pulse's next beat tells it roughly. */
export function checkTemporal({ temporal }: Deps): Promise<CheckedServer> {
  return check(TEMPORAL, async () => {
    const deadline = Date.now() + ANSWER_TIMEOUT_MS;
    const info = await temporal.withDeadline(deadline, () =>
      temporal.workflowService.getSystemInfo({}),
    );
    return { version: info.serverVersion || 'unknown', skewMs: null };
  });
}

async function check(
  { title, code, advice }: ServerKind,
  ask: () => Promise<Answer>,
): Promise<CheckedServer> {
  const began = performance.now();
  const latencyMs = (): number => Math.round(performance.now() - began);
  try {
    const { version, skewMs: exact, problems = [] } = await inTime(ANSWER_TIMEOUT_MS, ask);
    const skewMs = exact === null ? null : Math.trunc(exact) + 0; // never -0
    return {
      server: { status: 'up', version, latencyMs: latencyMs(), skewMs },
      problems: [...problems, ...skewProblem(title, skewMs ?? 0)],
    };
  } catch (error) {
    const explanation = `${title} does not answer: ${messageOf(error) || 'no connection'}.`;
    return {
      server: { status: 'down', version: null, latencyMs: latencyMs(), skewMs: null },
      problems: [problem({ code, explanation, advice })],
    };
  }
}

/** A clock that is off by more than the bound. */
export function skewProblem(title: string, skewMs: number): readonly Problem[] {
  if (Math.abs(skewMs) <= SKEW_BOUND_MS) return [];
  const way = skewMs > 0 ? 'ahead of' : 'behind';
  return [
    problem({
      code: 'CLOCK_SKEW',
      explanation: `The clock of ${title} is ${span(Math.abs(skewMs))} ${way} that of this process.`,
      advice:
        'Set the clocks (NTP); no edit is lost, but expiry, due times and the strategy `latest` go by them.',
    }),
  ];
}
