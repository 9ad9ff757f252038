import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CallerOfKey } from '../../api/contract.ts';
import { authOf } from '../../main/api-auth.ts';
import { Secret } from '../../main/secret.ts';
import { openStore, type StoreUnderTest } from './store/store-under-test.ts';

let under: StoreUnderTest;
beforeAll(async () => {
  under = await openStore();
});
afterAll(() => under.close());

interface Started {
  /** What was shown on the terminal. */
  readonly shown: string;
  readonly log: string;
  lookup(key: string): Promise<CallerOfKey | null>;
}

/** A start of the API with keys on. */
async function start(rootKey: string | null = null): Promise<Started> {
  let [shown, logged] = ['', ''];
  const log = pino({ level: 'trace' }, { write: (line) => (logged += line) });
  const auth = { mode: 'keys', rootKey: rootKey === null ? null : new Secret(rootKey) } as const;
  const made = await authOf(
    { store: under.store, log, config: { auth } },
    (text) => (shown += text),
  );
  if (made.mode === 'off') throw new Error('keys are off');
  return { shown, log: logged, lookup: made.lookup };
}

describe('the first start with keys on', () => {
  it('shows one key that may everything, once, and logs it never', async () => {
    const starts = await Promise.all([start(), start()]);
    const [first, other] = starts.toSorted((a, b) => b.shown.length - a.shown.length);
    expect(other!.shown).toBe('');
    const key = /sk_[\w-]{43}/.exec(first!.shown)![0];
    expect(await first!.lookup(key)).toEqual({
      tenant: 'default',
      name: 'root',
      scopes: ['read', 'write', 'sync', 'admin', 'root'],
    });
    expect(starts.map((one) => one.log).join('')).not.toContain(key);
    expect((await start()).shown).toBe('');
  });
});

describe('CONTEXT_ROOT_KEY', () => {
  it('is a way in without anything being shown; another one replaces it', async () => {
    const [old, young] = [`old-${randomUUID()}`, `young-${randomUUID()}`];
    const first = await start(old);
    expect([first.shown, first.log]).toEqual([
      '',
      expect.stringContaining('the configured root key is in place') as string,
    ]);
    expect((await first.lookup(old))?.scopes).toContain('root');
    const second = await start(young);
    expect((await second.lookup(young))?.scopes).toContain('root');
    expect(await second.lookup(old)).toBeNull();
    expect(second.log).not.toContain(young);
    // Taken out of the configuration it stays, until somebody revokes it.
    expect((await (await start()).lookup(young))?.scopes).toContain('root');
  });

  it('that was revoked opens nothing, and the log says so', async () => {
    const key = `revoked-${randomUUID()}`;
    await start(key);
    const tenant = 'default' as never;
    await under.store.keys.revoke({ tenant, actor: null }, 'root (configured)', () => undefined);
    const again = await start(key);
    expect(await again.lookup(key)).toBeNull();
    expect(again.log).toContain('names a key that was revoked');
  });
});
