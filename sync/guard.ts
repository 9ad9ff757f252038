/**
 * Rules that park a run before it does harm. They judge counts only, before any write, and say in
 * one sentence what was seen, on which side, and what can be done.
 */
import type { GuardCode } from '../domain/link.ts';
import type {
  GuardConfig,
  GuardFacts,
  GuardVerdict,
  KindFacts,
  Side,
  SideFacts,
} from './contract.ts';

interface SideView {
  readonly side: Side;
  /** As it stands inside a sentence, and at its start. A remote's name is never respelled. */
  readonly name: string;
  readonly title: string;
  readonly facts: SideFacts;
}

type Guard = (view: SideView, config: GuardConfig, facts: GuardFacts) => string | null;

/** From the plainest sign of trouble to the vaguest: the first that trips is reported. */
const GUARDS: readonly (readonly [code: GuardCode, guard: Guard])[] = [
  ['CANARY', missingCanary],
  ['EMPTY_SIDE', emptiedSide],
  ['DELETE_BUDGET', tooManyDeletes],
  ['ALL_CHANGED', everythingChanged],
  ['OVERWRITE_BUDGET', tooManyOverwrites],
  ['CONFLICT_BUDGET', tooManyConflicts],
];

/** Judges a plan's counts, per side. Guards that are switched off in the config never park. */
export function evaluateGuards(facts: GuardFacts, config: GuardConfig): GuardVerdict {
  const views: readonly SideView[] = [
    { side: 'hub', name: 'the hub', title: 'The hub', facts: facts.hub },
    { side: 'remote', name: facts.remoteName, title: facts.remoteName, facts: facts.remote },
  ];
  for (const [code, guard] of GUARDS) {
    for (const view of views) {
      const reason = guard(view, config, facts);
      if (reason) return { status: 'parked', code, reason };
    }
  }
  return { status: 'go' };
}

function missingCanary(view: SideView, config: GuardConfig, { canary }: GuardFacts): string | null {
  if (!canary || canary[view.side]) return null;
  const key = config.canary === undefined ? 'the canary' : `the canary "${config.canary}"`;
  return (
    `${view.title} does not have ${key}, so nothing was written: ` +
    `put it back, or take it out of the link's guards, and run the link again.`
  );
}

/**
 * Memories and documents live apart (a file or graph here, a folder there): one of them is lost
 * whole while the other stays. Other kinds are labels users give, and say nothing about places.
 */
const KINDS_APART: Readonly<Record<string, readonly [one: string, many: string]>> = {
  memory: ['memory', 'memories'],
  document: ['document', 'documents'],
};

function emptiedSide(view: SideView, config: GuardConfig): string | null {
  if (!config.emptySide) return null;
  if (isEmptied(view.facts)) return emptied(view, view.facts, counted(view.facts.known));
  for (const facts of view.facts.kinds) {
    const words = Object.hasOwn(KINDS_APART, facts.kind) ? KINDS_APART[facts.kind] : undefined;
    if (!words || !isEmptied(facts)) continue;
    return emptied(view, facts, `${facts.known} ${words[facts.known === 1 ? 0 : 1]}`);
  }
  return null;
}

// Items that expired went the way they were meant to; the rest did not.
function isEmptied({ known, present, expired }: Omit<KindFacts, 'kind'>): boolean {
  return present === 0 && known - expired > 0;
}

function emptied(view: SideView, { expired }: Omit<KindFacts, 'kind'>, known: string): string {
  const had = `${known} it had${expired > 0 ? ` (${expired} expired)` : ''}`;
  return `${view.title} has 0 of ${had}, so nothing was written: ${wayOut(view)}`;
}

function tooManyDeletes(view: SideView, config: GuardConfig): string | null {
  const { known, plannedDeletes } = view.facts;
  const { maxDeleteCount, maxDeletePercent } = config;
  const isOver = plannedDeletes > maxDeleteCount && plannedDeletes * 100 > maxDeletePercent * known;
  if (!isOver) return null;
  return (
    `${plannedDeletes} of ${counted(known)} ${view.name} has would be deleted there, more ` +
    `than ${maxDeleteCount} and more than ${maxDeletePercent} %, so nothing was written: ` +
    `if that is right, approve the plan; if not, bring back on the other side what is missing ` +
    `there and run the link again.`
  );
}

function tooManyOverwrites(
  view: SideView,
  config: GuardConfig,
  { items }: GuardFacts,
): string | null {
  const { plannedOverwrites } = view.facts;
  const { maxOverwriteCount, maxOverwritePercent } = config;
  const isOver =
    plannedOverwrites > maxOverwriteCount && plannedOverwrites * 100 > maxOverwritePercent * items;
  if (!isOver) return null;
  return (
    `${plannedOverwrites} of ${counted(items)} would be overwritten in ${view.name}, more than ` +
    `${maxOverwriteCount} and more than ${maxOverwritePercent} %, so nothing was written: if that is ` +
    `right, approve the plan; if not, put back on the other side what was changed there and run the ` +
    `link again.`
  );
}

/** Of both sides alike, so the first that is asked answers. */
function tooManyConflicts(
  _view: SideView,
  config: GuardConfig,
  { conflicts, items }: GuardFacts,
): string | null {
  const { planned, accepted } = conflicts;
  const { maxConflictCount, maxConflictPercent } = config;
  const isOver =
    planned > accepted && planned > maxConflictCount && planned * 100 > maxConflictPercent * items;
  if (!isOver) return null;
  return (
    `${planned} of ${counted(items)} would be in conflict, more than ${maxConflictCount} and more ` +
    `than ${maxConflictPercent} %, so nothing was written and no conflict was opened: if that is ` +
    `right, approve the plan and the next run opens them; if not, put one side back and run the link ` +
    `again.`
  );
}

function everythingChanged(view: SideView, config: GuardConfig): string | null {
  const { known, changed } = view.facts;
  // With a handful of items "all of them" is an ordinary edit.
  if (!config.allChanged || known <= config.maxDeleteCount || changed !== known) return null;
  return `All ${known} items of ${view.name} changed at once, so nothing was written: ${wayOut(view)}`;
}

function wayOut({ side, name }: SideView): string {
  const restore = side === 'hub' ? 'restore the contexts' : `restore ${name}`;
  return `if that is right, approve the plan; if not, ${restore} and run the link again.`;
}

function counted(items: number): string {
  return items === 1 ? '1 item' : `${items} items`;
}
