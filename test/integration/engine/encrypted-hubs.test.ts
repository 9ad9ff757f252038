/** Two hubs that both encrypt: what either keeps encrypted stays there, and the rest is in step. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContextKey } from '../../../domain/ids.ts';
import type { Json } from '../../../domain/json.ts';
import type { Link } from '../../../domain/link.ts';
import { encryptionWith, newMasterKey } from '../../support/encryption.ts';
import { CALLER } from '../../support/engine.ts';
import { startHubNode, type HubNode } from '../../support/hub-node.ts';

let here: HubNode;
/** Encrypts everything it is not told to leave in clear. */
let there: HubNode;
let link: Link;
beforeAll(async () => {
  here = await startHubNode({ encryption: encryptionWith(newMasterKey()) });
  there = await startHubNode({ encryption: encryptionWith(newMasterKey(), { isDefault: true }) });
  link = await here.linkTo(there.url, { scope: { prefix: 'h/' } });
});
afterAll(() => Promise.all([here.close(), there.close()]));

async function put(node: HubNode, key: string, data: Json, encrypt: boolean): Promise<void> {
  const options = { ttl: null, encrypt };
  await node.engine.store.contexts.store(CALLER, { key: key as ContextKey, data, options });
}

async function sync(): Promise<void> {
  for (let nth = 0; nth < 3; nth += 1) {
    await Promise.all([here.shown(), there.shown()]);
    const { status, error } = await here.engine.drain(link);
    expect({ status, error }).toEqual({ status: 'settled', error: null });
  }
}

const setAside = async (): Promise<object[]> => [
  ...(await here.engine.store.links.quarantined(CALLER, link.id)),
];
const isEncrypted = async (node: HubNode, key: string): Promise<boolean | undefined> =>
  (await node.engine.store.contexts.get(CALLER, key as ContextKey))?.encrypted;

describe('between two hubs that encrypt', () => {
  it('what is encrypted here never gets there', async () => {
    await put(here, 'h/mine', 'secret', true);
    await sync();
    expect(await there.get('h/mine')).toBeUndefined();
    expect(await setAside()).toMatchObject([{ key: 'h/mine', code: 'ITEM_ENCRYPTED' }]);
    await here.remove('h/mine');
    await sync();
    expect(await setAside()).toEqual([]);
  });

  it('what is encrypted there never gets here, and is not overwritten', async () => {
    await put(there, 'h/theirs', 'secret', true);
    await sync();
    expect(await here.get('h/theirs')).toBeUndefined();
    await put(here, 'h/theirs', 'something of ours', false);
    await sync();
    expect(await there.get('h/theirs')).toBe('secret');
    expect(await here.get('h/theirs')).toBe('something of ours');
    expect(await isEncrypted(there, 'h/theirs')).toBe(true);
  });

  it('what is in clear here is in clear there, though that hub encrypts what it is not told to', async () => {
    await put(here, 'h/open', { a: 1 }, false);
    await sync();
    expect(await there.get('h/open')).toEqual({ a: 1 });
    expect(await isEncrypted(there, 'h/open')).toBe(false);
    await put(here, 'h/open', { a: 2 }, false);
    await sync();
    expect(await there.get('h/open')).toEqual({ a: 2 });
  });

  it('what gets encrypted there rests, and goes on when it is decrypted', async () => {
    await put(here, 'h/rests', { a: 1 }, false);
    await sync();
    await put(there, 'h/rests', { a: 1, secret: 1 }, true);
    await sync();
    expect(await here.get('h/rests')).toEqual({ a: 1 });
    await put(here, 'h/rests', { a: 1, here: 1 }, false);
    await sync();
    expect(await there.get('h/rests')).toEqual({ a: 1, secret: 1 });
    await put(there, 'h/rests', { a: 1, there: 1 }, false);
    await sync();
    const merged = { a: 1, here: 1, there: 1 };
    expect([await here.get('h/rests'), await there.get('h/rests')]).toEqual([merged, merged]);
  });
});
