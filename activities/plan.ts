/**
 * Planning: every dirty item is decided by hash, bodies are read only for merges, and the result is
 * stored whole before anything is written. Then the guards judge it.
 */
import { boundTime } from '../domain/bound-time.ts';
import type { Hash } from '../domain/hash.ts';
import type { ConflictId, OpId } from '../domain/ids.ts';
import type { Link, PlannedDecision } from '../domain/link.ts';
import type {
  Body,
  DirtyItem,
  OpenConflict,
  PlannedOp,
  PlanPage,
  StoredBody,
} from '../store/contract.ts';
import type { Decision, SideFact, SyncPolicy } from '../sync/contract.ts';
import { decide } from '../sync/decide.ts';
import { strategyAt } from '../sync/strategy-at.ts';
import { TOO_COMPLEX } from './compute/body-work.ts';
import { createBreather } from './compute/breather.ts';
import type { MergedBody } from './compute/heavy-tasks.ts';
import type { Worked } from './compute/threads.ts';
import { LARGE_BYTES } from './compute/weigh.ts';
import type { Planned, PassToken } from './contract.ts';
import { setEncryptedAside } from './encrypted-item.ts';
import { withAgreedKind } from './item-identity.ts';
import { createForeseen, judgePlan } from './judge-plan.ts';
import { overlapping } from './overlap.ts';
import type { PassScope } from './pass-scope.ts';

const PLAN_PAGE = 1_000;

type Draft = { -readonly [Part in keyof PlanPage]: PlanPage[Part][number][] };
interface Decided {
  readonly item: DirtyItem;
  readonly decision: Decision;
}

/** Most decisions a dry run lists besides its ops; its counts are of all. */
const MAX_LISTED = 1_000;

/** Decides every item that is to be decided, stores the plan and has the guards judge it. */
export async function plan(scope: PassScope, pass: PassToken): Promise<Planned> {
  const isDry = pass.mode === 'plan' || (await wouldPark(scope, pass));
  const decisions: PlannedDecision[] = [];
  const foreseen = createForeseen();
  const totals = await eachPage(scope, async (page) => {
    if (isDry) foreseen.add(page);
    await scope.sync.recordPlan(scope.ref, { page, trigger: pass.trigger, isDry });
    if (decisions.length < MAX_LISTED) decisions.push(...decisionsOf(page));
  });
  if (isDry) {
    const listed = decisions.slice(0, MAX_LISTED);
    await scope.sync.recordDecisions(scope.ref, { trigger: pass.trigger, decisions: listed });
  }
  const { judged: _, ...counts } = totals;
  return { ...counts, guard: await judgePlan(scope, totals, foreseen) };
}

type Totals = Omit<Planned, 'guard'> & { readonly judged: number };

async function eachPage(
  scope: PassScope,
  take: (page: PlanPage) => Promise<void>,
): Promise<Totals> {
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
  await overlapping(async (overlap) => {
    for (let after = '', isDone = false; !isDone;) {
      const items = await scope.sync.dirtyItems(scope.ref, { after, limit: PLAN_PAGE });
      const page = await planPage(scope, items);
      if (items.length > 0) await overlap.start(() => take(page));
      judged += items.length;
      addUp(totals, page);
      after = items.at(-1)?.key ?? after;
      isDone = items.length < PLAN_PAGE;
      scope.heartbeat();
    }
  });
  return { ...totals, judged };
}

/**
 * Conflicts open while a plan is recorded, so a budget for them has to be judged before: the plan is
 * made twice on links that have one.
 */
async function wouldPark(scope: PassScope, pass: PassToken): Promise<boolean> {
  if (pass.mode === 'plan' || scope.link.guards.maxConflictPercent >= 100) return false;
  const foreseen = createForeseen();
  const totals = await eachPage(scope, async (page) => foreseen.add(page));
  return (await judgePlan(scope, totals, foreseen)) !== null;
}

function decisionsOf(page: PlanPage): PlannedDecision[] {
  const plain = (decision: 'adopt' | 'forget', items: readonly DirtyItem[]) =>
    items.map(({ key }): PlannedDecision => ({ decision, key, reason: '' }));
  return [
    ...page.conflicts.map(({ item, reason }): PlannedDecision => {
      return { decision: 'conflict', key: item.key, reason };
    }),
    ...page.quarantined.map(({ item, fault }): PlannedDecision => {
      return { decision: 'quarantine', key: item.key, reason: `${fault.code}: ${fault.detail}` };
    }),
    ...plain('adopt', page.adopted),
    ...plain('forget', page.forgotten),
  ];
}

/** Decides one page of items. */
export async function planPage(scope: PassScope, items: readonly DirtyItem[]): Promise<PlanPage> {
  const policy = policyOf(scope.link);
  const { carried, setAside } = setEncryptedAside(items);
  const decided = carried
    .map((item) => withAgreedKind(scope.connector.capabilities, item))
    .map((item) => ({ item, decision: decide(factsOf(item), policy) }));
  const bodies = await scope.sync.bodiesOf(scope.ref.tenant, decided.flatMap(bodiesNeeded));
  const draft: Draft = {
    adopted: [],
    forgotten: [],
    rested: [],
    conflicts: [],
    quarantined: setAside,
    ops: [],
    bodies: [],
  };
  const breathe = createBreather(scope.clock);
  for (const { item, decision } of decided) {
    await breathe();
    await enact(scope, { item, decision, policy, bodies, draft });
  }
  return draft;
}

interface Enacting extends Decided {
  readonly policy: SyncPolicy;
  readonly bodies: ReadonlyMap<Hash, StoredBody>;
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
      else await copyToRemote(scope, work, decision.why);
      return;
    case 'merge':
      await merge(scope, work);
  }
}

async function copyToRemote(scope: PassScope, work: Enacting, reason: string): Promise<void> {
  const { item, bodies, draft } = work;
  const body = item.hubHash ? bodies.get(item.hubHash) : undefined;
  // Only a large body is there: it must not stall whoever reads it on its way to the remote.
  const worked = body ? await scope.work.judge({ kind: item.kind, body }) : null;
  const why = worked?.status === 'refused' ? worked.detail : TOO_COMPLEX;
  if (worked && (worked.status === 'refused' || worked.result.status === 'too-complex')) {
    draft.quarantined.push(tooComplex(item, why));
    return;
  }
  const action = item.remoteHash === null ? 'create' : 'update';
  draft.ops.push(op(scope, { item, action, side: 'remote', reason, remoteAfter: item.hubHash }));
}

function tooComplex(item: DirtyItem, detail: string): PlanPage['quarantined'][number] {
  return { item, fault: { code: 'ITEM_TOO_COMPLEX', detail } };
}

/** A remote that respells what we send must not make the hub take over its spelling. */
async function copyToHub(scope: PassScope, work: Enacting, reason: string): Promise<void> {
  const { item, draft } = work;
  const worked = await translated(scope, work);
  if (worked.status === 'refused') {
    draft.quarantined.push(tooComplex(item, worked.detail));
    return;
  }
  const body = worked.result;
  if (body) draft.bodies.push(body);
  const hubAfter = body?.hash ?? item.remoteHash;
  if (hubAfter === item.hubHash) {
    draft.adopted.push(item);
    return;
  }
  const action = item.hubHash === null ? 'create' : 'update';
  draft.ops.push(op(scope, { item, action, side: 'hub', reason, hubAfter }));
}

/** The remote's body in the hub's spelling; null where both spell alike, or nobody knows how. */
async function translated(scope: PassScope, work: Enacting): Promise<Worked<Body | null>> {
  const { item, bodies } = work;
  const same = { status: 'done', result: null } as const;
  if (!isRespelled(item)) return same;
  const [hub, remote, now] = [item.baseHubHash, item.baseRemoteHash, item.remoteHash].map((hash) =>
    hash ? bodies.get(hash) : undefined,
  );
  if (!hub || !remote || !now) return same;
  return scope.work.translate({ kind: item.kind, base: { hub, remote }, remote: now });
}

async function merge(scope: PassScope, work: Enacting): Promise<void> {
  const { item, bodies, draft, policy } = work;
  const body = (hash: Hash | null): StoredBody | undefined => (hash ? bodies.get(hash) : undefined);
  const [baseHub, baseRemote] = [body(item.baseHubHash), body(item.baseRemoteHash)];
  const isHeld = item.state === 'held';
  // After an undo the two bases are two contents: there is nothing both edits descend from.
  const base = baseHub && baseRemote && !isHeld ? { hub: baseHub, remote: baseRemote } : null;
  const worked = await scope.work.merge({
    kind: item.kind,
    base,
    hub: body(item.hubHash)!,
    remote: body(item.remoteHash)!,
    stamps: {
      hubMs: believed(item.hubChangedAt, scope.clock),
      remoteMs: believed(item.remoteChangedAt, scope.clock),
    },
    policy,
  });
  // What cannot be merged in bounded time is a person's to decide, as a whole.
  const result = worked.status === 'done' ? worked.result : wholeConflict(base !== null);
  const isBaseLost = base === null && item.baseHubHash !== null && !isHeld;
  if (result.status === 'conflict') {
    draft.conflicts.push(conflictOf(scope, { item, result, isBaseLost }));
  } else if (isBaseLost && result.body && asksAPerson(policy, item.kind)) {
    // Without the base nobody knows who took away and who added: the merge is a proposal.
    const proposed = { ...wholeConflict(false), proposal: result.body };
    draft.conflicts.push(conflictOf(scope, { item, result: proposed, isBaseLost }));
  } else {
    mergedOp(scope, { item, result, draft });
  }
}

/** Whether the item's strategy leaves conflicts at all. */
function asksAPerson(policy: SyncPolicy, kind: DirtyItem['kind']): boolean {
  const strategy = strategyAt(policy, kind)('');
  return strategy === 'three-way' || strategy === 'manual';
}

type Contested = Pick<OpenConflict, 'reason' | 'pointers' | 'proposal'>;

function wholeConflict(hasBase: boolean): Contested & { status: 'conflict' } {
  const reason = hasBase ? 'edit/edit' : 'create/create';
  return { status: 'conflict', reason, pointers: [''], proposal: null };
}

function mergedOp(
  scope: PassScope,
  {
    item,
    result,
    draft,
  }: { item: DirtyItem; result: Extract<MergedBody, { status: 'merged' }>; draft: Draft },
): void {
  const { body, changesHub, changesRemote } = result;
  if (!body) {
    draft.adopted.push(item);
    return;
  }
  draft.bodies.push(body);
  const side = changesHub ? (changesRemote ? 'both' : 'hub') : 'remote';
  draft.ops.push(
    op(scope, {
      item,
      action: 'merge',
      side,
      reason: 'changed on both sides',
      hubAfter: changesHub ? body.hash : null,
      remoteAfter: changesRemote ? body.hash : null,
    }),
  );
}

function conflictOf(
  scope: PassScope,
  found: { item: DirtyItem; result: Contested; isBaseLost: boolean },
): OpenConflict {
  const { item, result, isBaseLost } = found;
  return {
    id: scope.newId() as ConflictId,
    item,
    reason: isBaseLost ? 'base-lost' : result.reason,
    pointers: result.pointers,
    proposal: result.proposal,
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
  const isCopy = decision.action === 'copy';
  if (isCopy && decision.to === 'remote') {
    return item.hubHash && item.hubSize > LARGE_BYTES ? [item.hubHash] : [];
  }
  const isTranslated = isCopy && isRespelled(item);
  if (decision.action !== 'merge' && !isTranslated) return [];
  return [item.baseHubHash, item.baseRemoteHash, item.hubHash, item.remoteHash].filter(
    (hash) => hash !== null,
  );
}

/**
 * Whether the two sides spelled the same content differently when they last agreed. The sides of a
 * held item are apart on purpose: an edit of one carries its whole value to the other.
 */
function isRespelled(item: DirtyItem): boolean {
  return item.baseHubHash !== item.baseRemoteHash && item.hubHash !== null && item.state !== 'held';
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

/** When a side says it changed; a clock too far ahead of ours is believed no further than now. */
function believed(changedAt: Date | null, clock: PassScope['clock']): number | null {
  return changedAt && boundTime(changedAt.getTime(), clock.now());
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
