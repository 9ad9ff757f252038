/** The tenant's links: work nobody does, workflows that cannot go on, and what needs a person. */
import { WorkflowNotFoundError } from '@temporalio/client';
import type { TenantId } from '../../domain/ids.ts';
import type { Link } from '../../domain/link.ts';
import { sideBySide } from '../../domain/side-by-side.ts';
import type { LinkCondition } from '../../store/contract.ts';
import { syncWorkflowId } from '../../workflows/contract.ts';
import type { Services } from '../services.ts';
import { isSuspect, judgeLink, type LinkFault, type WorkflowView } from './judge-link.ts';
import { problem, type Problem, type Repair } from './problem.ts';

type Deps = Pick<Services, 'client' | 'config' | 'store' | 'wake'>;

/** Links of a tenant that are examined; beyond it only a cluster's own monitoring helps. */
export const MAX_LINKS = 2_000;
const MAX_ITEMS_PER_LINK = 20;
const DESCRIBED_AT_ONCE = 16;
const WAKE_REASON = 'doctor';

/** Judges every link; Temporal is asked only about those that give reason to. */
export async function checkLinks(
  deps: Deps,
  tenant: TenantId,
  { conditions, isTemporalUp }: { conditions: readonly LinkCondition[]; isTemporalUp: boolean },
): Promise<readonly Problem[]> {
  const { pulseMs } = deps.config.sync;
  const found = await sideBySide(conditions, DESCRIBED_AT_ONCE, async (condition) => {
    const isAsked = isTemporalUp && isSuspect(condition, pulseMs);
    const workflow = isAsked ? await describe(deps, tenant, condition.link) : null;
    return judgeLink(condition, workflow, pulseMs).map((fault) =>
      problemOf(deps, { tenant, link: condition.link, fault }),
    );
  });
  return found.flat();
}

function problemOf(
  deps: Deps,
  { tenant, link, fault }: { tenant: TenantId; link: Link; fault: LinkFault },
): Problem {
  const { repair, ...told } = fault;
  return problem(told, { link, repair: repair && repairOf(deps, { tenant, link, repair }) });
}

function repairOf(
  { client, wake }: Deps,
  { tenant, link, repair }: { tenant: TenantId; link: Link; repair: 'wake' | 'replace' },
): Repair {
  const ref = { tenant, linkId: link.id, name: link.name };
  if (repair === 'wake') {
    return {
      name: `wake ${link.id}`,
      act: async () => {
        await wake(ref, WAKE_REASON);
        return `Woke \`${link.name}\`.`;
      },
    };
  }
  return {
    name: `replace ${link.id}`,
    // Safe at any moment: what a pass did is settled in Postgres, what it began is an open intent
    // there, and a step that still runs is shut out by the next pass' fence.
    act: async () => {
      const handle = client.workflow.getHandle(syncWorkflowId(tenant, link.id));
      await handle.terminate('syncline doctor: a new history').catch(ignoreGone);
      await wake(ref, WAKE_REASON);
      return `Ended the workflow of \`${link.name}\` and started a new one.`;
    },
  };
}

async function describe({ client }: Deps, tenant: TenantId, link: Link): Promise<WorkflowView> {
  const handle = client.workflow.getHandle(syncWorkflowId(tenant, link.id));
  const found = await handle.describe().catch(ignoreGone);
  if (found?.status.name !== 'RUNNING') return { status: 'none' };
  return {
    status: 'running',
    events: found.historyLength,
    bytes: found.historySize ?? 0,
    taskAttempts: found.raw.pendingWorkflowTask?.attempt ?? 0,
  };
}

function ignoreGone(error: unknown): null {
  if (error instanceof WorkflowNotFoundError) return null;
  throw error;
}

/** Items set aside, with what the engine will do about them by itself. */
export async function checkQuarantine(
  { store }: Deps,
  tenant: TenantId,
  conditions: readonly LinkCondition[],
): Promise<readonly Problem[]> {
  const holders = new Map(
    conditions.filter((one) => one.quarantined > 0).map((one) => [one.link.id, one]),
  );
  if (holders.size === 0) return [];
  const rows = await store.doctor.quarantine(tenant, MAX_ITEMS_PER_LINK);
  const items = rows.flatMap((row) => {
    const link = holders.get(row.linkId)?.link;
    if (!link) return [];
    const tried = row.attempts > 0 ? ` after ${row.attempts} attempt(s)` : '';
    return [
      problem(
        {
          code: 'ITEM_QUARANTINED',
          explanation: `\`${row.key}\` of \`${link.name}\` is set aside${tried}: ${row.code}: ${row.detail}`,
          advice: `Mend its cause; ${nextTry(link, row.retryAt)}`,
        },
        { link, key: row.key },
      ),
    ];
  });
  return [...items, ...[...holders.values()].flatMap(beyondLimit)];
}

function nextTry({ name, trigger, state }: Link, retryAt: string | null): string {
  const retry = `\`syncline link retry ${name}\``;
  if (trigger === 'manual')
    return `the link runs only when asked: ${retry}, then \`syncline sync run ${name}\`.`;
  if (state === 'paused' || state === 'parked')
    return `the link is ${state}: nothing is tried again before it goes on.`;
  const next = retryAt ? `it is tried again at ${retryAt}` : 'it waits for a change';
  return `${next}, or now with ${retry}.`;
}

function beyondLimit({ link, quarantined }: LinkCondition): Problem[] {
  const more = quarantined - MAX_ITEMS_PER_LINK;
  if (more <= 0) return [];
  return [
    problem(
      {
        code: 'MORE_FOUND',
        explanation: `${more} more item(s) of \`${link.name}\` are set aside.`,
        advice: `See \`syncline link show ${link.name} --quarantined\`.`,
      },
      { link },
    ),
  ];
}
