import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import { AppError } from '../../../domain/errors.ts';
import type { ContextKey, LinkId } from '../../../domain/ids.ts';
import type { Memory } from '../../../domain/item.ts';
import { CALLER, createTestEngine, type TestEngine } from '../../support/engine.ts';

const memory = (name: string, observations: string[], type = 'thing'): Memory => ({
  name,
  type,
  observations,
  relations: [],
});

const remotes = new Map<string, FakeRemote>();
let engine: TestEngine;
let count = 0;

beforeAll(async () => {
  remotes.set('first', createFakeRemote({ grade: 'A' }));
  engine = await createTestEngine({ types: [createFakeType(remotes)] });
});
afterAll(() => engine.close());

async function pair(more?: Parameters<TestEngine['addLink']>[2]) {
  count += 1;
  const remote = createFakeRemote({ grade: 'A' });
  remotes.set(`r${count}`, remote);
  const prefix = `w${count}/`;
  const link = await engine.addLink(
    'fake',
    { remote: `r${count}` },
    { scope: { prefix }, ...more },
  );
  const at = (tail: string): ContextKey => `${prefix}${tail}` as ContextKey;
  return {
    remote,
    link,
    at,
    put: async (tail: string, data: unknown, kind = 'memory') => {
      const write = { key: at(tail), data: data as Memory, options: { kind, ttl: null } };
      return (await engine.store.contexts.store(CALLER, write)).envelope.version;
    },
    outcome: (tail: string, version: number) =>
      engine.store.waits.outcomeOf(CALLER, { linkId: link.id, key: at(tail), version }),
    sync: () => engine.drain(link),
  };
}

describe('what became of a write', () => {
  it('is pending before a pass, accepted after it', async () => {
    const { put, outcome, sync } = await pair();
    const version = await put('alice', memory('Alice', ['one']));
    expect(await outcome('alice', version)).toEqual({ outcome: 'pending', detail: null });
    await sync();
    expect(await outcome('alice', version)).toEqual({ outcome: 'accepted', version });
    const next = await put('alice', memory('Alice', ['two']));
    expect(await outcome('alice', next)).toMatchObject({ outcome: 'pending' });
    expect(await outcome('alice', version)).toEqual({ outcome: 'accepted', version });
    await sync();
    expect(await outcome('alice', next)).toEqual({ outcome: 'accepted', version: next });
    expect(await outcome('alice', version)).toEqual({ outcome: 'accepted', version: next });
  });

  it('is accepted with a later version when the hub went on before the pass', async () => {
    const { put, outcome, sync } = await pair();
    const first = await put('alice', memory('Alice', ['one']));
    const second = await put('alice', memory('Alice', ['one', 'two']));
    await sync();
    expect(await outcome('alice', first)).toEqual({ outcome: 'accepted', version: second });
  });

  it('is accepted when the write says what both sides hold already', async () => {
    const { remote, put, outcome, sync } = await pair();
    remote.put(memory('Alice', ['one']));
    await sync();
    const again = await put('alice', memory('Alice', ['one']));
    await sync();
    expect(await outcome('alice', again)).toEqual({ outcome: 'accepted', version: again });
  });

  it('is accepted for a delete that reached the remote', async () => {
    const { remote, at, put, outcome, sync } = await pair();
    await put('alice', memory('Alice', ['one']));
    await put('bob', memory('Bob', ['one']));
    await sync();
    const { version } = await engine.store.contexts.delete(CALLER, { key: at('alice') });
    expect(await outcome('alice', version)).toMatchObject({ outcome: 'pending' });
    await sync();
    expect(remote.get('Alice')).toBeNull();
    expect(await outcome('alice', version)).toEqual({ outcome: 'accepted', version });
  });

  it('is merged when the remote had edited too', async () => {
    const { remote, put, outcome, sync } = await pair();
    remote.put(memory('Alice', ['one']));
    await sync();
    remote.put(memory('Alice', ['one', 'remote']));
    const version = await put('alice', memory('Alice', ['one', 'hub']));
    await sync();
    const merged = await outcome('alice', version);
    expect(merged.outcome).toBe('merged');
    const now = await engine.store.contexts.get(CALLER, `w${count}/alice` as ContextKey);
    expect(merged).toEqual({ outcome: 'merged', version: now!.version });
    expect(now!.data).toMatchObject({ observations: ['hub', 'one', 'remote'] });
  });

  it('is a conflict while it rests with it, merged once that is decided', async () => {
    const { remote, link, put, outcome, sync } = await pair();
    remote.put(memory('Alice', ['one']));
    await sync();
    remote.put(memory('Alice', ['one'], 'remote type'));
    const version = await put('alice', memory('Alice', ['one'], 'hub type'));
    await sync();
    const [conflict] = (
      await engine.store.conflicts.list(CALLER, { linkId: link.id, status: 'open', limit: 1 })
    ).items;
    expect(await outcome('alice', version)).toEqual({
      outcome: 'conflict',
      version,
      conflictId: conflict!.id,
    });
    expect(await outcome('alice', version - 1)).toMatchObject({ outcome: 'accepted' });
    await engine.store.conflicts.resolve(CALLER, conflict!.id, { choice: 'hub', by: 'ann' });
    expect(await outcome('alice', version)).toMatchObject({ outcome: 'pending' });
    await sync();
    expect(await outcome('alice', version)).toMatchObject({ outcome: 'merged' });
  });

  it('is rejected with the reason when the item is quarantined', async () => {
    const { put, outcome, sync } = await pair();
    const version = await put('bad', { no: 'name' });
    await sync();
    expect(await outcome('bad', version)).toMatchObject({
      outcome: 'rejected',
      code: 'ITEM_INVALID',
    });
    const mended = await put('bad', memory('bad', ['now good']));
    expect(await outcome('bad', mended)).toMatchObject({ outcome: 'pending' });
    await sync();
    expect(await outcome('bad', mended)).toMatchObject({ outcome: 'accepted' });
  });

  it('is rejected where the link does not carry it', async () => {
    const pull = await pair({ direction: 'pull' });
    const version = await pull.put('alice', memory('Alice', ['one']));
    await pull.sync();
    expect(await pull.outcome('alice', version)).toMatchObject({
      outcome: 'rejected',
      code: 'ITEM_EXCLUDED',
    });
    const { link } = await pair();
    const outside = engine.store.waits.outcomeOf(CALLER, {
      linkId: link.id,
      key: pull.at('alice'),
      version,
    });
    expect(await outside).toMatchObject({ outcome: 'rejected', code: 'ITEM_EXCLUDED' });
  });

  it('stays pending, and says why, while the link is paused', async () => {
    const { link, put, outcome } = await pair();
    await engine.store.links.pause(CALLER, link.id);
    const version = await put('alice', memory('Alice', ['one']));
    expect(await outcome('alice', version)).toEqual({
      outcome: 'pending',
      detail: 'the link is paused',
    });
  });

  it('cannot be told of what does not exist', async () => {
    const { at, link, put } = await pair();
    await put('alice', memory('Alice', ['one']));
    const ask = async (write: { linkId?: string; key?: ContextKey; version?: number }) => {
      const whole = { linkId: link.id, key: at('alice'), version: 1, ...write } as {
        linkId: LinkId;
        key: ContextKey;
        version: number;
      };
      const thrown = await engine.store.waits.outcomeOf(CALLER, whole).catch((e: unknown) => e);
      return thrown instanceof AppError ? thrown.code : thrown;
    };
    expect(await ask({ key: at('nobody') })).toBe('CONTEXT_NOT_FOUND');
    expect(await ask({ version: 2 })).toBe('VERSION_NOT_FOUND');
    expect(await ask({ linkId: '00000000-0000-4000-8000-000000000000' })).toBe('LINK_NOT_FOUND');
  });
});
