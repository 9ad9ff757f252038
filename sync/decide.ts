/**
 * What is to be done with one item, by hash alone: the change matrix of 03-sync.
 * Promises: equal content is never a conflict; without a base nothing is deleted; an edit is never
 * lost in silence; a one-way link never writes to its source.
 */
import type { Hash } from '../domain/hash.ts';
import type { Strategy } from '../domain/link.ts';
import type { Decision, ItemFacts, Side, SideFact, SyncPolicy } from './contract.ts';
import { strategyAt } from './strategy-at.ts';

type Base = NonNullable<ItemFacts['base']>;
/** What a side did since the base. */
type Change = 'none' | 'edit' | 'delete';

/** Decides one item. Both-changed items come back as `merge`: that needs their bodies. */
export function decide(facts: ItemFacts, policy: SyncPolicy): Decision {
  const { base, hub, remote } = facts;
  if (hub.status === 'absent' && remote.status === 'absent') {
    return { action: 'forget', why: 'gone on both sides' };
  }
  if (hub.status === 'present' && remote.status === 'present' && hub.hash === remote.hash) {
    return decideEqual(base, hub.hash);
  }
  if (policy.direction !== 'both') return decideOneWay(facts, policy);
  return base ? decideKnown(facts, base, policy) : decideUnknown(facts);
}

function decideEqual(base: Base | null, hash: Hash): Decision {
  if (base?.hubHash === hash && base.remoteHash === hash) {
    return { action: 'rest', why: 'unchanged' };
  }
  return { action: 'adopt', why: 'both sides hold the same' };
}

function decideUnknown({ hub, remote }: ItemFacts): Decision {
  // Absence means nothing here: the side may never have had it.
  if (hub.status === 'absent') return copy('hub', 'new on the remote');
  if (remote.status === 'absent') return copy('remote', 'new in the hub');
  return { action: 'merge', why: 'on both sides, never agreed on' };
}

function decideKnown(facts: ItemFacts, base: Base, policy: SyncPolicy): Decision {
  const hub = changeOf(facts.hub, base.hubHash);
  const remote = changeOf(facts.remote, base.remoteHash);
  if (hub === 'delete' && !isRealDelete(facts.hub, policy)) return decideExpired(remote);
  if (hub === 'none') return decideOneChanged('remote', remote);
  if (remote === 'none') return decideOneChanged('hub', hub);
  if (hub === 'edit' && remote === 'edit') return { action: 'merge', why: 'changed on both sides' };
  const strategy = strategyAt(policy, facts.kind)('');
  return decideEditVersusDelete(hub === 'edit' ? 'hub' : 'remote', strategy, policy);
}

/** The hub let it expire and the link does not pass that on. */
function decideExpired(remote: Change): Decision {
  return remote === 'edit'
    ? copy('hub', 'edited on the remote since it expired')
    : { action: 'rest', why: 'expired in the hub only' };
}

function decideOneChanged(side: Side, change: Change): Decision {
  if (change === 'none') return { action: 'rest', why: 'unchanged' };
  const name = nameOf(side);
  return change === 'edit'
    ? copy(otherSide(side), `changed ${name}`)
    : { action: 'delete', on: otherSide(side), why: `deleted ${name}` };
}

function decideEditVersusDelete(edited: Side, strategy: Strategy, policy: SyncPolicy): Decision {
  const deleted = otherSide(edited);
  const what = `edited ${nameOf(edited)}, deleted ${nameOf(deleted)}`;
  switch (editVersusDeleteOutcome(edited, strategy, policy)) {
    case 'conflict':
      return { action: 'conflict', reason: 'edit/delete', why: what };
    case 'delete':
      return { action: 'delete', on: edited, why: `${what}; ${strategy}` };
    case 'edit':
      return copy(deleted, `${what}; the edit wins`);
  }
}

function editVersusDeleteOutcome(
  edited: Side,
  strategy: Strategy,
  policy: SyncPolicy,
): 'edit' | 'delete' | 'conflict' {
  switch (strategy) {
    case 'manual':
      return 'conflict';
    case 'prefer-hub':
      return edited === 'hub' ? 'edit' : 'delete';
    case 'prefer-remote':
      return edited === 'remote' ? 'edit' : 'delete';
    case 'intersection':
      return 'delete';
    case 'union':
    case 'latest':
      return 'edit';
    case 'three-way':
      return policy.editVersusDelete;
  }
}

/** One-way: only the source's changes move anything; strategies have nothing to decide. */
function decideOneWay(facts: ItemFacts, policy: SyncPolicy): Decision {
  const source: Side = policy.direction === 'pull' ? 'remote' : 'hub';
  const target = otherSide(source);
  if (!facts.base) {
    return facts[source].status === 'present'
      ? copy(target, `new ${nameOf(source)}`)
      : { action: 'rest', why: `only ${nameOf(target)}, which is not the source` };
  }
  const changes = {
    hub: changeOf(facts.hub, facts.base.hubHash),
    remote: changeOf(facts.remote, facts.base.remoteHash),
  };
  if (changes[source] === 'edit') return copy(target, `changed ${nameOf(source)}`);
  if (changes[source] === 'none') {
    const why = changes[target] === 'none' ? 'unchanged' : `changed ${nameOf(target)} only`;
    return { action: 'rest', why };
  }
  if (!isRealDelete(facts[source], policy))
    return { action: 'rest', why: 'expired in the hub only' };
  return changes[target] === 'none'
    ? { action: 'delete', on: target, why: `deleted ${nameOf(source)}` }
    : { action: 'rest', why: `deleted ${nameOf(source)}, changed ${nameOf(target)}` };
}

function changeOf(fact: SideFact, baseHash: Hash): Change {
  if (fact.status === 'absent') return 'delete';
  return fact.hash === baseHash ? 'none' : 'edit';
}

function isRealDelete(fact: SideFact, policy: SyncPolicy): boolean {
  return !(fact.status === 'absent' && fact.reason === 'ttl') || policy.propagateExpiry;
}

function copy(to: Side, why: string): Decision {
  return { action: 'copy', to, why };
}

function otherSide(side: Side): Side {
  return side === 'hub' ? 'remote' : 'hub';
}

function nameOf(side: Side): string {
  return side === 'hub' ? 'in the hub' : 'on the remote';
}
