/** What must hold when a link has come to rest: judged from the ghosts, never from the engine's word. */
import type { Bodies } from './bodies.ts';
import type { Rules } from './rules.ts';
import type { Users } from './users.ts';
import type { World } from './world.ts';

export interface Violation {
  readonly promise: string;
  readonly what: string;
}

export type JudgeRest = (world: World) => Violation | null;

export function createRestJudge(rules: Rules, bodies: Bodies, users: Users): JudgeRest {
  const spelled = (hash: World['hub']['hash']): string =>
    hash === null ? '' : bodies.respelled(hash);

  return (world) => {
    const isEqual = world.remotes.every(
      (remote) => spelled(remote.hash) === spelled(world.hub.hash),
    );
    const isInConflict = world.links.some(
      ({ item }) => item?.state === 'conflict' && item.conflict,
    );
    if (!isEqual && !isInConflict) {
      return { promise: 'P1', what: 'the sides differ for good, without a conflict' };
    }
    if (isEqual && isInConflict) return { promise: 'P8', what: 'equal content rests in conflict' };
    const doubled = world.links.some(({ item }) => item?.conflict && item.state !== 'conflict');
    if (doubled)
      return { promise: 'P1', what: 'a conflict stays open on an item that is not in conflict' };
    return lostUpdate(world) ?? resurrection(world);
  };

  function excusedOf({ excusedGhost }: World): World['excusedGhost'] {
    return rules.excuses ? excusedGhost : { deletes: [], edits: 0 };
  }

  function lostUpdate(world: World): Violation | null {
    const { editsGhost: edits, deletesGhost: deletes } = world;
    let kept = users.seenBy(world, world.hub) * (world.hub.hash === null ? 0 : 1);
    for (const remote of world.remotes)
      if (remote.hash !== null) kept |= users.seenBy(world, remote);
    for (const seen of deletes) kept |= seen;
    // Three-way, an edit may not even be moved to history without anybody's word.
    if (rules.strategy !== 'three-way') kept |= seenInHistory(world);
    if ((edits & ~kept & ~excusedOf(world).edits) === 0) return null;
    return { promise: 'P4', what: 'an edit is neither in the final value nor in a conflict' };
  }

  function seenInHistory(world: World): number {
    let all = world.historyGhost;
    world.knowsGhost.forEach((seen, bit) => {
      if (world.historyGhost & (1 << bit)) all |= seen;
    });
    return all;
  }

  function resurrection(world: World): Violation | null {
    const { editsGhost: edits } = world;
    const excused = excusedOf(world);
    // Which of two equal edits a delete had seen cannot be told from the body.
    if (rules.profile === 'same') return null;
    // In a ring the edit may be known to one link and news to the next: the edit wins (see README).
    if (new Set(rules.links).size < rules.links.length) return null;
    const isBack = world.hub.hash !== null || world.remotes.some((remote) => remote.hash !== null);
    const final = world.deletesGhost.some(
      (seen) => (edits & ~seen) === 0 && !excused.deletes.includes(seen),
    );
    return isBack && final
      ? { promise: 'P5', what: 'a delete that had seen everything was undone' }
      : null;
  }
}
