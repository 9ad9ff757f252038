/** Links do not carry encrypted bodies: such an item rests on both sides as it is, and nothing else does. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import type { ContextKey } from '../../../domain/ids.ts';
import type { Memory } from '../../../domain/item.ts';
import type { Link } from '../../../domain/link.ts';
import type { NewLink } from '../../../store/contract.ts';
import { encryptionWith, newMasterKey } from '../../support/encryption.ts';
import { CALLER, createTestEngine, type TestEngine } from '../../support/engine.ts';
import { memory, names } from './pairs.ts';

const ENCRYPTED = { code: 'ITEM_ENCRYPTED' };

describe.each(['A', 'B', 'C'] as const)('an encrypted context under a link, grade %s', (grade) => {
  const remotes = new Map([['first', createFakeRemote({ grade })]]);
  let engine: TestEngine;
  let count = 0;
  beforeAll(async () => {
    engine = await createTestEngine({
      types: [createFakeType(remotes)],
      encryption: encryptionWith(newMasterKey()),
    });
  });
  afterAll(() => engine.close());

  interface Sides {
    readonly remote: FakeRemote;
    readonly link: Link;
    put(name: string, data: Memory, encrypt?: boolean): Promise<void>;
    hub(name: string): Promise<unknown>;
    setAside(): Promise<object[]>;
  }

  const at = (prefix: string, name: string) => `${prefix}${name.toLowerCase()}` as ContextKey;

  async function sides(strategy: NewLink['strategy'] = 'three-way'): Promise<Sides> {
    count += 1;
    const remote = createFakeRemote({ grade });
    remotes.set(`r${count}`, remote);
    const prefix = `e${count}/`;
    const { contexts, links } = engine.store;
    const link = await engine.addLink(
      'fake',
      { remote: `r${count}` },
      { scope: { prefix }, strategy },
    );
    return {
      remote,
      link,
      async put(name, data, encrypt) {
        const options = { kind: 'memory', ttl: null, encrypt };
        await contexts.store(CALLER, { key: at(prefix, name), data, options });
      },
      hub: async (name) => (await contexts.get(CALLER, at(prefix, name)))?.data ?? null,
      setAside: async () => [...(await links.quarantined(CALLER, link.id))],
    };
  }

  it('is set aside with the reason and never reaches the remote, while the others flow', async () => {
    const { remote, link, put, hub, setAside } = await sides();
    await put('Ada', memory('Ada', ['secret']), true);
    await put('Bob', memory('Bob', ['plain']));
    const first = await engine.drain(link);
    expect(first).toMatchObject({ status: 'settled', counters: { applied: 1 } });
    expect(remote.all().map((item) => item.remoteId)).toEqual(['Bob']);
    expect(await setAside()).toMatchObject([ENCRYPTED]);

    await put('Ada', memory('Ada', ['secret', 'more']));
    await engine.drain(link);
    expect(remote.get('Ada')).toBeNull();
    expect(await hub('Ada')).toEqual(memory('Ada', ['secret', 'more']));
    expect(await setAside()).toMatchObject([ENCRYPTED]);
  });

  it('flows by itself once it is decrypted', async () => {
    const { remote, link, put, setAside } = await sides();
    await put('Ada', memory('Ada', ['secret']), true);
    await engine.drain(link);
    await put('Ada', memory('Ada', ['told']), false);
    await engine.drain(link);
    expect(remote.get('Ada')).toEqual(memory('Ada', ['told']));
    expect(await setAside()).toEqual([]);
  });

  it('that was in step before leaves the copy on the remote as it was, whatever either side does', async () => {
    const { remote, link, put, hub, setAside } = await sides();
    await put('Ada', memory('Ada', ['before']));
    await engine.drain(link);
    await put('Ada', memory('Ada', ['before', 'secret']), true);
    await engine.drain(link);
    expect(remote.get('Ada')).toEqual(memory('Ada', ['before']));
    expect(await setAside()).toMatchObject([ENCRYPTED]);

    remote.put(memory('Ada', ['before', 'theirs']));
    const pass = await engine.drain(link);
    expect(pass).toMatchObject({ status: 'settled', counters: { applied: 0 } });
    expect(remote.get('Ada')).toEqual(memory('Ada', ['before', 'theirs']));
    expect(await hub('Ada')).toEqual(memory('Ada', ['before', 'secret']));
    expect(await setAside()).toMatchObject([ENCRYPTED]);

    // Decrypted, both sides' edits meet as if it had never been away.
    await put('Ada', memory('Ada', ['before', 'ours']), false);
    await engine.drain(link);
    const merged = memory('Ada', ['before', 'ours', 'theirs']);
    expect([await hub('Ada'), remote.get('Ada')]).toEqual([merged, merged]);
  });

  it('stays when the remote deletes its old copy, and is not written there anew', async () => {
    const { remote, link, put, hub, setAside } = await sides();
    await put('Ada', memory('Ada', ['before']));
    await put('Bob', memory('Bob'));
    await engine.drain(link);
    await put('Ada', memory('Ada', ['secret']), true);
    remote.remove('Ada');
    await engine.drain(link);
    expect(await hub('Ada')).toEqual(memory('Ada', ['secret']));
    expect(remote.get('Ada')).toBeNull();
    expect(await setAside()).toMatchObject([ENCRYPTED]);
  });

  it('is not touched by an item of its name that the remote has, nor touches it', async () => {
    const { remote, link, put, hub, setAside } = await sides();
    await put('Ada', memory('Ada', ['secret']), true);
    remote.put(memory('Ada', ['theirs']));
    await engine.drain(link);
    expect(await hub('Ada')).toEqual(memory('Ada', ['secret']));
    expect(remote.get('Ada')).toEqual(memory('Ada', ['theirs']));
    expect(await setAside()).toMatchObject([ENCRYPTED]);
  });

  it('takes the copy on the remote with it when it is deleted: that was meant', async () => {
    const { remote, link, put } = await sides();
    await put('Ada', memory('Ada', ['before']));
    await put('Bob', memory('Bob'));
    await engine.drain(link);
    await put('Ada', memory('Ada', ['secret']), true);
    await engine.drain(link);
    await engine.store.contexts.delete(CALLER, { key: at(link.scope.prefix, 'Ada') });
    await engine.drain(link);
    expect(remote.all().map((item) => item.remoteId)).toEqual(['Bob']);
  });

  it('closes a conflict that was open: what it showed of the hub is not there any more', async () => {
    const { remote, link, put } = await sides();
    const typed = (type: string): Memory => ({ ...memory('Ada'), type });
    await put('Ada', typed('person'));
    await engine.drain(link);
    await put('Ada', typed('ours'));
    remote.put(typed('theirs'));
    await engine.drain(link);
    const { conflicts } = engine.store;
    const open = () => conflicts.list(CALLER, { linkId: link.id, status: 'open', limit: 10 });
    const [conflict] = (await open()).items;
    expect(conflict).toMatchObject({ hub: typed('ours'), remote: typed('theirs') });

    await put('Ada', typed('secret'), true);
    const decided = conflicts.resolve(CALLER, conflict!.id, { choice: 'remote', by: 'me' });
    await expect(decided).rejects.toMatchObject({ code: 'CONFLICT_MOVED' });
    await decided.catch((error: unknown) => expect(JSON.stringify(error)).not.toContain('secret'));
    await engine.drain(link);
    expect((await open()).items).toEqual([]);
    expect(remote.get('Ada')).toEqual(typed('theirs'));
  });

  it.each(['beforeCall', 'afterCall'] as const)(
    'stays sealed and current when it is encrypted %s of a write that supersedes the remote',
    async (moment) => {
      const { remote, link, put, hub } = await sides('prefer-hub');
      const typed = (type: string): Memory => ({ ...memory('Ada'), type });
      await put('Ada', typed('agreed'));
      await engine.drain(link);
      await put('Ada', typed('ours'));
      remote.put(typed('theirs'));
      remote.hooks[moment] = async ({ method }) => {
        if (method !== 'apply') return;
        remote.hooks[moment] = undefined;
        await put('Ada', typed('secret'), true);
      };
      await engine.drain(link);
      expect(remote.hooks[moment]).toBeUndefined();
      expect(await hub('Ada')).toEqual(typed('secret'));
      const key = at(link.scope.prefix, 'Ada');
      const context = await engine.store.contexts.get(CALLER, key);
      expect(context).toMatchObject({ encrypted: true, data: typed('secret') });
      // What the link had begun was in clear on both sides before; the secret never left.
      expect(remote.get('Ada')).toEqual(typed('ours'));
      const { items } = await engine.store.contexts.versions(CALLER, { key, limit: 100 });
      const values = await Promise.all(
        items.map(({ version }) => engine.store.contexts.get(CALLER, key, version)),
      );
      const found = values.map((value) => (value?.data as unknown as Memory).type);
      expect(new Set(found)).toEqual(new Set(['secret', 'theirs', 'ours', 'agreed']));
      for (const value of values) {
        expect(value?.encrypted).toBe((value?.data as unknown as Memory).type === 'secret');
      }
      await engine.drain(link);
      expect(remote.get('Ada')).toEqual(typed('ours'));
    },
  );

  it('may be every one of many at once: no guard takes it for a loss', async () => {
    const { remote, link, put, setAside } = await sides();
    const many = names(15);
    for (const name of many) await put(name, memory(name));
    await engine.drain(link);
    for (const name of many) await put(name, memory(name, ['secret']), true);
    const pass = await engine.drain(link);
    expect(pass).toMatchObject({ status: 'settled', guard: null, counters: { quarantined: 15 } });
    expect(await setAside()).toHaveLength(15);
    for (const name of many) expect(remote.get(name)).toEqual(memory(name));
  });

  it('is what a dry run says it would set aside', async () => {
    const { link, put } = await sides();
    await put('Ada', memory('Ada', ['before']));
    await engine.drain(link);
    await put('Ada', memory('Ada', ['secret']), true);
    const { id } = await engine.store.runs.requestPlan(CALLER, link.id, 'dry run');
    await engine.pass(link);
    const { decisions } = await engine.store.runs.plan(CALLER, id);
    expect(decisions).toMatchObject([
      { decision: 'quarantine', reason: expect.stringMatching(/^ITEM_ENCRYPTED: /) as string },
    ]);
    expect(JSON.stringify(decisions)).not.toContain('secret');
  });
});
