/** The guards' judgement of a plan: the counts they need, taken only where a guard could trip. */
import type { GuardTrip } from '../domain/link.ts';
import type { PlanPage } from '../store/contract.ts';
import type { GuardFacts, Side, SideFacts } from '../sync/contract.ts';
import { evaluateGuards } from '../sync/guard.ts';
import type { PassScope } from './pass-scope.ts';
import { countRenames } from './renames.ts';

/** What a plan comes to. */
export interface PlanTotals {
  readonly judged: number;
  readonly planned: number;
  readonly conflicts: number;
  readonly deletesHub: number;
  readonly deletesRemote: number;
}

/** What adopting and forgetting items would change in the counts of both sides. */
export interface Foreseen {
  /** Takes up the items of one page that both sides hold alike, or have both lost. */
  add(page: Pick<PlanPage, 'adopted' | 'forgotten'>): void;
  onSide(facts: SideFacts, side: Side): SideFacts;
}

/** Nothing foreseen yet. */
export function createForeseen(): Foreseen {
  const byKind = new Map<string, { known: number; present: number }>();
  const unchanged = { hub: 0, remote: 0 };
  const count = (kind: string, known: number, present: number): void => {
    const had = byKind.get(kind) ?? { known: 0, present: 0 };
    byKind.set(kind, { known: had.known + known, present: had.present + present });
  };
  return {
    add({ adopted, forgotten }) {
      for (const item of adopted) {
        if (item.baseHubHash === null) count(item.kind, 1, 1);
        else {
          unchanged.hub += Number(item.hubHash !== item.baseHubHash);
          unchanged.remote += Number(item.remoteHash !== item.baseRemoteHash);
        }
      }
      for (const item of forgotten) if (item.baseHubHash !== null) count(item.kind, -1, 0);
    },
    onSide(facts, side) {
      const kinds = new Map(facts.kinds.map((one) => [one.kind, one]));
      let [known, present] = [facts.known, facts.present];
      for (const [kind, more] of byKind) {
        const had = kinds.get(kind) ?? { kind, known: 0, present: 0, expired: 0 };
        kinds.set(kind, {
          ...had,
          known: had.known + more.known,
          present: had.present + more.present,
        });
        known += more.known;
        present += more.present;
      }
      const changed = facts.changed - unchanged[side];
      return { ...facts, known, present, changed, kinds: [...kinds.values()] };
    },
  };
}

/**
 * Judges a stored plan; null: it may be executed. A dry run has recorded nothing in place: what a run
 * would have recorded by now is `foreseen`, so that both come to the same judgement.
 */
export async function judgePlan(
  scope: PassScope,
  totals: PlanTotals,
  foreseen: Foreseen = createForeseen(),
): Promise<GuardTrip | null> {
  const { sync, ref, link } = scope;
  const { guards } = link;
  if (guards.canary === undefined && !(await couldTrip(scope, totals))) return null;
  const { items, conflictsAccepted, hub, remote } = await sync.countSides(ref);
  const facts: GuardFacts = {
    hub: foreseen.onSide(hub, 'hub'),
    remote: foreseen.onSide(remote, 'remote'),
    conflicts: { planned: totals.conflicts, accepted: conflictsAccepted },
    items,
    canary: guards.canary === undefined ? null : await sync.findCanary(ref, guards.canary),
    remoteName: link.name,
  };
  if (evaluateGuards(facts, guards).status === 'go') return null;
  const verdict = evaluateGuards(await withRenames(scope, facts), guards);
  return verdict.status === 'go' ? null : { code: verdict.code, reason: verdict.reason };
}

/** A renamed item was not deleted here, and is still there on the other side. */
async function withRenames(scope: PassScope, facts: GuardFacts): Promise<GuardFacts> {
  const paired = { ...facts };
  for (const [side, other] of [
    ['hub', 'remote'],
    ['remote', 'hub'],
  ] as const satisfies readonly (readonly [Side, Side])[]) {
    if (facts[side].plannedDeletes === 0) continue;
    const byKind = await countRenames(scope, side);
    const renames = [...byKind.values()].reduce((sum, count) => sum + count, 0);
    paired[side] = {
      ...paired[side],
      plannedDeletes: paired[side].plannedDeletes - renames,
    };
    paired[other] = {
      ...paired[other],
      present: paired[other].present + renames,
      kinds: paired[other].kinds.map((facts) => ({
        ...facts,
        present: facts.present + (byKind.get(facts.kind) ?? 0),
      })),
    };
  }
  return paired;
}

/**
 * Counting both sides costs a scan of the link's items, so only a plan that could trip a guard pays
 * for it: one beyond a budget's count, or one after which a side (or all its items of a kind) may be
 * gone or all changed.
 */
async function couldTrip({ sync, ref, link }: PassScope, totals: PlanTotals): Promise<boolean> {
  const { judged, deletesHub, deletesRemote } = totals;
  const { guards } = link;
  if (Math.max(deletesHub, deletesRemote) > guards.maxDeleteCount) return true;
  if (guards.maxOverwritePercent < 100 && totals.planned > guards.maxOverwriteCount) return true;
  if (guards.maxConflictPercent < 100 && totals.conflicts > guards.maxConflictCount) return true;
  if (deletesHub + deletesRemote === 0 && judged <= guards.maxDeleteCount) return false;
  return !(await sync.isCalm(ref));
}
