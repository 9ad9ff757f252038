/**
 * Every state a configuration can reach, breadth first, so that the first violation found has a
 * shortest trace. At every state in which no pass is under way the quiet continuation is followed:
 * passes without edits and crashes must come to rest, and what rests is judged.
 */
import { createBodies } from './bodies.ts';
import { createEngine, type Breach } from './engine-steps.ts';
import { createRestJudge, type Violation } from './promises.ts';
import type { Rules } from './rules.ts';
import { createUsers, markOf } from './users.ts';
import { createWorldKey } from './world-key.ts';
import { copyWorld, type Item, type World } from './world.ts';

export interface Explored {
  readonly states: number;
  readonly transitions: number;
  /** Whether every reachable state was seen. */
  readonly isComplete: boolean;
  /** The first of each promise, with a shortest trace. */
  readonly violations: readonly (Violation & { readonly trace: readonly string[] })[];
  /** Deletes and edits were met for which the grade promises nothing. */
  readonly hasExcused: boolean;
}

interface Move {
  readonly label: string;
  readonly world: World;
  readonly breach: Breach;
}

const MAX_STEPS = 60;
const MAX_PASSES = 10;
/** A new epoch forgets what was agreed and looks at everything anew. */
const NEW_EPOCH = {
  base: null,
  state: 'pending',
  remoteStatus: 'unknown',
  remoteHash: null,
  remoteVersion: null,
  missing: 0,
  isDirty: true,
  conflict: null,
} as const;
const VISIBLE = new Set(['idle', 'claim', 'check', 'write', 'settle']);

/**
 * @param maxStates gives up beyond, which {@link Explored.isComplete} tells
 * @param isThorough goes on after a violation, to find the other promises a variant breaks
 */
export function explore(
  rules: Rules,
  { maxStates, isThorough = false }: { maxStates: number; isThorough?: boolean },
): Explored {
  const model = createModel(rules);
  const { keyOf } = model;
  const ids = new Map([[keyOf(model.start), 0]]);
  const parents = [-1];
  const labels = [''];
  const violations: Explored['violations'][number][] = [];
  let transitions = 0;
  let hasExcused = false;
  let level = [{ id: 0, world: model.start }];

  const report = (found: Violation, from: number, last: readonly string[]): void => {
    if (violations.some(({ promise }) => promise === found.promise)) return;
    const trace: string[] = [];
    for (let at = from; at > 0; at = parents[at]!) trace.unshift(labels[at]!);
    violations.push({ ...found, trace: [...trace, ...last] });
  };
  const end = (isComplete: boolean): Explored => ({
    states: ids.size,
    transitions,
    isComplete,
    violations,
    hasExcused,
  });

  while (level.length > 0) {
    const next: typeof level = [];
    for (const { id, world } of level) {
      const found = model.judge(world);
      if (found) report(found, id, []);
      if (found && !isThorough) return end(false);
      for (const move of model.moves(world)) {
        transitions += 1;
        if (move.breach) report(move.breach, id, [move.label]);
        if (move.breach && !isThorough) return end(false);
        const key = keyOf(move.world);
        if (move.breach || ids.has(key)) continue;
        if (ids.size >= maxStates) return end(false);
        const { edits, deletes } = move.world.excusedGhost;
        hasExcused ||= edits !== 0 || deletes.length > 0;
        next.push({ id: ids.size, world: move.world });
        ids.set(key, ids.size);
        parents.push(id);
        labels.push(move.label);
      }
    }
    level = next;
  }
  return end(true);
}

interface Model {
  readonly start: World;
  keyOf(world: World): string;
  moves(world: World): Move[];
  /** Judges a state in which no pass is under way, by its quiet continuation. */
  judge(world: World): Violation | null;
}

function createModel(rules: Rules): Model {
  const bodies = createBodies(rules.profile, {
    marksOf: markOf,
    ...(rules.normalise ? { normalise: rules.normalise } : {}),
  });
  const engine = createEngine(rules, bodies);
  const users = createUsers(rules, bodies);
  const judgeRest = createRestJudge(rules, bodies, users);
  const keyOf = createWorldKey(bodies, rules.grade !== 'C');
  /** What is known of the rest that a state comes to, by its key. */
  const outcomes = new Map<string, Violation | null>();

  function userMoves(world: World): Move[] {
    return users.acts(world).map((act) => {
      const next = copyWorld(world);
      act.run(next);
      return { label: act.label, world: next, breach: null };
    });
  }

  function engineMoves(world: World, nth: number): Move[] {
    const name = world.links.length > 1 ? `link ${nth + 1}: ` : '';
    const { process, zombie } = world.links[nth]!;
    const moves = [
      stepped(world, nth, {
        who: 'process',
        label: `${name}${process.step === 'idle' ? 'a pass begins' : process.step}`,
      }),
    ];
    if (
      process.step === 'look' &&
      rules.grade !== 'A' &&
      world.remotes[world.links[nth]!.remote]!.hash !== null
    ) {
      if (world.blinksLeft > 0) {
        const blink = stepped(world, nth, {
          who: 'process',
          label: `${name}look (the item is out of sight for a moment)`,
          fault: 'blink',
        });
        blink.world.blinksLeft -= 1;
        moves.push(blink);
      }
      if (rules.cuts)
        moves.push(
          stepped(world, nth, {
            who: 'process',
            label: `${name}look (the listing is cut short)`,
            fault: 'cut',
          }),
        );
    }
    if (zombie && engine.canStep(world, nth, 'zombie')) {
      moves.push(
        stepped(world, nth, {
          who: 'zombie',
          label: `${name}the process taken for dead: ${zombie.step}`,
        }),
      );
    }
    if (world.crashesLeft > 0 && process.step !== 'idle') moves.push(crashed(world, nth, name));
    if (rules.collects && process.step === 'idle') moves.push(...collected(world, nth, name));
    return moves;
  }

  function stepped(
    world: World,
    nth: number,
    { who, label, fault }: { who: 'process' | 'zombie'; label: string; fault?: 'blink' | 'cut' },
  ): Move {
    const next = copyWorld(world);
    const before = next.links[nth]!.process;
    let breach = engine.step(next, nth, who, fault);
    if (rules.isCoarse) breach ??= toNextWrite(next, nth);
    return {
      label,
      world: next,
      breach:
        breach ??
        (before.step === 'record' && who === 'process' ? replayed(next, nth, before) : null),
    };
  }

  /** Two links at once: only what others can see is a step of its own. */
  function toNextWrite(world: World, nth: number): Breach {
    let breach: Breach = null;
    while (!breach && !VISIBLE.has(world.links[nth]!.process.step)) {
      breach = engine.step(world, nth, 'process');
    }
    return breach;
  }

  /** The same page once more must change nothing (P3). What it does not show is another scan. */
  function replayed(world: World, nth: number, process: World['links'][number]['process']): Breach {
    if (process.seen!.status === 'silent') return null;
    const again = copyWorld(world);
    again.links[nth]!.process = process;
    engine.step(again, nth, 'process');
    return keyOf(again) === keyOf(world)
      ? null
      : { promise: 'P3', what: 'a page recorded twice changed something' };
  }

  /** What garbage collection, or a new epoch after the horizon, makes of the link's row. */
  function collected(world: World, nth: number, name: string): Move[] {
    const { item, hasNews, intent } = world.links[nth]!;
    if (!item || intent) return [];
    const isOver = item.state === 'tombstoned' && !item.isDirty && !hasNews;
    if (rules.collects === 'settled' && !isOver) return [];
    const next = copyWorld(world);
    const link = next.links[nth]!;
    if (rules.collects === 'settled') link.item = null;
    else Object.assign(link.item!, NEW_EPOCH);
    if (rules.collects === 'any-time') link.cursor = null;
    return [{ label: `${name}the link's row is forgotten`, world: next, breach: null }];
  }

  function crashed(world: World, nth: number, name: string): Move {
    const next = copyWorld(world);
    const link = next.links[nth]!;
    const { process } = link;
    next.crashesLeft -= 1;
    if (rules.zombies && !link.zombie) link.zombie = { ...process, isFenced: false };
    link.process = { step: 'idle' };
    const when =
      process.step === 'settle'
        ? 'the answer is lost, or a crash, before settle'
        : `crash before ${process.step}`;
    return { label: `${name}${when}`, world: next, breach: null };
  }

  /** One pass of every link, with nobody interfering. */
  function quietPass(world: World): { world: World; breach: Breach } {
    const next = copyWorld(world);
    next.writes = 0;
    for (const nth of next.links.keys()) {
      for (let steps = 0; steps < MAX_STEPS; steps += 1) {
        const breach = engine.step(next, nth, 'process');
        if (breach) return { world: next, breach };
        if (next.links[nth]!.process.step === 'idle') break;
      }
    }
    return { world: next, breach: null };
  }

  return {
    keyOf,
    start: startOf(rules, bodies.first),
    moves: (world) => [
      ...userMoves(world),
      ...world.links.flatMap((_, nth) => engineMoves(world, nth)),
    ],
    judge(world) {
      if (world.links.some(({ process }) => process.step !== 'idle')) return null;
      const visited: string[] = [];
      let outcome: Violation | null = {
        promise: 'P9',
        what: `no rest after ${MAX_PASSES} quiet passes`,
      };
      let at = world;
      for (let passes = 0; passes < MAX_PASSES; passes += 1) {
        const key = keyOf(at);
        const known = outcomes.get(key);
        if (known !== undefined) {
          outcome = known;
          break;
        }
        visited.push(key);
        const { world: next, breach } = quietPass(at);
        if (breach) {
          outcome = breach;
          break;
        }
        if (keyOf(next) === key) {
          outcome =
            next.writes > 0
              ? { promise: 'P2', what: 'a link at rest goes on writing' }
              : judgeRest(next);
          break;
        }
        at = next;
      }
      for (const key of visited) outcomes.set(key, outcome);
      return outcome;
    },
  };
}

function startOf(rules: Rules, first: World['hub']['hash']): World {
  const hash = rules.startsSynced ? first : null;
  const version = hash === null ? 0 : 1;
  const remoteVersion = hash === null ? null : rules.grade === 'C' ? hash : '1';
  const item: Item | null = hash && {
    isNamed: true,
    state: 'synced',
    base: { hub: hash, remote: hash },
    remoteStatus: 'present',
    remoteHash: hash,
    remoteVersion,
    missing: 0,
    isDirty: false,
    conflict: null,
  };
  return {
    hub: { version, hash, tombGhost: 0 },
    historyGhost: 0,
    links: rules.links.map((remote) => ({
      remote,
      hasNews: false,
      cursor: rules.grade === 'A' ? String(version) : null,
      item: item && { ...item },
      intent: null,
      process: { step: 'idle' },
      zombie: null,
      isWrittenGhost: false,
      isMisjudgedGhost: false,
    })),
    remotes: Array.from({ length: Math.max(...rules.links) + 1 }, () => ({
      version,
      hash,
      done: [],
      tombGhost: 0,
    })),
    editsGhost: 0,
    knowsGhost: [],
    deletesGhost: [],
    doubtfulDeletesGhost: [],
    excusedGhost: { deletes: [], edits: 0 },
    editsLeft: rules.edits,
    crashesLeft: rules.crashes,
    blinksLeft: rules.blinks,
    writes: 0,
  };
}
