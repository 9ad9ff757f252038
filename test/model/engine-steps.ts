/**
 * The steps of a pass over one item. What is decided is decided by the engine's own functions
 * (`decide`, `mergeItem`, `isStillFresh`, `settleOp`, `recoveryOf`, `answerFromRead`); what is
 * written here is what Postgres and the connectors do around them.
 */
import type { Hash } from '../../domain/hash.ts';
import type { ContextKey, RemoteId } from '../../domain/ids.ts';
import type { OpAnswer, OpFacts, SettledItem } from '../../domain/op.ts';
import type { MergeResult, SideFact, SyncPolicy } from '../../sync/contract.ts';
import { decide } from '../../sync/decide.ts';
import { mergeItem, translateRemote } from '../../sync/merge-item.ts';
import { answerFromRead, recoveryOf } from '../../sync/recover.ts';
import { isStillFresh, settleOp } from '../../sync/settle.ts';
import type { Bodies } from './bodies.ts';
import type { Removed, Rules } from './rules.ts';
import type { Facts, Item, LinkWorld, Op, Process, RemoteWorld, Seen, World } from './world.ts';

const DELETES_WIN = new Set(['prefer-hub', 'prefer-remote', 'intersection']);
const KEY = 'p/n' as ContextKey;
const NAME = 'n' as RemoteId;
const IDLE: Process = { step: 'idle' };

/** What an engine step did that no promise allows; null when all is well. */
export type Breach = { readonly promise: string; readonly what: string } | null;

export interface Engine {
  /** Whether a link's process (or its zombie) can go on. */
  canStep(world: World, nth: number, who: 'process' | 'zombie'): boolean;
  /** Does the next step in place. */
  step(world: World, nth: number, who: 'process' | 'zombie', fault?: 'blink' | 'cut'): Breach;
}

interface Acting {
  readonly world: World;
  readonly nth: number;
  readonly link: LinkWorld;
  readonly remote: RemoteWorld;
  readonly process: Process;
}

export function createEngine(rules: Rules, bodies: Bodies): Engine {
  const lacks = (step: Removed): boolean => rules.removed === step;
  const planner = createPlanner(rules, bodies);
  const hasVersions = rules.grade !== 'C';
  const scansNeeded = rules.grade === 'C' && !lacks('second-scan') ? 2 : 1;

  const versionOf = (remote: RemoteWorld): string | null =>
    remote.hash === null ? null : hasVersions ? String(remote.version) : remote.hash;

  /** What users know whose edits a body bears. */
  function known(world: World, hash: Hash | null): number {
    if (hash === null) return 0;
    const marks = bodies.marks(hash);
    let all = marks;
    for (let bit = 0; 1 << bit <= marks; bit += 1) {
      if (marks & (1 << bit)) all |= world.knowsGhost[bit] ?? 0;
    }
    return all;
  }

  /** Whether a user deleted the item having seen all that this body bears. */
  function isDeletable(world: World, hash: Hash): boolean {
    // Strategies that let a delete win over an edit need any delete, not one that saw the edit.
    if (DELETES_WIN.has(rules.strategy)) return world.deletesGhost.length > 0;
    const marks = bodies.marks(hash) & world.editsGhost & ~world.excusedGhost.edits;
    return world.deletesGhost.some((seen) => (marks & ~seen) === 0);
  }

  // -- the remote ---------------------------------------------------------------------------------

  function putRemote({ world, remote }: Acting, op: Op): OpAnswer {
    const before = remote.hash;
    remote.version += 1;
    world.writes += 1;
    remote.hash = op.remoteAfter === null ? null : bodies.respelled(op.remoteAfter);
    if (op.remoteAfter === null) remote.tombGhost |= op.tombGhost | known(world, before);
    return {
      status: 'applied',
      remote: { remoteId: NAME, version: versionOf(remote), hash: remote.hash },
    };
  }

  const moved = (remote: RemoteWorld): OpAnswer => ({
    status: 'stale',
    seen: { version: versionOf(remote), hash: remote.hash },
    detail: 'the remote has changed since the plan',
  });

  function writeRemote(acting: Acting, op: Op): { answer: OpAnswer; breach: Breach } {
    const { world, link, remote } = acting;
    const before = remote.done.find((one) => one.id === op.id);
    if (before) return { answer: before.answer, breach: null };
    const isExpected = versionOf(remote) === op.remoteVersion;
    if (hasVersions && !isExpected && !lacks('compare-and-set')) {
      return { answer: remembered(remote, op, moved(remote)), breach: null };
    }
    const isDelete = op.remoteAfter === null;
    if (rules.grade === 'C' && !isExpected) excuseWindow(acting, op);
    const breach =
      isDelete && remote.hash !== null && !isDeletable(world, remote.hash)
        ? { promise: 'P6', what: 'the engine deleted on the remote what nobody deleted' }
        : null;
    const answer = putRemote(acting, op);
    if (link.intent?.id === op.id) link.isWrittenGhost = true;
    return { answer: remembered(remote, op, answer), breach };
  }

  /** Grade A: what was answered once is answered again, refusals included. */
  function remembered(remote: RemoteWorld, op: Op, answer: OpAnswer): OpAnswer {
    const isKept =
      rules.grade === 'A' &&
      !lacks('op-id-memory') &&
      !(answer.status === 'stale' && lacks('refusal-memory'));
    if (isKept) remote.done = [...remote.done, { id: op.id, answer }];
    return answer;
  }

  /** Grade C: what a user did between the connector's check and its write is not promised. */
  function excuseWindow({ world, remote }: Acting, op: Op): void {
    const lost = known(world, remote.hash) & ~known(world, op.remoteAfter);
    const deletes = remote.hash === null && op.remoteAfter !== null ? world.deletesGhost : [];
    world.excusedGhost = {
      edits: world.excusedGhost.edits | lost,
      deletes: union(world.excusedGhost.deletes, deletes),
    };
  }

  // -- the steps ----------------------------------------------------------------------------------

  function begin({ link }: Acting): Process {
    if (link.zombie) link.zombie = { ...link.zombie, isFenced: true };
    return { step: link.intent ? 'recover' : 'observe-hub' };
  }

  function recover(acting: Acting): { process: Process; breach: Breach } {
    const { world, link, remote } = acting;
    const op = link.intent;
    // A zombie got there first.
    if (!op) return { process: { step: 'observe-hub' }, breach: null };
    const way = lacks('recovery-by-op-id') ? 'read' : recoveryOf(rules.grade);
    if (way === 'ask') {
      const { answer, breach } = writeRemote(acting, op);
      return { process: { step: 'settle', op, answer, isRecovery: true }, breach };
    }
    const found = {
      status: 'read',
      remoteId: NAME,
      version: versionOf(remote),
      hash: remote.hash,
    } as const;
    const answer = answerFromRead(op, found);
    // A write that arrived is taken for one that did not: the base stays behind what users saw.
    if (answer.status === 'stale' && link.isWrittenGhost) {
      link.isMisjudgedGhost = true;
      const deletes = union(world.excusedGhost.deletes, world.doubtfulDeletesGhost);
      world.excusedGhost = { ...world.excusedGhost, deletes };
    }
    return { process: { step: 'settle', op, answer, isRecovery: true }, breach: null };
  }

  function observeHub({ world, link }: Acting): Process {
    const next: Process = { step: 'look' };
    if (!link.hasNews) return next;
    link.hasNews = false;
    const item = (link.item ??= newItem());
    if (item.state === 'tombstoned') item.state = 'pending';
    if (!item.isNamed) {
      // Naming reads the body; a context deleted before the remote heard of it is gone.
      if (world.hub.hash === null) {
        item.state = 'tombstoned';
        item.isDirty = false;
        return next;
      }
      item.isNamed = true;
    }
    if (lacks('dirty-with-cursor')) return { ...next, isDirty: true };
    item.isDirty = true;
    return next;
  }

  function look({ link, remote, process }: Acting, fault?: 'blink' | 'cut'): Process {
    const state = { version: versionOf(remote), hash: remote.hash };
    const seen: Seen =
      rules.grade === 'A'
        ? {
            ...state,
            status:
              String(remote.version) === link.cursor
                ? 'silent'
                : remote.hash === null
                  ? 'absent'
                  : 'present',
            cursor: String(remote.version),
            isComplete: true,
          }
        : {
            ...(fault ? { version: null, hash: null } : state),
            status: fault || remote.hash === null ? 'silent' : 'present',
            cursor: null,
            isComplete: fault !== 'cut',
          };
    return { ...process, step: 'record', seen };
  }

  function record({ link, process }: Acting): Process {
    const seen = process.seen!;
    if (seen.status !== 'silent') sight(link, seen);
    if (!seen.isComplete && !lacks('scan-certificate')) return IDLE;
    const inDoubt = rules.grade !== 'A' && link.item ? markMissing(link.item, seen) : false;
    if (!inDoubt) link.cursor = seen.cursor;
    const { item } = link;
    const isDirty = item?.isDirty === true || process.isDirty === true;
    if (isDirty && item?.remoteStatus === 'unknown') item.remoteStatus = 'absent';
    return isDirty ? { step: 'read', ...(process.isDirty ? { isDirty: true } : {}) } : IDLE;
  }

  function sight(link: LinkWorld, seen: Seen): void {
    if (!link.item) {
      if (seen.status === 'absent') return;
      link.item = newItem();
    }
    const { item } = link;
    const isKnown =
      seen.status === 'absent'
        ? item.remoteStatus === 'absent' || !item.isNamed
        : item.remoteStatus === 'present' && item.remoteVersion === seen.version;
    if (isKnown) return;
    item.isNamed = true;
    item.remoteStatus = seen.status === 'absent' ? 'absent' : 'present';
    item.remoteHash = seen.hash;
    item.remoteVersion = seen.version;
    item.missing = 0;
    item.isDirty = true;
    if (item.state === 'tombstoned') item.state = 'pending';
  }

  /** Counts a listing that does not show the item; answers whether that leaves it in doubt. */
  function markMissing(item: Item, seen: Seen): boolean {
    if (seen.status !== 'silent') {
      item.missing = 0;
      return false;
    }
    if (item.remoteStatus !== 'present') return false;
    item.missing += 1;
    if (item.missing < scansNeeded) return true;
    item.remoteStatus = 'absent';
    item.remoteHash = null;
    item.remoteVersion = null;
    item.isDirty = true;
    return false;
  }

  function read({ world, link, process }: Acting): Process {
    const { item } = link;
    const isDirty = item?.isDirty === true || process.isDirty === true;
    if (!item || !isDirty || !item.isNamed || item.remoteStatus === 'unknown') return IDLE;
    return { step: 'plan', facts: { hubVersion: world.hub.version, hubHash: world.hub.hash } };
  }

  function plan(acting: Acting): Process {
    const { world, link, process } = acting;
    const item = link.item!;
    const facts = process.facts!;
    const planned = planner.plan(item, facts);
    switch (planned.action) {
      case 'adopt':
        item.base = { hub: facts.hubHash!, remote: item.remoteHash! };
        link.isMisjudgedGhost = false;
        settleInPlace(item, 'synced');
        return IDLE;
      case 'forget':
        item.base = null;
        link.isMisjudgedGhost = false;
        settleInPlace(item, 'tombstoned');
        return IDLE;
      case 'rest':
        item.isDirty = false;
        if (item.base && item.state === 'pending') item.state = 'synced';
        return IDLE;
      case 'conflict':
        item.state = 'conflict';
        item.conflict = { hub: facts.hubHash, remote: item.remoteHash };
        item.isDirty = false;
        return IDLE;
      case 'op': {
        const tombGhost = facts.hubHash === null ? world.hub.tombGhost : acting.remote.tombGhost;
        const op: Op = { ...planned.op, id: freshId(acting), tombGhost };
        return { step: 'claim', op };
      }
    }
  }

  function settleInPlace(item: Item, state: Item['state']): void {
    if (item.state === 'conflict') item.conflict = null;
    item.state = state;
    item.isDirty = false;
  }

  function claim(acting: Acting): Process {
    const { world, link, process } = acting;
    const op = process.op!;
    const item = link.item!;
    const now = {
      hubVersion: world.hub.version,
      remoteId: NAME,
      remoteVersion: item.remoteVersion,
      remoteHash: item.remoteHash,
    };
    if (!lacks('claim-check') && !isStillFresh(op, now)) return IDLE;
    if (op.side === 'hub')
      return { step: 'settle', op, answer: { status: 'applied', remote: null } };
    if (!lacks('intent')) {
      link.intent = op;
      link.isWrittenGhost = false;
    }
    if (lacks('base-after-write')) recordPresumed(link, op);
    return { step: rules.grade === 'C' ? 'check' : 'write', op };
  }

  /** Variant: the base is what the write is expected to lead to, before it is made. */
  function recordPresumed(link: LinkWorld, op: Op): void {
    const remote = { remoteId: NAME, version: op.remoteVersion, hash: op.remoteAfter };
    const { item } = settleOp(op, { status: 'applied', remote }, op.hubVersion);
    if (item) recordItem(link.item!, item);
  }

  function check({ remote, process }: Acting): Process {
    const op = process.op!;
    if (versionOf(remote) === op.remoteVersion) return { ...process, step: 'write' };
    return { ...process, step: 'settle', answer: moved(remote) };
  }

  function write(acting: Acting): { process: Process; breach: Breach } {
    const op = acting.process.op!;
    const { answer, breach } = writeRemote(acting, op);
    return { process: { step: 'settle', op, answer }, breach };
  }

  function settle(acting: Acting): { process: Process; breach: Breach } {
    const { world, link, process } = acting;
    const op = process.op!;
    const hubVersion = lacks('hub-version-check') ? op.hubVersion : world.hub.version;
    const settlement = settleOp(baseOf(op), given(op, process.answer!), hubVersion);
    let breach: Breach = null;
    if (settlement.hubWrite) {
      const after = settlement.hubWrite === 'as-planned' ? op.hubAfter : world.hub.hash;
      const keepsLoser = settlement.keepsLoser && !lacks('loser-in-history');
      breach = writeHub(acting, op, { after, keepsLoser });
    }
    if (settlement.item) recordItem(link.item!, settlement.item);
    if (settlement.state === 'done') {
      link.isMisjudgedGhost = false;
      link.item!.conflict = null;
      breach ??= baseBreach(world, settlement.item);
    }
    if (link.intent?.id === op.id) {
      link.intent = null;
      link.isWrittenGhost = false;
      world.doubtfulDeletesGhost = [];
    }
    return { process: process.isRecovery ? { step: 'observe-hub' } : IDLE, breach };
  }

  const baseOf = (op: Op): OpFacts => op;

  /** Variant: the engine records what it sent instead of what the remote made of it. */
  function given(op: Op, answer: OpAnswer): OpAnswer {
    if (!lacks('returned-body') || answer.status !== 'applied' || !answer.remote) return answer;
    return {
      status: 'applied',
      remote: { ...answer.remote, version: op.remoteVersion, hash: op.remoteAfter },
    };
  }

  function writeHub(
    { world, nth }: Acting,
    op: Op,
    { after, keepsLoser }: { after: Hash | null; keepsLoser: boolean },
  ): Breach {
    const { hub } = world;
    const breach =
      after === null && hub.hash !== null && !isDeletable(world, hub.hash)
        ? { promise: 'P6', what: 'the engine deleted in the hub what nobody deleted' }
        : null;
    if (after === null) hub.tombGhost |= op.tombGhost | known(world, hub.hash);
    hub.version += keepsLoser ? 2 : 1;
    if (keepsLoser && op.remoteHash) world.historyGhost |= bodies.marks(op.remoteHash);
    hub.hash = after;
    if (after !== null) world.historyGhost |= bodies.marks(after);
    world.writes += 1;
    world.links.forEach((other, at) => {
      if (at !== nth) other.hasNews = true;
    });
    return breach;
  }

  /** A base that claims a version the hub does not have would hide the next change. */
  function baseBreach(world: World, item: SettledItem | null): Breach {
    if (!item || item.keepsBase || !item.base || item.isDirty || rules.removed) return null;
    return item.base.version === world.hub.version
      ? null
      : {
          promise: 'base',
          what: `a base of version ${item.base.version}, the hub has ${world.hub.version}`,
        };
  }

  const steps: Readonly<
    Record<
      Exclude<Process['step'], 'idle'>,
      (acting: Acting, fault?: 'blink' | 'cut') => Process | { process: Process; breach: Breach }
    >
  > = { recover, 'observe-hub': observeHub, look, record, read, plan, claim, check, write, settle };

  return {
    canStep(world, nth, who) {
      const link = world.links[nth]!;
      if (who === 'process') return true;
      const { zombie } = link;
      if (!zombie) return false;
      // Its transactions fail at the fence; only what it sends to the remote can still arrive.
      return !zombie.isFenced || lacks('fence') || zombie.step === 'write';
    },
    step(world, nth, who, fault) {
      const link = world.links[nth]!;
      const process = who === 'process' ? link.process : link.zombie!;
      const acting: Acting = { world, nth, link, remote: world.remotes[link.remote]!, process };
      const did = process.step === 'idle' ? begin(acting) : steps[process.step](acting, fault);
      const { process: next, breach } = 'process' in did ? did : { process: did, breach: null };
      if (who === 'process') link.process = next;
      else link.zombie = next.step === 'idle' ? null : { ...next, isFenced: link.zombie!.isFenced };
      forgetDone(world, acting.remote);
      return breach;
    },
  };
}

function newItem(): Item {
  return {
    isNamed: false,
    state: 'pending',
    base: null,
    remoteStatus: 'unknown',
    remoteHash: null,
    remoteVersion: null,
    missing: 0,
    isDirty: false,
    conflict: null,
  };
}

function recordItem(item: Item, settled: SettledItem): void {
  item.remoteHash = settled.remote.hash;
  item.remoteVersion = settled.remote.version;
  item.remoteStatus = settled.remote.hash === null ? 'absent' : 'present';
  item.missing = 0;
  item.isDirty = settled.isDirty;
  if (settled.keepsBase) return;
  // The model undoes nothing, so nothing is ever held.
  item.state = settled.state === 'held' ? 'pending' : settled.state;
  item.base = settled.base && { hub: settled.base.hubHash, remote: settled.base.remoteHash };
}

/** Ids of the ops that anybody may still send. */
function heldIds(world: World): readonly number[] {
  return world.links.flatMap(({ intent, process, zombie }) =>
    [intent, process.op, zombie?.op].flatMap((op) => (op ? [op.id] : [])),
  );
}

/** What nobody can ask again need not be remembered. */
function forgetDone(world: World, remote: RemoteWorld): void {
  if (remote.done.length === 0) return;
  const held = heldIds(world);
  if (remote.done.some((one) => !held.includes(one.id))) {
    remote.done = remote.done.filter((one) => held.includes(one.id));
  }
}

/** An op id nobody uses or remembers. */
function freshId({ world, remote }: Acting): number {
  return 1 + Math.max(0, ...heldIds(world), ...remote.done.map((one) => one.id));
}

function union(some: readonly number[], more: readonly number[]): readonly number[] {
  return more.every((one) => some.includes(one))
    ? some
    : [...new Set([...some, ...more])].sort((a, b) => a - b);
}

// -- planning ---------------------------------------------------------------------------------------

type PlannedAction =
  | { readonly action: 'adopt' | 'forget' | 'rest' | 'conflict' }
  | { readonly action: 'op'; readonly op: Omit<Op, 'id' | 'tombGhost'> };

interface Planner {
  plan(item: Item, facts: Facts): PlannedAction;
}

/** The planner's way from a decision to an op (activities/plan.ts), for one item. */
function createPlanner(rules: Rules, bodies: Bodies): Planner {
  const policy: SyncPolicy = {
    direction: 'both',
    strategy: rules.strategy,
    strategies: [],
    editVersusDelete: 'edit',
    propagateExpiry: false,
  };
  const merges = new Map<string, MergeResult>();

  const side = (hash: Hash | null): SideFact =>
    hash ? { status: 'present', hash } : { status: 'absent', reason: null };

  /** Merging costs much and the same few bodies meet again and again. */
  function merge(item: Item, hub: Hash, remote: Hash): MergeResult {
    const key = `${item.base?.hub ?? ''}/${item.base?.remote ?? ''}/${hub}/${remote}`;
    let result = merges.get(key);
    if (!result) {
      const base = item.base && {
        hub: bodies.value(item.base.hub),
        remote: bodies.value(item.base.remote),
      };
      result = mergeItem({
        kind: 'memory',
        base,
        hub: bodies.value(hub),
        remote: bodies.value(remote),
        stamps: { hubMs: 1, remoteMs: 1 },
        policy,
      });
      merges.set(key, result);
    }
    return result;
  }

  function opOf(
    item: Item,
    facts: Facts,
    more: Pick<Op, 'action' | 'side'> & Partial<Pick<Op, 'hubAfter' | 'remoteAfter'>>,
  ): PlannedAction {
    return {
      action: 'op',
      op: {
        remoteId: NAME,
        hubVersion: facts.hubVersion,
        hubHash: facts.hubHash,
        remoteVersion: item.remoteVersion,
        remoteHash: item.remoteHash,
        hubAfter: null,
        remoteAfter: null,
        baseRemoteHash: item.base?.remote ?? null,
        ...more,
      },
    };
  }

  function copyToHub(item: Item, facts: Facts): PlannedAction {
    const { base, remoteHash } = item;
    let hubAfter = remoteHash!;
    if (base && base.hub !== base.remote && facts.hubHash !== null) {
      const [hub, remote] = [bodies.value(base.hub), bodies.value(base.remote)];
      const value = translateRemote('memory', { hub, remote }, bodies.value(remoteHash!));
      hubAfter = bodies.intern(value as ReturnType<Bodies['value']>);
    }
    if (hubAfter === facts.hubHash) return { action: 'adopt' };
    return opOf(item, facts, {
      action: facts.hubHash ? 'update' : 'create',
      side: 'hub',
      hubAfter,
    });
  }

  function merged(item: Item, facts: Facts): PlannedAction {
    const result = merge(item, facts.hubHash!, item.remoteHash!);
    if (result.status === 'conflict') return { action: 'conflict' };
    const { changesHub, changesRemote } = result;
    if (!changesHub && !changesRemote) return { action: 'adopt' };
    const value = bodies.intern(result.value as ReturnType<Bodies['value']>);
    return opOf(item, facts, {
      action: 'merge',
      side: changesHub ? (changesRemote ? 'both' : 'hub') : 'remote',
      hubAfter: changesHub ? value : null,
      remoteAfter: changesRemote ? value : null,
    });
  }

  return {
    plan(item, facts) {
      const decision = decide(
        {
          key: KEY,
          kind: 'memory',
          base: item.base && { hubHash: item.base.hub, remoteHash: item.base.remote },
          hub: side(facts.hubHash),
          remote: side(item.remoteHash),
        },
        policy,
      );
      switch (decision.action) {
        case 'rest':
        case 'adopt':
        case 'forget':
        case 'conflict':
          return { action: decision.action };
        case 'delete':
          return opOf(item, facts, { action: 'delete', side: decision.on });
        case 'copy':
          return decision.to === 'hub'
            ? copyToHub(item, facts)
            : opOf(item, facts, {
                action: item.remoteHash ? 'update' : 'create',
                side: 'remote',
                remoteAfter: facts.hubHash,
              });
        case 'merge':
          return merged(item, facts);
      }
    },
  };
}
