/** What users do: each may create, edit or delete at any moment, on the side that is theirs. */
import type { Hash } from '../../domain/hash.ts';
import type { Bodies } from './bodies.ts';
import type { Rules } from './rules.ts';
import type { World } from './world.ts';

export interface UserAct {
  readonly label: string;
  /** Does it in place. */
  run(world: World): void;
}

export interface Users {
  acts(world: World): readonly UserAct[];
  /** What the author of whatever a side holds had seen. */
  seenBy(world: World, side: { hash: Hash | null; tombGhost: number }): number;
}

/** The bit of a user's nth edit. User 0 is the hub's. Edits that write the same share a bit. */
function bitOf(user: number, nth: number, isShared: boolean): number {
  return 1 << (isShared && nth === 0 ? 0 : user * 2 + nth);
}

/** The mark of an edit: H1, H2 in the hub, R1, R2 on the first remote, S1, S2 on the second. */
export function markOf(bit: number): string {
  const at = Math.log2(bit);
  const nth = at % 2;
  return `${'HRSTU'[(at - nth) / 2] ?? 'Z'}${nth + 1}`;
}

export function createUsers(rules: Rules, bodies: Bodies): Users {
  function seenBy(world: World, side: { hash: Hash | null; tombGhost: number }): number {
    if (side.hash === null) return side.tombGhost;
    const marks = bodies.marks(side.hash);
    let all = marks & world.editsGhost;
    for (let bit = 0; 1 << bit <= marks; bit += 1) {
      if (marks & (1 << bit)) all |= world.knowsGhost[bit] ?? 0;
    }
    return all;
  }

  function edit(world: World, user: number): void {
    const bit = bitOf(user, rules.edits[user]! - world.editsLeft[user]!, rules.profile === 'same');
    const side = user === 0 ? world.hub : world.remotes[user - 1]!;
    const nth = Math.log2(bit);
    world.knowsGhost[nth] = (world.knowsGhost[nth] ?? 0) | seenBy(world, side) | bit;
    side.hash = bodies.edited(side.hash, bit);
    side.version += 1;
    world.editsGhost |= bit;
    if (user === 0) world.historyGhost |= bodies.marks(side.hash);
  }

  function remove(world: World, user: number): void {
    const side = user === 0 ? world.hub : world.remotes[user - 1]!;
    const seen = seenBy(world, side);
    world.deletesGhost = [...world.deletesGhost, seen].sort((a, b) => a - b);
    const onThere = world.links.filter((link) => user > 0 && link.remote === user - 1);
    if (onThere.some((link) => link.isWrittenGhost)) {
      world.doubtfulDeletesGhost = [...world.doubtfulDeletesGhost, seen];
    }
    if (onThere.some((link) => link.isMisjudgedGhost)) {
      const { deletes, edits } = world.excusedGhost;
      world.excusedGhost = {
        edits,
        deletes: [...new Set([...deletes, seen])].sort((a, b) => a - b),
      };
    }
    side.hash = null;
    side.tombGhost = seen;
    side.version += 1;
  }

  const spend = (world: World, user: number): void => {
    world.editsLeft = world.editsLeft.map((left, at) => (at === user ? left - 1 : left));
    if (user === 0) for (const link of world.links) link.hasNews = true;
  };

  return {
    seenBy,
    acts(world) {
      return world.editsLeft.flatMap((left, user): UserAct[] => {
        if (left === 0) return [];
        const side = user === 0 ? world.hub : world.remotes[user - 1]!;
        const where = user === 0 ? 'in the hub' : `on the remote${user > 1 ? ` ${user}` : ''}`;
        const act = (verb: string, doIt: typeof edit): UserAct => ({
          label: `a user ${verb} ${where}`,
          run(next) {
            doIt(next, user);
            spend(next, user);
          },
        });
        const writes = act(side.hash === null ? 'creates' : 'edits', edit);
        return side.hash === null ? [writes] : [writes, act('deletes', remove)];
      });
    },
  };
}
