/** The bound on the age of reads from a replica, over random lives of a primary and its replica. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createReplica } from '../../store/replica.ts';

type Step =
  | { readonly is: 'commit' }
  | { readonly is: 'replay'; readonly share: number }
  | { readonly is: 'pass'; readonly ms: number }
  | { readonly is: 'replica goes' | 'replica comes' }
  | { readonly is: 'read' };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Step>({ is: 'commit' }) },
  {
    weight: 3,
    arbitrary: fc.record({
      is: fc.constant('replay' as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      is: fc.constant('pass' as const),
      ms: fc.integer({ min: 1, max: 3_000 }),
    }),
  },
  { weight: 6, arbitrary: fc.constant<Step>({ is: 'read' }) },
  fc.constantFrom<Step>({ is: 'replica goes' }, { is: 'replica comes' }),
);

/** A pool that answers one number, after the others had their turn. */
function pool(position: () => number) {
  const query = async () => {
    await Promise.resolve();
    return { rows: [{ at: position() }] };
  };
  return { query } as unknown as Parameters<typeof createReplica>[0]['primary'];
}

it('a replica that may be read has everything that was committed before the bound', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 120 }),
      fc.integer({ min: 100, max: 10_000 }),
      async (steps, maxLagMs) => {
        const world = { now: 1_000, replayed: 0, isUp: true };
        const commits: { readonly at: number; readonly position: number }[] = [];
        const head = (): number => commits.at(-1)?.position ?? 0;
        const replica = createReplica({
          primary: pool(head),
          replica: pool(() => {
            if (!world.isUp) throw new Error('down');
            return world.replayed;
          }),
          maxLagMs,
          now: () => world.now,
        });
        for (const each of steps) {
          if (each.is === 'commit') commits.push({ at: world.now, position: head() + 8 });
          else if (each.is === 'replay')
            world.replayed += Math.floor((head() - world.replayed) * each.share);
          else if (each.is === 'pass') world.now += each.ms;
          else if (each.is === 'replica goes') world.isUp = false;
          else if (each.is === 'replica comes') world.isUp = true;
          else if (await replica.isFresh()) {
            const unseen = commits.find(({ position }) => position > world.replayed);
            if (unseen) expect(world.now - unseen.at).toBeLessThanOrEqual(maxLagMs);
          }
        }
      },
    ),
    { numRuns: 500 },
  );
});

it('a replica that keeps up is used, and one that went away is used again when it is back', async () => {
  const world = { now: 0, position: 0, isUp: true };
  const told: string[] = [];
  const position = (): number => world.position;
  const replica = createReplica({
    primary: pool(position),
    replica: pool(() => {
      if (!world.isUp) throw new Error('down');
      return world.position;
    }),
    maxLagMs: 5_000,
    now: () => world.now,
    onRead: (outcome) => told.push(outcome),
  });
  for (let second = 0; second < 20; second += 1) {
    world.isUp = second < 5 || second > 8;
    world.now += 1_000;
    world.position += 100;
    await replica.isFresh();
  }
  expect(told.slice(0, 5)).toEqual(Array.from({ length: 5 }, () => 'replica'));
  expect(told).toContain('down');
  expect(told.slice(-5)).toEqual(Array.from({ length: 5 }, () => 'replica'));
});
