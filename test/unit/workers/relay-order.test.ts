import { expect, it, vi } from 'vitest';
import type { ContextKey, LinkId, TenantId } from '../../../domain/ids.ts';
import type { LinkRef, Outbox, OutboxMessage } from '../../../store/contract.ts';
import { startRelay } from '../../../workers/relay.ts';

const TENANT = 'default' as TenantId;
const LOG = { warn: () => undefined };

/** An outbox in memory; each message concerns the link it names. */
function createOutbox() {
  const waiting: OutboxMessage[] = [];
  const done: string[] = [];
  const outbox: Outbox = {
    claim: async (limit) => {
      const messages = waiting.splice(0, limit);
      const links = messages.map((message): LinkRef => ({
        tenant: TENANT,
        linkId: ('linkId' in message.payload ? message.payload.linkId : '') as LinkId,
      }));
      return { messages, links };
    },
    done: async (ids) => void done.push(...ids),
  };
  const put = (id: string, linkId: string): void =>
    void waiting.push({ id, tenant: TENANT, topic: 'link.wake', payload: { linkId } });
  return { outbox, put, done };
}

it('goes on with the next messages while the wake of one link hangs', async () => {
  const { outbox, put, done } = createOutbox();
  const woken: string[] = [];
  let release = (): void => undefined;
  const hanging = new Promise<void>((resolve) => (release = resolve));
  const relay = startRelay({
    outbox,
    log: LOG,
    wake: async ({ linkId }) => {
      woken.push(linkId);
      if (linkId === 'slow') await hanging;
    },
  });
  put('1', 'slow');
  relay.nudge();
  await vi.waitFor(() => expect(woken).toEqual(['slow']));
  put('2', 'quick');
  relay.nudge();
  await vi.waitFor(() => expect(done).toEqual(['2']), { timeout: 500 });
  release();
  await vi.waitFor(() => expect(done).toEqual(['2', '1']));
  await relay.stop();
});

it('says a message is done only after all it asks for was sent, and stops only then', async () => {
  const { outbox, put, done } = createOutbox();
  let release = (): void => undefined;
  const hanging = new Promise<void>((resolve) => (release = resolve));
  const wake = vi.fn(() => hanging);
  const relay = startRelay({ outbox, log: LOG, wake });
  put('1', 'slow');
  relay.nudge();
  await vi.waitFor(() => expect(wake).toHaveBeenCalledTimes(1));
  const stopping = relay.stop();
  expect(done).toEqual([]);
  release();
  await stopping;
  expect(done).toEqual(['1']);
});

it('leaves a message whose wake failed to its lease, and goes on', async () => {
  const { outbox, put, done } = createOutbox();
  const warn = vi.fn();
  const relay = startRelay({
    outbox,
    log: { warn },
    wake: async ({ linkId }) => {
      if (linkId === 'broken') throw new Error('Temporal is out');
    },
  });
  put('1', 'broken');
  relay.nudge();
  await vi.waitFor(() => expect(warn).toHaveBeenCalledTimes(1));
  put('2', 'fine');
  relay.nudge();
  await vi.waitFor(() => expect(done).toEqual(['2']));
  await relay.stop();
});

it('has only so many batches on their way', async () => {
  const { outbox, put } = createOutbox();
  let release = (): void => undefined;
  const hanging = new Promise<void>((resolve) => (release = resolve));
  const woken: string[] = [];
  const relay = startRelay({
    outbox,
    log: LOG,
    wake: async ({ linkId }) => {
      woken.push(linkId);
      await hanging;
    },
  });
  for (let nth = 1; nth <= 20; nth += 1) {
    put(`${nth}`, `link-${nth}` as ContextKey);
    relay.nudge();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(woken.length).toBeLessThanOrEqual(8);
  release();
  await vi.waitFor(() => expect(new Set(woken).size).toBe(20));
  await relay.stop();
});
