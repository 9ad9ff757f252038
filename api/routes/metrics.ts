/**
 * `GET /metrics` for Prometheus. Programs on this machine need no key and see everything: what this
 * process measures, and all tenants' links. From elsewhere a key with the scope `root` sees the same,
 * one with `read` its own tenant's links only.
 */
import { Router, type Request, type Response } from 'express';
import { AppError } from '../../domain/errors.ts';
import type { TenantId } from '../../domain/ids.ts';
import { withDeadline } from '../../domain/with-deadline.ts';
import type { LinkMetrics, Metrics, MetricsStore } from '../../store/contract.ts';
import { callerOf, checkScope } from '../middleware/authenticate.ts';
import { isLoopbackUrl } from '../middleware/loopback-only.ts';
import { plainGet } from '../middleware/plain-get.ts';
import type { ApiMeasures, AuthConfig } from '../ports.ts';
import { stateOf } from '../request-state.ts';

/** Links that are reported one by one; the others are only counted. */
const MAX_LINKS = 1_000;
/** Counting reads every item's row, so scrapes in quick succession share an answer, ms. */
const FRESH_MS = 10_000;
/** Longest a scrape waits for the count, ms: Prometheus gives up after 10 s. */
const DEADLINE_MS = 2_000;
/** Prometheus' text format. */
export const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export interface MetricsDeps {
  readonly metrics: MetricsStore;
  readonly auth: AuthConfig;
  readonly clock: { now(): number };
  readonly measures?: ApiMeasures;
}

/** The router of `/metrics`. */
export function metricsRouter({ metrics, auth, clock, measures }: MetricsDeps): Router {
  const router = Router();
  const kept = new Map<TenantId | null, Count>();

  /** Of one tenant, or (null) of all. @throws AppError UNAVAILABLE when it takes too long */
  function textOf(tenant: TenantId | null): Promise<string> {
    const now = clock.now();
    for (const [of, { endedAt }] of kept)
      if (endedAt !== null && now - endedAt >= FRESH_MS) kept.delete(of);
    return withDeadline((kept.get(tenant) ?? begin(tenant)).text, DEADLINE_MS, tooLate);
  }

  /** A count that takes long is waited for by later scrapes too: another would make it longer. */
  function begin(tenant: TenantId | null): Count {
    const count: Count = {
      endedAt: null,
      text: metrics.links(tenant, MAX_LINKS).then(exposition),
    };
    kept.set(tenant, count);
    count.text.then(
      () => (count.endedAt = clock.now()),
      () => kept.delete(tenant),
    );
    return count;
  }

  /** A Postgres that is out costs the links' numbers, not the others: now they are needed. */
  async function everything(measured: ApiMeasures): Promise<string> {
    const links = await textOf(null).catch(() => {
      measured.unread('links');
      return '';
    });
    return links + (await measured.text());
  }

  router.all('/', plainGet());
  router.get('/', async (req: Request, res: Response) => {
    const tenant = auth.mode === 'off' || isFromHere(req) ? null : tenantOf(res);
    const text = tenant === null && measures ? await everything(measures) : await textOf(tenant);
    res.setHeader('Cache-Control', 'no-store');
    res.type(CONTENT_TYPE).send(text);
  });
  return router;
}

interface Count {
  /** Null: it is under way. */
  endedAt: number | null;
  readonly text: Promise<string>;
}

const tooLate = (): AppError =>
  new AppError('UNAVAILABLE', 'Counting the links takes too long.', { retryable: true });

/** Null: all of them. */
function tenantOf(res: Response): TenantId | null {
  checkScope(res, 'read');
  if (stateOf(res).scopes.includes('root')) return null;
  return callerOf(res).tenant;
}

/** Whether the request comes from this machine itself, and not through a proxy on it. */
function isFromHere(req: Request): boolean {
  const address = req.socket.remoteAddress?.replace(/^::ffff:/, '') ?? '';
  const isLoopback = address === '::1' || address.startsWith('127.');
  const isForwarded = ['forwarded', 'x-forwarded-for', 'via'].some((name) => req.get(name));
  return isLoopback && !isForwarded && isLoopbackUrl(`http://${req.get('host') ?? ''}`);
}

interface Family {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly samples: (link: LinkMetrics) => readonly (readonly [labels: string, value: number])[];
}

const one = (value: number): readonly (readonly [string, number])[] => [['', value]];

const FAMILIES: readonly Family[] = [
  {
    name: 'syncline_link_lag_seconds',
    type: 'gauge',
    help: 'Age of the oldest change not yet settled.',
    samples: (link) => one(link.lagSeconds),
  },
  {
    name: 'syncline_link_proved_equal_timestamp_seconds',
    type: 'gauge',
    help: 'When an audit last proved both sides equal; missing: never.',
    samples: (link) => (link.provedEqualAt === null ? [] : one(link.provedEqualAt)),
  },
  {
    name: 'syncline_link_items',
    type: 'gauge',
    help: 'Items the link keeps in step.',
    samples: (link) => one(link.items),
  },
  {
    name: 'syncline_link_conflicts',
    type: 'gauge',
    help: 'Open conflicts.',
    samples: (link) => one(link.conflicts),
  },
  {
    name: 'syncline_link_quarantined',
    type: 'gauge',
    help: 'Items set aside because they fail.',
    samples: (link) => one(link.quarantined),
  },
  {
    name: 'syncline_link_runs_total',
    type: 'counter',
    help: 'Runs that did or wanted something, by status.',
    samples: (link) =>
      Object.entries(link.runs)
        .filter(([status]) => status !== 'running')
        .map(([status, runs]) => [`,status="${status}"`, runs] as const),
  },
];

/** The metrics in Prometheus' text format, version 0.0.4. */
export function exposition({ links, perLink }: Metrics): string {
  const lines = [
    '# HELP syncline_links Links that exist; at most 1000 of them are reported one by one.',
    '# TYPE syncline_links gauge',
    `syncline_links ${links}`,
  ];
  for (const { name, type, help, samples } of FAMILIES) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const link of perLink) {
      for (const [labels, value] of samples(link)) {
        lines.push(`${name}{link="${link.linkId}"${labels}} ${value}`);
      }
    }
  }
  return `${lines.join('\n')}\n`;
}
