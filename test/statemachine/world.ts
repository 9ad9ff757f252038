/**
 * One link between the hub and a fake remote, the people who edit both sides, and what was promised
 * to them. The world remembers every acknowledged edit; {@link World.check} holds the engine to it.
 */
import { expect } from 'vitest';
import type { FakeRemote } from '../../connectors/fake/fake-remote.ts';
import type { ContextKey } from '../../domain/ids.ts';
import { memorySchema, type Memory } from '../../domain/item.ts';
import type { Json } from '../../domain/json.ts';
import type { Conflict, Link, ResolutionChoice } from '../../domain/link.ts';
import type { RetentionPolicy } from '../../store/contract.ts';
import { CALLER, type TestEngine } from '../support/engine.ts';
import { NAMES, type Edit, type Name, type Step } from './steps.ts';

export interface WorldDeps {
  readonly engine: TestEngine;
  readonly remote: FakeRemote;
  readonly link: Link;
  readonly prefix: string;
  /** What the remote makes of a value; the identity for one that keeps what it is sent. */
  readonly normalise: (value: Memory) => Memory;
  /** Called before and after each call of a pass to its store and its remote, in order. */
  readonly onCall: {
    run: ((when: 'before' | 'after', of: 'store' | 'remote') => Promise<void>) | null;
  };
  readonly clock: { offsetMs: number };
}

export interface World {
  take(step: Step): Promise<void>;
  /** Edits stop; passes until nothing moves. @throws Error when that never happens (P1, P2) */
  settleDown(): Promise<void>;
  /** Answers the conflicts that are open. @throws AssertionError when a promise is broken */
  check(): Promise<readonly Conflict[]>;
  /** Decides every open conflict. */
  resolveAll(choice: ResolutionChoice): Promise<void>;
}

export function createWorld(deps: WorldDeps): World {
  const { engine, remote, link, prefix } = deps;
  let facts = 0;
  /** Fact → whose it is. Whoever deletes an item takes the facts they see in it off the list. */
  const written = new Map<string, Name>();
  /** Items somebody deleted when both sides agreed, and nobody has touched since. */
  const gone = new Set<Name>();
  /** Items of which a person chose one side's value: the others are in history. */
  const decided = new Set<Name>();

  const keyOf = (who: Name): ContextKey => `${prefix}${who.toLowerCase()}` as ContextKey;
  const remoteIdOf = (who: Name): string | null =>
    remote.all().find(({ value }) => value?.['name'] === who)?.remoteId ?? null;

  async function hubValue(who: Name): Promise<Memory | null> {
    const context = await engine.store.contexts.get(CALLER, keyOf(who));
    return context ? memorySchema.parse(context.data) : null;
  }

  function remoteValue(who: Name): Memory | null {
    const id = remoteIdOf(who);
    return id === null ? null : memorySchema.parse(remote.get(id));
  }

  const valueOn = (side: Edit['side'], who: Name) =>
    side === 'hub' ? hubValue(who) : Promise.resolve(remoteValue(who));

  async function put({ side, name }: Edit, value: Memory): Promise<void> {
    if (side === 'remote') remote.put(value);
    else {
      const options = { kind: 'memory', ttl: null };
      await engine.store.contexts.store(CALLER, { key: keyOf(name), data: value, options });
    }
    gone.delete(name);
  }

  /** What the remote had when the last pass began. */
  const earlier = new Map<Name, Memory | null>();

  /**
   * Whoever puts an item back sees what it is, and takes the facts of now off the list that are not of
   * then. Those of then are not put on it: where a version is a hash and our answer was lost, nobody
   * can tell that the item was ever anything else.
   */
  async function putBack(one: Edit, now: Memory | null): Promise<void> {
    const then = earlier.get(one.name) ?? null;
    if (!then) return remove(one, now);
    if (JSON.stringify(then) === JSON.stringify(now)) return;
    for (const fact of now?.observations ?? [])
      if (!then.observations.includes(fact)) written.delete(fact);
    await put(one, then);
  }

  async function edit(one: Edit): Promise<void> {
    const before = await valueOn(one.side, one.name);
    if (one.does === 'delete') return remove(one, before);
    if (one.does === 'put-back') return putBack(one, before);
    facts += 1;
    const value = before ?? { name: one.name, type: 'person', observations: [], relations: [] };
    if (one.does === 'retype') return put(one, { ...value, type: `TYPE ${facts}` });
    const fact = `${one.side} fact ${facts}`;
    await put(one, { ...value, observations: [...value.observations, fact] });
    written.set(fact, one.name);
  }

  async function remove({ side, name }: Edit, before: Memory | null): Promise<void> {
    if (!before) return;
    const sawEverything = await isAgreed(name);
    for (const fact of before.observations) written.delete(fact);
    if (side === 'remote') remote.remove(remoteIdOf(name)!);
    else await engine.store.contexts.delete(CALLER, { key: keyOf(name) });
    if (sawEverything) gone.add(name);
  }

  /** Whether what either side shows is all there is: nobody's edit is on its way. */
  async function isAgreed(who: Name): Promise<boolean> {
    const { rows } = await engine.admin.query(SELECT_AGREED, [link.id, keyOf(who)]);
    const [hub, there] = [await hubValue(who), remoteValue(who)];
    return rows.length > 0 && same(hub, there);
  }

  const same = (hub: Memory | null, there: Memory | null): boolean =>
    JSON.stringify(plain(hub && deps.normalise(hub))) ===
    JSON.stringify(plain(there && deps.normalise(there)));

  async function disturbed(step: Extract<Step, { do: 'disturbed-pass' }>): Promise<void> {
    let calls = 0;
    const others: Promise<unknown>[] = [];
    deps.onCall.run = async (when, of) => {
      if (when !== step.when || calls++ !== step.at) return;
      deps.onCall.run = null;
      if (step.by === 'crash') throw new Error('crash');
      if (step.by !== 'another pass') return edit(step.by);
      const other = engine.pass(link);
      others.push(other);
      // A remote is spoken to by one at a time: there the other pass waits for us.
      if (of === 'store') await other;
    };
    try {
      await engine.pass(link);
    } catch (thrown) {
      if (step.by !== 'crash') throw thrown;
    } finally {
      deps.onCall.run = null;
      await Promise.all(others);
    }
  }

  /** Keeps one version of each context: what a person decided against was in older ones. */
  async function collect(): Promise<void> {
    for (const who of decided) {
      const kept = (await hubValue(who))?.observations ?? [];
      for (const [fact, owner] of written) {
        if (owner === who && !kept.includes(fact)) written.delete(fact);
      }
    }
    await engine.store.retention.collect(CALLER.tenant, AT_ONCE);
  }

  async function take(step: Step): Promise<void> {
    if (step.do !== 'edit' && step.do !== 'put-all-back')
      for (const name of NAMES) earlier.set(name, remoteValue(name));
    switch (step.do) {
      case 'edit':
        return edit(step);
      case 'put-all-back':
        for (const name of NAMES) await edit({ side: 'remote', name, does: 'put-back' });
        return;
      case 'pass':
        await engine.pass(link);
        return;
      case 'audit':
        await engine.store.audits.request(CALLER, link.id);
        await engine.pass(link);
        return;
      case 'collect':
        return collect();
      case 'faulty-pass':
        for (const fault of step.faults) remote.inject(fault);
        await engine.pass(link);
        remote.clearFaults();
        return;
      case 'disturbed-pass':
        return disturbed(step);
      case 'resolve':
        return resolveAll(step.choice);
      case 'reset':
        await engine.store.links.reset(CALLER, link.id);
        // Bases are forgotten: a delete nobody has carried over yet cannot be told from a newcomer.
        gone.clear();
        return;
      case 'pause':
        await engine.store.links.pause(CALLER, link.id);
        expect(await engine.pass(link)).toMatchObject({ status: 'refused' });
        await engine.store.links.resume(CALLER, link.id);
        return;
      case 'clock':
        deps.clock.offsetMs += step.byMs;
    }
  }

  async function openConflicts(): Promise<readonly Conflict[]> {
    const query = { linkId: link.id, status: 'open' as const, limit: 10 };
    return (await engine.store.conflicts.list(CALLER, query)).items;
  }

  async function resolveAll(choice: ResolutionChoice): Promise<void> {
    for (const conflict of await openConflicts()) {
      const possible = choice === 'merged' && conflict.proposal === null ? 'hub' : choice;
      const resolution = { choice: possible, by: 'somebody' };
      const isDone = await engine.store.conflicts.resolve(CALLER, conflict.id, resolution).then(
        () => true,
        (thrown: unknown) => {
          // Something has moved since; the conflict is offered again.
          expect(thrown).toMatchObject({ code: 'CONFLICT_MOVED' });
          return false;
        },
      );
      if (!isDone) continue;
      const who = NAMES.find((name) => keyOf(name) === conflict.key)!;
      decided.add(who);
      gone.delete(who);
    }
  }

  /** Back-offs are over at once here; what the engine does between them is not the matter. */
  async function settleDown(): Promise<void> {
    for (let nth = 0, quiet = 0; nth < 20; nth += 1) {
      await engine.admin.query(END_WAITS, [link.id]);
      const writes = remote.counters.writes;
      const { status, counters, inDoubt, heldBack } = await engine.pass(link);
      if (heldBack) nth -= 1;
      const isQuiet = status === 'settled' && counters.planned === 0 && inDoubt === 0 && !heldBack;
      quiet = isQuiet && remote.counters.writes === writes ? quiet + 1 : 0;
      if (quiet === 2) return;
    }
    throw new Error('the link never came to rest');
  }

  async function check(): Promise<readonly Conflict[]> {
    const open = await openConflicts();
    const conflicts = new Map(open.map((one) => [one.key, one]));
    for (const who of NAMES) {
      const [hub, there, conflict] = [
        await hubValue(who),
        remoteValue(who),
        conflicts.get(keyOf(who)),
      ];
      if (!conflict) {
        expect(plain(hub && deps.normalise(hub)), `${who} on both sides (P1)`).toEqual(
          plain(there && deps.normalise(there)),
        );
      } else {
        expect(plain(conflict.hub as Memory | null), 'the hub in the conflict').toEqual(plain(hub));
        expect(plain(conflict.remote as Memory | null), 'the remote in it').toEqual(plain(there));
      }
      if (gone.has(who)) expect([hub, there], `${who} was deleted (P5)`).toEqual([null, null]);
      const found = [hub, there].flatMap((value) => value?.observations ?? []);
      for (const value of [hub, there]) {
        const texts = value?.observations ?? [];
        expect(new Set(texts).size, `${who} has nothing twice (P3)`).toBe(texts.length);
      }
      const history = decided.has(who) ? await historyOf(who) : '';
      for (const [fact, owner] of written) {
        if (owner !== who || found.includes(fact) || history.includes(JSON.stringify(fact)))
          continue;
        expect.fail(`"${fact}" of ${who} is lost (P4): ${JSON.stringify({ hub, there })}`);
      }
    }
    return open;
  }

  /** All bodies the context ever had, as text. */
  async function historyOf(who: Name): Promise<string> {
    const { items } = await engine.store.contexts.versions(CALLER, {
      key: keyOf(who),
      limit: 1000,
    });
    const bodies = await Promise.all(
      items.map(({ version }) => engine.store.contexts.get(CALLER, keyOf(who), version)),
    );
    return JSON.stringify(bodies.map((body): Json => body?.data ?? null));
  }

  return { take, settleDown, check, resolveAll };
}

const SELECT_AGREED = `
SELECT 1 FROM context_system.sync_items i
JOIN context_system.contexts c ON c.tenant_id = i.tenant_id AND c.key = i.key
WHERE i.link_id = $1 AND i.key = $2 AND i.state = 'synced' AND NOT i.dirty
  AND c.hash = i.base_hub_hash
  AND NOT EXISTS (
    SELECT 1 FROM context_system.sync_ops o WHERE o.link_id = i.link_id AND o.state = 'intended')`;

const END_WAITS = `
WITH items AS (
  UPDATE context_system.sync_items SET retry_at = now()
  WHERE link_id = $1 AND retry_at IS NOT NULL)
UPDATE context_system.sync_links SET rests_until = NULL WHERE id = $1 AND rests_until IS NOT NULL`;

/** Without the order of sets. */
function plain(memory: Memory | null): Memory | null {
  return memory && { ...memory, observations: [...memory.observations].sort() };
}

/** Retention that lets everything go at once that may go. */
const AT_ONCE: RetentionPolicy = {
  keepDeletedMs: 0,
  horizonMs: 1e12,
  maxVersions: 1,
  keepRunsMs: 0,
  keepRunsPerLink: 0,
  keepAuditMs: 0,
  blobGraceMs: 0,
};
