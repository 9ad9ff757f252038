/**
 * Planning: every dirty item is decided by hash, bodies are read only for merges, and the result is
 * stored whole before anything is written. Then the guards judge it.
 */
import type { Hash } from '../domain/hash.ts';
import type { ConflictId, OpId } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';
import type { GuardTrip, Link } from '../domain/link.ts';
import {
  encodeBody,
  type Body,
  type DirtyItem,
  type OpenConflict,
  type PlannedOp,
  type PlanPage,
} from '../store/contract.ts';
import type { Decision, MergeResult, SideFact, SyncPolicy } from '../sync/contract.ts';
import { decide } from '../sync/decide.ts';
import { evaluateGuards } from '../sync/guard.ts';
import { mergeItem, translateRemote } from '../sync/merge-item.ts';
import type { Planned, PassToken } from './contract.ts';
import type { PassScope } from './pass-scope.ts';

const PLAN_PAGE = 1_000;

type Draft = { -readonly [Part in keyof PlanPage]: PlanPage[Part][number][] };
interface Decided {
  readonly item: DirtyItem;
  readonly decision: Decision;
}

export async function plan(scope: PassScope, pass: PassToken): Promise<Planned> {
  const { sync, ref } = scope;
  const totals = {
    planned: 0,
    merged: 0,
    conflicts: 0,
    quarantined: 0,
    skipped: 0,
    deletesHub: 0,
    deletesRemote: 0,
  };
  let judged = 0;
  for (let after = '', isDone = false; !isDone;) {
    const items = await sync.dirtyItems(ref, { after, limit: PLAN_PAGE });
    const page = await planPage(scope, items);
    if (items.length > 0) await sync.recordPlan(ref, { page, trigger: pass.trigger });
    judged += items.length;
    addUp(totals, page);
    after = items.at(-1)?.key ?? after;
    isDone = items.length < PLAN_PAGE;
    scope.heartbeat();
  }
  const guard = await judge(scope, { ...totals, judged });
  return { ...totals, guard };
}

/** Decides one page of items. */
export async function planPage(scope: PassScope, items: readonly DirtyItem[]): Promise<PlanPage> {
  const policy = policyOf(scope.link);
  const decided = items.map((item) => ({ item, decision: decide(factsOf(item), policy) }));
  const bodies = await scope.sync.bodiesOf(scope.ref.tenant, decided.flatMap(bodiesNeeded));
  const draft: Draft = {
    adopted: [],
    forgotten: [],
    rested: [],
    conflicts: [],
    quarantined: [],
    ops: [],
    bodies: [],
  };
  for (const { item, decision } of decided) {
    await enact(scope, { item, decision, policy, bodies, draft });
  }
  return draft;
}

interface Enacting extends Decided {
  readonly policy: SyncPolicy;
  readonly bodies: ReadonlyMap<Hash, Json>;
  readonly draft: Draft;
}

async function enact(scope: PassScope, work: Enacting): Promise<void> {
  const { item, decision, draft } = work;
  switch (decision.action) {
    case 'rest':
      draft.rested.push(item);
      return;
    case 'adopt':
      draft.adopted.push(item);
      return;
    case 'forget':
      draft.forgotten.push(item);
      return;
    case 'delete':
      draft.ops.push(
        op(scope, { item, action: 'delete', side: decision.on, reason: decision.why }),
      );
      return;
    case 'conflict':
      draft.conflicts.push({
        id: scope.newId() as ConflictId,
        item,
        reason: decision.reason,
        pointers: [''],
        proposal: null,
      });
      return;
    case 'copy':
      if (decision.to === 'hub') await copyToHub(scope, work, decision.why);
      else draft.ops.push(copyToRemote(scope, item, decision.why));
      return;
    case 'merge':
      await merge(scope, work);
  }
}

function copyToRemote(scope: PassScope, item: DirtyItem, reason: string): PlannedOp {
  const action = item.remoteHash === null ? 'create' : 'update';
  return op(scope, { item, action, side: 'remote', reason, remoteAfter: item.hubHash });
}

/** A remote that respells what we send must not make the hub take over its spelling. */
async function copyToHub(scope: PassScope, work: Enacting, reason: string): Promise<void> {
  const { item, bodies, draft } = work;
  const body = await translated(item, bodies);
  if (body) draft.bodies.push(body);
  const hubAfter = body?.hash ?? item.remoteHash;
  if (hubAfter === item.hubHash) {
    draft.adopted.push(item);
    return;
  }
  const action = item.hubHash === null ? 'create' : 'update';
  draft.ops.push(op(scope, { item, action, side: 'hub', reason, hubAfter }));
}

async function translated(item: DirtyItem, bodies: ReadonlyMap<Hash, Json>): Promise<Body | null> {
  if (!isRespelled(item)) return null;
  const [baseHub, baseRemote, remote] = [
    item.baseHubHash,
    item.baseRemoteHash,
    item.remoteHash,
  ].map((hash) => (hash ? bodies.get(hash) : undefined));
  if (baseHub === undefined || baseRemote === undefined || remote === undefined) return null;
  return encodeBody(translateRemote(item.kind, { hub: baseHub, remote: baseRemote }, remote));
}

async function merge(scope: PassScope, work: Enacting): Promise<void> {
  const { item, bodies, draft, policy } = work;
  const body = (hash: Hash | null): Json | undefined => (hash ? bodies.get(hash) : undefined);
  const [baseHub, baseRemote] = [body(item.baseHubHash), body(item.baseRemoteHash)];
  const hasBase = baseHub !== undefined && baseRemote !== undefined;
  const result = mergeItem({
    kind: item.kind,
    base: hasBase ? { hub: baseHub, remote: baseRemote } : null,
    hub: body(item.hubHash)!,
    remote: body(item.remoteHash)!,
    stamps: {
      hubMs: item.hubChangedAt?.getTime() ?? null,
      remoteMs: item.remoteChangedAt?.getTime() ?? null,
    },
    policy,
  });
  if (result.status === 'merged') await mergedOp(scope, { item, result, draft });
  else
    draft.conflicts.push(
      await conflictOf(scope, { item, result, isBaseLost: !hasBase && item.baseHubHash !== null }),
    );
}

async function mergedOp(
  scope: PassScope,
  {
    item,
    result,
    draft,
  }: { item: DirtyItem; result: Extract<MergeResult, { status: 'merged' }>; draft: Draft },
): Promise<void> {
  if (!result.changesHub && !result.changesRemote) {
    draft.adopted.push(item);
    return;
  }
  const body = await encodeBody(result.value);
  draft.bodies.push(body);
  const side = result.changesHub ? (result.changesRemote ? 'both' : 'hub') : 'remote';
  draft.ops.push(
    op(scope, {
      item,
      action: 'merge',
      side,
      reason: 'changed on both sides',
      hubAfter: result.changesHub ? body.hash : null,
      remoteAfter: result.changesRemote ? body.hash : null,
    }),
  );
}

async function conflictOf(
  scope: PassScope,
  found: {
    item: DirtyItem;
    result: Extract<MergeResult, { status: 'conflict' }>;
    isBaseLost: boolean;
  },
): Promise<OpenConflict> {
  return {
    id: scope.newId() as ConflictId,
    item: found.item,
    reason: found.isBaseLost ? 'base-lost' : found.result.reason,
    pointers: found.result.pointers,
    proposal: await encodeBody(found.result.proposal),
  };
}

function op(
  scope: PassScope,
  planned: Pick<PlannedOp, 'item' | 'action' | 'side' | 'reason'> &
    Partial<Pick<PlannedOp, 'hubAfter' | 'remoteAfter'>>,
): PlannedOp {
  return { opId: scope.newId() as OpId, hubAfter: null, remoteAfter: null, ...planned };
}

function bodiesNeeded({ item, decision }: Decided): Hash[] {
  const isTranslated = decision.action === 'copy' && decision.to === 'hub' && isRespelled(item);
  if (decision.action !== 'merge' && !isTranslated) return [];
  return [item.baseHubHash, item.baseRemoteHash, item.hubHash, item.remoteHash].filter(
    (hash) => hash !== null,
  );
}

/** Whether the two sides spelled the same content differently when they last agreed. */
function isRespelled(item: DirtyItem): boolean {
  return item.baseHubHash !== item.baseRemoteHash && item.hubHash !== null;
}

function factsOf(item: DirtyItem) {
  const side = (hash: Hash | null, reason: DirtyItem['hubReason']): SideFact =>
    hash ? { status: 'present', hash } : { status: 'absent', reason };
  return {
    key: item.key,
    kind: item.kind,
    base:
      item.baseHubHash && item.baseRemoteHash
        ? { hubHash: item.baseHubHash, remoteHash: item.baseRemoteHash }
        : null,
    hub: side(item.hubHash, item.hubReason),
    remote: side(item.remoteHash, null),
  };
}

function policyOf(link: Link): SyncPolicy {
  return {
    direction: link.direction,
    strategy: link.strategy,
    strategies: link.strategies,
    editVersusDelete: 'edit',
    propagateExpiry: false,
  };
}

function addUp(totals: Omit<Planned, 'guard'>, page: PlanPage): void {
  const sums = totals as { -readonly [Name in keyof typeof totals]: number };
  const deletes = page.ops.filter((o) => o.action === 'delete');
  sums.planned += page.ops.length;
  sums.merged += page.ops.filter((o) => o.action === 'merge').length;
  sums.conflicts += page.conflicts.length;
  sums.quarantined += page.quarantined.length;
  sums.skipped += page.rested.length;
  sums.deletesHub += deletes.filter((o) => o.side === 'hub').length;
  sums.deletesRemote += deletes.filter((o) => o.side === 'remote').length;
}

async function judge(
  scope: PassScope,
  totals: { judged: number; deletesHub: number; deletesRemote: number },
): Promise<GuardTrip | null> {
  const { sync, ref, link } = scope;
  const { guards } = link;
  if (guards.canary === undefined && !(await couldTrip(scope, totals))) return null;
  const verdict = evaluateGuards(
    {
      ...(await sync.countSides(ref)),
      canary: guards.canary === undefined ? null : await sync.findCanary(ref, guards.canary),
      remoteName: link.name,
    },
    guards,
  );
  return verdict.status === 'go' ? null : { code: verdict.code, reason: verdict.reason };
}

/**
 * Counting both sides costs a scan of the link's items, so only a plan that could trip a guard pays
 * for it: one that deletes beyond the count, or one after which a side may be empty or all changed.
 */
async function couldTrip(
  { sync, ref, link }: PassScope,
  {
    judged,
    deletesHub,
    deletesRemote,
  }: { judged: number; deletesHub: number; deletesRemote: number },
): Promise<boolean> {
  const { maxDeleteCount } = link.guards;
  if (Math.max(deletesHub, deletesRemote) > maxDeleteCount) return true;
  if (deletesHub + deletesRemote === 0 && judged <= maxDeleteCount) return false;
  return !(await sync.isCalm(ref));
}
