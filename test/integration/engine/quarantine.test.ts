/** A poison item never blocks its link, and goes on by itself once its cause is gone. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AnyConnectorType } from '../../../connectors/contract.ts';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import { AppError } from '../../../domain/errors.ts';
import type { ContextKey, LinkId } from '../../../domain/ids.ts';
import type { Json } from '../../../domain/json.ts';
import { DEFAULT_GUARDS, type Link } from '../../../domain/link.ts';
import { CALLER, createTestEngine, TENANT, type TestEngine } from '../../support/engine.ts';
import { memory } from './pairs.ts';

const HEALTHY = 500;

describe.each(['A', 'C'] as const)('500 items and a poisoned one, grade %s', (grade) => {
  const remotes = new Map<string, FakeRemote>();
  /** Names of items no remote takes. */
  const refused = new Set<string>();
  let engine: TestEngine;
  let count = 0;

  beforeAll(async () => {
    remotes.set('first', createFakeRemote({ grade }));
    engine = await createTestEngine({ types: [refusing(createFakeType(remotes), refused)] });
  });
  afterAll(() => engine.close());

  async function crowd(): Promise<{
    remote: FakeRemote;
    link: Link;
    at: (t: string) => ContextKey;
  }> {
    count += 1;
    const remote = createFakeRemote({ grade });
    remotes.set(`r${count}`, remote);
    const prefix = `p${count}/`;
    // Every healthy item is edited at once, again and again: no accident here.
    const guards = { ...DEFAULT_GUARDS, allChanged: false };
    const link = await engine.addLink(
      'fake',
      { remote: `r${count}` },
      { scope: { prefix }, guards },
    );
    const at = (tail: string): ContextKey => `${prefix}${tail}` as ContextKey;
    await write(at, 'first');
    return { remote, link, at };
  }

  /** The healthy items, as of one edit. */
  async function write(at: (tail: string) => ContextKey, edit: string): Promise<void> {
    const names = Array.from({ length: HEALTHY }, (_, nth) => `N${nth}`);
    const operations = names.map((name) => ({
      op: 'store' as const,
      key: at(name),
      data: memory(name, [edit]),
      options: { kind: 'memory', ttl: null },
    }));
    await engine.store.contexts.batch(CALLER, { atomic: true, operations });
  }

  const put = (key: ContextKey, data: unknown) =>
    engine.store.contexts.store(CALLER, {
      key,
      data: data as Json,
      options: { kind: 'memory', ttl: null },
    });

  const setAside = (link: Link) => engine.store.links.quarantined(CALLER, link.id);

  const settledOn = (remote: FakeRemote, edit: string): number =>
    remote.all().filter(({ value }) => JSON.stringify(value).includes(`"${edit}"`)).length;

  it('a remote that always refuses one item gets all others in the same pass, every pass', async () => {
    const { remote, link, at } = await crowd();
    refused.add('Poison');
    await put(at('poison'), memory('Poison'));
    const first = await engine.drain(link);
    expect(first).toMatchObject({ status: 'settled', counters: { applied: 500, quarantined: 1 } });
    expect(settledOn(remote, 'first')).toBe(HEALTHY);
    const items = await setAside(link);
    expect(items).toMatchObject([{ key: at('poison'), code: 'ITEM_INVALID', attempts: 1 }]);
    expect(await secondsUntilRetry(engine, link.id)).toBeGreaterThan(20);
    expect(await secondsUntilRetry(engine, link.id)).toBeLessThan(31);

    for (const [edit, attempts] of [
      ['second', 2],
      ['third', 3],
    ] as const) {
      await endBackOff(engine, link.id);
      await write(at, edit);
      const pass = await engine.pass(link);
      expect(pass).toMatchObject({ status: 'settled', counters: { quarantined: 1 } });
      expect(settledOn(remote, edit)).toBe(HEALTHY);
      expect(await setAside(link)).toMatchObject([{ key: at('poison'), attempts }]);
    }
    // 30 s, 60 s, 120 s, each up to a fifth less.
    expect(await secondsUntilRetry(engine, link.id)).toBeGreaterThan(90);

    refused.delete('Poison');
    const quiet = await engine.pass(link);
    expect(quiet.counters).toMatchObject({ applied: 0, quarantined: 0 });
    await endBackOff(engine, link.id);
    await engine.drain(link);
    expect(await setAside(link)).toEqual([]);
    expect(remote.get('Poison')).toEqual(memory('Poison'));
  });

  it('a body of the wrong shape and a name that is taken hold up nobody, and mending them is enough', async () => {
    const { remote, link, at } = await crowd();
    await put(at('shapeless'), { no: 'memory' });
    await put(at('twin'), memory('N7', ['the same name']));
    await engine.drain(link);
    expect(settledOn(remote, 'first')).toBe(HEALTHY);
    expect(await setAside(link)).toMatchObject([
      { key: at('shapeless'), code: 'ITEM_INVALID', attempts: 1 },
      { key: at('twin'), code: 'ITEM_NAME_TAKEN', attempts: 1 },
    ]);
    await write(at, 'second');
    await engine.drain(link);
    expect(settledOn(remote, 'second')).toBe(HEALTHY);
    expect(remote.get('N7')).toEqual(memory('N7', ['second']));

    await put(at('shapeless'), memory('Shapely'));
    await put(at('twin'), memory('Twin'));
    await engine.drain(link);
    expect(await setAside(link)).toEqual([]);
    expect(remote.get('Shapely')).toEqual(memory('Shapely'));
    expect(remote.get('Twin')).toEqual(memory('Twin'));
  });

  it('a name that was taken is free once its holder is gone', async () => {
    const { remote, link, at } = await crowd();
    await put(at('twin'), memory('N7', ['the same name']));
    await engine.drain(link);
    await engine.store.contexts.delete(CALLER, { key: at('N7') });
    await engine.drain(link);
    expect(remote.get('N7')).toBeNull();
    await endBackOff(engine, link.id);
    await engine.drain(link);
    expect(await setAside(link)).toEqual([]);
    expect(remote.get('N7')).toEqual(memory('N7', ['the same name']));
  });

  it('an item the remote cannot show rests until it can, while the others go on', async () => {
    const { remote, link, at } = await crowd();
    await engine.drain(link);
    remote.spoil('N7', 'ITEM_INVALID');
    await engine.drain(link);
    expect(await setAside(link)).toMatchObject([{ key: at('N7'), attempts: 0, retryAt: null }]);
    await put(at('N8'), memory('N8', ['edited']));
    await engine.drain(link);
    expect(remote.get('N8')).toEqual(memory('N8', ['edited']));
    remote.put(memory('N7', ['mended']));
    await engine.drain(link);
    expect(await setAside(link)).toEqual([]);
    expect((await engine.store.contexts.get(CALLER, at('N7')))?.data).toEqual(
      memory('N7', ['mended']),
    );
  });

  it('an operator can try one now, and make one ordinary again', async () => {
    const { remote, link, at } = await crowd();
    const { links } = engine.store;
    refused.add('Poison').add('Venom');
    await put(at('poison'), memory('Poison'));
    await put(at('venom'), memory('Venom'));
    await engine.drain(link);

    const only = await links.retryQuarantined(CALLER, link.id, [at('poison'), at('N1')]);
    expect(only).toEqual({ count: 1, skipped: [at('N1')] });
    await engine.drain(link);
    expect(await setAside(link)).toMatchObject([
      { key: at('poison'), attempts: 2 },
      { key: at('venom'), attempts: 1 },
    ]);

    expect(await links.releaseQuarantined(CALLER, link.id, [at('poison')])).toMatchObject({
      count: 1,
    });
    expect(await setAside(link)).toMatchObject([{ key: at('venom') }]);
    await engine.drain(link);
    expect(await setAside(link)).toMatchObject([{ key: at('poison'), attempts: 1 }, {}]);

    refused.clear();
    expect(await links.retryQuarantined(CALLER, link.id, null)).toEqual({ count: 2, skipped: [] });
    await engine.drain(link);
    expect(await setAside(link)).toEqual([]);
    expect(remote.get('Venom')).toEqual(memory('Venom'));
  });

  it('trying what the remote could not show reads the remote whole', async () => {
    const { remote, link, at } = await crowd();
    await engine.drain(link);
    remote.spoil('N7', 'ITEM_INVALID');
    await engine.drain(link);
    expect(await engine.store.links.retryQuarantined(CALLER, link.id, null)).toMatchObject({
      count: 1,
    });
    const pass = await engine.drain(link);
    expect(pass.counters).toMatchObject({ observed: HEALTHY, deletedHub: 0, deletedRemote: 0 });
    expect(await setAside(link)).toMatchObject([{ key: at('N7') }]);
  });
});

/** The type with a remote that takes everything but items of these names. */
function refusing(type: AnyConnectorType, names: ReadonlySet<string>): AnyConnectorType {
  return {
    ...type,
    async open(config, context) {
      const inner = await type.open(config, context);
      const isRefused = (id: string): boolean => names.has(id);
      return {
        ...inner,
        async apply(ops, signal) {
          const rest = ops.filter((op) => !isRefused(op.remoteId));
          const done = rest.length > 0 ? await inner.apply(rest, signal) : [];
          const failed = ops
            .filter((op) => isRefused(op.remoteId))
            .map((op) => ({
              status: 'failed' as const,
              opId: op.opId,
              ...fault(new AppError('ITEM_INVALID', 'not to my taste')),
            }));
          return [...done, ...failed];
        },
      };
    },
  };
}

function fault({ code, message, retryable }: AppError) {
  return { code, detail: message, isRetryable: retryable };
}

async function endBackOff(engine: TestEngine, id: LinkId): Promise<void> {
  await engine.database.withTenant(TENANT, (tx) =>
    tx.query(`UPDATE sync_items SET retry_at = now() WHERE link_id = $1 AND retry_at IS NOT NULL`, [
      id,
    ]),
  );
}

async function secondsUntilRetry(engine: TestEngine, id: LinkId): Promise<number> {
  const [row] = await engine.database.withTenant(TENANT, (tx) =>
    tx.query<{ seconds: number }>(
      `SELECT extract(epoch FROM retry_at - now())::float8 AS seconds FROM sync_items
       WHERE link_id = $1 AND state = 'quarantined'`,
      [id],
    ),
  );
  return row!.seconds;
}
