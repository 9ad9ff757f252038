/** P12 on the whole engine: `latest` between clocks that disagree, jump and stand still. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import type { ContextKey } from '../../../domain/ids.ts';
import type { Memory } from '../../../domain/item.ts';
import { CALLER, createTestEngine, type TestEngine } from '../../support/engine.ts';

const HOUR_MS = 3_600_000;

describe('a link with strategy `latest` under a jumping clock', () => {
  const remotes = new Map<string, FakeRemote>();
  const clock = { at: Date.now(), now: () => clock.at };
  let engine: TestEngine;
  let count = 0;

  beforeAll(async () => {
    remotes.set('first', createFakeRemote({ grade: 'A' }));
    engine = await createTestEngine({ types: [createFakeType(remotes)], clock });
  });
  afterAll(() => engine.close());

  it('makes both sides equal and keeps every value that was written', async () => {
    const truth = Date.now();
    const jump = fc.constantFrom(-HOUR_MS, -1, 0, 0, 1, HOUR_MS);
    const edits = fc.array(fc.record({ onHub: fc.boolean(), onRemote: fc.boolean(), jump }), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(edits, async (rounds) => {
        count += 1;
        const remote = createFakeRemote({ grade: 'A' });
        remotes.set(`r${count}`, remote);
        const prefix = `clock${count}/`;
        const link = await engine.addLink(
          'fake',
          { remote: `r${count}` },
          { strategy: 'latest', scope: { prefix } },
        );
        const key = `${prefix}style` as ContextKey;
        const written: string[] = [];
        const memory = (type: string): Memory => {
          written.push(type);
          return { name: 'Style', type, observations: [], relations: [] };
        };
        remote.put(memory('first'));
        await engine.drain(link);
        for (const [nth, round] of rounds.entries()) {
          clock.at = truth + round.jump;
          if (round.onHub) {
            const data = memory(`hub ${nth}`);
            const options = { kind: 'memory', ttl: null };
            await engine.store.contexts.store(CALLER, { key, data, options });
          }
          if (round.onRemote) remote.put(memory(`remote ${nth}`));
          await engine.drain(link);
        }
        const now = await engine.store.contexts.get(CALLER, key);
        expect(remote.get('Style')).toEqual(now!.data);
        const rows = (await engine.store.contexts.versions(CALLER, { key, limit: 100 })).items;
        const kept = await Promise.all(
          rows.map(({ version }) => engine.store.contexts.get(CALLER, key, version)),
        );
        const types = new Set(kept.map((context) => (context?.data as Memory).type));
        expect(written.filter((type) => !types.has(type))).toEqual([]);
      }),
      { numRuns: 15 },
    );
  });
});
