/** Whether each link's remote can be used: its configuration allowed, its probe answered in time. */
import { ERROR_CODES, toAppError } from '../../domain/errors.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { Link } from '../../domain/link.ts';
import { sideBySide } from '../../domain/side-by-side.ts';
import type { LinkCondition } from '../../store/contract.ts';
import type { Services } from '../services.ts';
import { inTime } from './in-time.ts';
import { problem, type Problem } from './problem.ts';

export interface ProbeLimits {
  /** Longest one probe may take, ms. */
  readonly timeoutMs: number;
  readonly atOnce: number;
  /** No probe begins later than this, ms: an examination must end while somebody waits for it. */
  readonly beginWithinMs: number;
}

const LIMITS: ProbeLimits = { timeoutMs: 5_000, atOnce: 8, beginWithinMs: 18_000 };
/** Longest all probes together take, ms. */
export const PROBES_MS = LIMITS.beginWithinMs + LIMITS.timeoutMs;
/** Links named in one finding. */
const MAX_NAMED = 20;

/** Probes the remotes of all links that are not paused, those that failed first, as far as time goes. */
export async function checkRemotes(
  services: Pick<Services, 'pool'>,
  tenant: TenantId,
  conditions: readonly LinkCondition[],
  limits: ProbeLimits = LIMITS,
): Promise<readonly Problem[]> {
  const running = conditions.filter(({ link }) => link.state !== 'paused');
  const failedFirst = running.toSorted((a, b) => rank(a) - rank(b));
  const began = performance.now();
  const notReached: Link[] = [];
  const found = await sideBySide(failedFirst, limits.atOnce, async (condition) => {
    if (performance.now() - began < limits.beginWithinMs)
      return probe(services, { tenant, condition, timeoutMs: limits.timeoutMs });
    notReached.push(condition.link);
    return [];
  });
  return notReached.length === 0 ? found.flat() : [...found.flat(), notProbed(notReached)];
}

const rank = ({ link }: LinkCondition): number => (link.state === 'failed' ? 0 : 1);

async function probe(
  { pool }: Pick<Services, 'pool'>,
  {
    tenant,
    condition,
    timeoutMs,
  }: { tenant: TenantId; condition: LinkCondition; timeoutMs: number },
): Promise<readonly Problem[]> {
  const { link } = condition;
  try {
    await inTime(timeoutMs, async () => {
      const connector = await pool.get(tenant, link);
      await connector.probe(AbortSignal.timeout(timeoutMs));
    });
    return lastFailure(condition);
  } catch (error) {
    const { code, message } = toAppError(error);
    // A pass has the conversation, and a probe waits for its turn: that is no sign of trouble.
    if (code === 'UNAVAILABLE' && condition.isLive) return [];
    const advice = code === 'CONNECTOR_UNREACHABLE' ? backAdvice(link) : ERROR_CODES[code][2];
    const explanation = `The remote of \`${link.name}\` (${link.connector}) cannot be used: ${code}: ${message}`;
    return [problem({ code: 'REMOTE_FAILS', explanation, advice }, { link })];
  }
}

/** The remote answers, yet the link's last run failed. */
function lastFailure({ link, lastError, overdueMs }: LinkCondition): readonly Problem[] {
  if (link.state !== 'failed') return [];
  const why = lastError ? `${lastError.code}: ${lastError.detail}` : 'no reason was kept';
  return [
    problem(
      {
        code: 'LINK_FAILED',
        explanation: `The last run of \`${link.name}\` failed: ${why}`,
        advice: nextTry(link, overdueMs),
      },
      { link },
    ),
  ];
}

function backAdvice({ name, trigger }: Link): string {
  const next =
    trigger === 'manual'
      ? `then \`syncline sync run ${name}\`: it runs only when asked.`
      : 'the link tries again by itself and goes on.';
  return `Bring the remote back where the link expects it; ${next}`;
}

function nextTry({ name, trigger }: Link, overdueMs: number): string {
  const run = `\`syncline sync run ${name}\``;
  if (trigger === 'manual') return `It runs only when asked: mend the cause, then ${run}.`;
  const seconds = Math.round(-overdueMs / 1_000);
  const when = seconds > 0 ? `in ${seconds} s` : 'with one of the next pulses';
  return `It tries again by itself (${when}); ${run} tries now.`;
}

/** One finding for all links that had no turn, since it is one cause: others took the time. */
function notProbed(links: readonly Link[]): Problem {
  const named = links.slice(0, MAX_NAMED).map(({ name }) => `\`${name}\``);
  const more = links.length > named.length ? ` and ${links.length - named.length} more` : '';
  return problem({
    code: 'MORE_FOUND',
    explanation: `The remotes of ${links.length} link(s) were not reached in time: ${named.join(', ')}${more}.`,
    advice:
      'Mend or pause the links whose remotes do not answer, then look again; `syncline status` shows how the others are doing.',
  });
}
