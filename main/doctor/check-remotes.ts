/** Whether each link's remote can be used: its configuration allowed, its probe answered in time. */
import { ERROR_CODES, toAppError } from '../../domain/errors.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { LinkCondition } from '../../store/contract.ts';
import type { Services } from '../services.ts';
import { eachLimited, inTime } from './in-time.ts';
import { problem, type Problem } from './problem.ts';

const PROBE_TIMEOUT_MS = 5_000;
const PROBED_AT_ONCE = 8;
/** Beyond this an examination would take minutes; those that failed come first. */
const MAX_PROBES = 200;

const BACK_ADVICE =
  'Bring the remote back where the link expects it; the link tries again by itself and goes on.';

/** Probes the remotes of all links that are not paused. */
export async function checkRemotes(
  services: Pick<Services, 'pool'>,
  tenant: TenantId,
  conditions: readonly LinkCondition[],
): Promise<readonly Problem[]> {
  const running = conditions.filter(({ link }) => link.state !== 'paused');
  const failedFirst = running.toSorted((a, b) => rank(a) - rank(b)).slice(0, MAX_PROBES);
  const found = await eachLimited(failedFirst, PROBED_AT_ONCE, (condition) =>
    probe(services, tenant, condition),
  );
  const left = running.length - failedFirst.length;
  return left === 0 ? found.flat() : [...found.flat(), notProbed(left)];
}

const rank = ({ link }: LinkCondition): number => (link.state === 'failed' ? 0 : 1);

async function probe(
  { pool }: Pick<Services, 'pool'>,
  tenant: TenantId,
  condition: LinkCondition,
): Promise<readonly Problem[]> {
  const { link } = condition;
  try {
    await inTime(PROBE_TIMEOUT_MS, async () => {
      const connector = await pool.get(tenant, link);
      await connector.probe(AbortSignal.timeout(PROBE_TIMEOUT_MS));
    });
    return lastFailure(condition);
  } catch (error) {
    const { code, message } = toAppError(error);
    // A pass has the conversation, and a probe waits for its turn: that is no sign of trouble.
    if (code === 'UNAVAILABLE' && condition.isLive) return [];
    const advice = code === 'CONNECTOR_UNREACHABLE' ? BACK_ADVICE : ERROR_CODES[code][2];
    const explanation = `The remote of \`${link.name}\` (${link.connector}) cannot be used: ${code}: ${message}`;
    return [problem({ code: 'REMOTE_FAILS', explanation, advice }, { link })];
  }
}

/** The remote answers, yet the link's last run failed. */
function lastFailure({ link, lastError, overdueMs }: LinkCondition): readonly Problem[] {
  if (link.state !== 'failed') return [];
  const why = lastError ? `${lastError.code}: ${lastError.detail}` : 'no reason was kept';
  const next = Math.max(0, Math.round(-overdueMs / 1_000));
  return [
    problem(
      {
        code: 'LINK_FAILED',
        explanation: `The last run of \`${link.name}\` failed: ${why}`,
        advice: `It tries again by itself (in ${next} s); \`syncline sync run ${link.name}\` tries now.`,
      },
      { link },
    ),
  ];
}

function notProbed(count: number): Problem {
  return problem({
    code: 'MORE_FOUND',
    explanation: `The remotes of ${count} more link(s) were not probed.`,
    advice: 'Failed links come first; see `syncline status` for the others.',
  });
}
