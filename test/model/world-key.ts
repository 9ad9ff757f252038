/**
 * The text that says which worlds are the same. Versions and op ids count only by their order and
 * equality, so they are numbered anew in every key: histories of different length that lead to the
 * same situation meet.
 */
import type { Hash } from '../../domain/hash.ts';
import type { OpAnswer } from '../../domain/op.ts';
import type { Bodies } from './bodies.ts';
import type { LinkWorld, Op, Process, World } from './world.ts';

type Versions = (version: string | number | null | undefined) => string;

/** @param isCounted whether remote versions are counters (grades A and B) or content hashes (C) */
export function createWorldKey(bodies: Bodies, isCounted: boolean): (world: World) => string {
  const body = (hash: Hash | null): number => bodies.numberOf(hash);

  function answerKey(answer: OpAnswer | undefined, version: Versions): string {
    if (!answer || answer.status === 'failed') return '';
    const state = answer.status === 'applied' ? answer.remote : answer.seen;
    if (!state) return answer.status;
    return `${answer.status}${version(state.version)}.${body(state.hash)}`;
  }

  function opKey(
    op: Op | null | undefined,
    hub: Versions,
    remote: Versions,
    ids: Versions,
  ): string {
    if (!op) return '';
    const { action, side, hubHash, remoteHash, hubAfter, remoteAfter, baseRemoteHash } = op;
    return `${ids(op.id)}${action}${side}${hub(op.hubVersion)}.${remote(op.remoteVersion)}.${body(hubHash)}.${body(remoteHash)}.${body(hubAfter)}.${body(remoteAfter)}.${body(baseRemoteHash)}.${op.tombGhost}`;
  }

  function processKey(
    process: Process | null,
    hub: Versions,
    remote: Versions,
    ids: Versions,
  ): string {
    if (!process) return '';
    const { step, seen, facts, op, answer } = process;
    const sight = seen
      ? `${seen.status}${remote(seen.version)}.${body(seen.hash)}.${remote(seen.cursor)}${seen.isComplete ? '' : '!'}`
      : '';
    const known = facts ? `${hub(facts.hubVersion)}.${body(facts.hubHash)}` : '';
    const mine = `${process.isRecovery ? 'r' : ''}${process.isDirty ? 'd' : ''}`;
    return `${step}/${sight}/${known}/${opKey(op, hub, remote, ids)}/${answerKey(answer, remote)}${mine}`;
  }

  function linkKey(link: LinkWorld, world: World, hub: Versions): string {
    const remoteWorld = world.remotes[link.remote]!;
    const remote = isCounted ? rank(remoteVersions(world, link.remote)) : hashVersions(body);
    const { item, intent, process, zombie } = link;
    const names = new Map<string, number>();
    const ids: Versions = (id) =>
      String(names.get(String(id)) ?? (names.set(String(id), names.size), names.size - 1));
    const row = item
      ? `${item.isNamed ? 1 : 0}${item.state}${item.base ? `${body(item.base.hub)}.${body(item.base.remote)}` : ''}|${item.remoteStatus}${body(item.remoteHash)}.${remote(item.remoteVersion)}.${item.missing}${item.isDirty ? 'd' : ''}${item.conflict ? `c${body(item.conflict.hub)}.${body(item.conflict.remote)}` : ''}`
      : '';
    const ops = `${opKey(intent, hub, remote, ids)}|${processKey(process, hub, remote, ids)}|${processKey(zombie, hub, remote, ids)}${zombie?.isFenced ? 'f' : ''}`;
    const memory = remoteWorld.done
      .filter((one) => names.has(String(one.id)))
      .map((one) => `${ids(one.id)}${answerKey(one.answer, remote)}`)
      .join(',');
    return `${link.hasNews ? 1 : 0}${isCounted ? remote(link.cursor) : ''}|${row}|${ops}|${memory}|${isCounted ? remote(remoteWorld.version) : ''}${link.isWrittenGhost ? 'w' : ''}${link.isMisjudgedGhost ? 'm' : ''}`;
  }

  return (world) => {
    const hub = rank(hubVersions(world));
    const links = world.links.map((link) => linkKey(link, world, hub)).join('#');
    const remotes = world.remotes.map((r) => `${body(r.hash)}.${r.tombGhost}`).join(',');
    const { excusedGhost: excused } = world;
    return `${hub(world.hub.version)}.${body(world.hub.hash)}.${world.hub.tombGhost}.${world.historyGhost};${remotes};${links};${world.editsGhost}.${world.knowsGhost.join(',')};${world.deletesGhost.join(',')};${world.doubtfulDeletesGhost.join(',')};${excused.deletes.join(',')}.${excused.edits};${world.editsLeft.join('')}${world.crashesLeft}${world.blinksLeft}`;
  };
}

function hubVersions(world: World): Set<number> {
  const versions = new Set([world.hub.version]);
  for (const { process, zombie, intent } of world.links) {
    for (const version of [
      process.facts?.hubVersion,
      process.op?.hubVersion,
      zombie?.facts?.hubVersion,
      zombie?.op?.hubVersion,
      intent?.hubVersion,
    ]) {
      if (version !== undefined) versions.add(version);
    }
  }
  return versions;
}

function remoteVersions(world: World, nth: number): Set<number> {
  const versions = new Set([world.remotes[nth]!.version]);
  const add = (version: string | null | undefined): void => {
    if (version !== null && version !== undefined) versions.add(Number(version));
  };
  const addAnswer = (answer: OpAnswer | undefined): void => {
    if (answer?.status === 'applied') add(answer.remote?.version);
    if (answer?.status === 'stale') add(answer.seen?.version);
  };
  for (const { remote, item, process, zombie, intent, cursor } of world.links) {
    if (remote !== nth) continue;
    add(cursor);
    add(item?.remoteVersion);
    add(intent?.remoteVersion);
    for (const who of [process, zombie]) {
      add(who?.seen?.version);
      add(who?.seen?.cursor);
      add(who?.op?.remoteVersion);
      addAnswer(who?.answer);
    }
  }
  for (const { answer } of world.remotes[nth]!.done) addAnswer(answer);
  return versions;
}

function rank(versions: ReadonlySet<number>): Versions {
  const places = new Map([...versions].sort((a, b) => a - b).map((version, at) => [version, at]));
  return (version) =>
    version === null || version === undefined ? '-' : String(places.get(Number(version)));
}

function hashVersions(body: (hash: Hash | null) => number): Versions {
  return (version) =>
    version === null || version === undefined ? '-' : String(body(version as Hash));
}
