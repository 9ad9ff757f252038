/**
 * The whole engine as a state machine (P1–P9, P11–P13): random lives of a link with edits, faults,
 * crashes and decisions at any moment, on real Postgres, against fakes of every grade. At rest the
 * promises are checked, then every conflict is decided and they are checked again.
 * `SYNCLINE_RUNS` lives per variant (286 unless told: 2,002 in all); `npm run test:soak` does many more. A life
 * that failed once stays in `seeds.json`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFakeRemote, type FakeRemote } from '../../connectors/fake/fake-remote.ts';
import type { FakeIds, FakeVersions } from '../../connectors/fake/fake-store.ts';
import { createFakeType } from '../../connectors/fake/fake-type.ts';
import type { Grade } from '../../connectors/contract.ts';
import { memorySchema, type Memory } from '../../domain/item.ts';
import { DEFAULT_GUARDS } from '../../domain/link.ts';
import { CALLER, createTestEngine, type TestEngine } from '../support/engine.ts';
import { life, type Step } from './steps.ts';
import { createWorld, type WorldDeps } from './world.ts';

interface Variant {
  readonly name: string;
  readonly grade: Grade;
  readonly ids?: FakeIds;
  readonly versions?: FakeVersions;
  readonly isNormalising?: true;
}

const VARIANTS: readonly Variant[] = [
  { name: 'grade A', grade: 'A' },
  { name: 'grade B', grade: 'B', versions: 'hashed' },
  { name: 'grade C', grade: 'C' },
  { name: 'grade A with ids of its own', grade: 'A', ids: 'assigned' },
  { name: 'grade B with ids that change', grade: 'B', ids: 'flaky' },
  { name: 'grade A that respells', grade: 'A', isNormalising: true },
  { name: 'grade C that respells', grade: 'C', isNormalising: true },
];

interface Seed {
  readonly variant: string;
  readonly steps: readonly Step[];
}
const SEED_FILE = new URL('./seeds.json', import.meta.url);
const SEEDS = JSON.parse(readFileSync(SEED_FILE, 'utf8')) as readonly Seed[];

/** What failed once is tried first from now on; commit the file. */
function keep(seed: Seed): void {
  const isKnown = SEEDS.some((one) => JSON.stringify(one) === JSON.stringify(seed));
  if (!isKnown) writeFileSync(SEED_FILE, `${JSON.stringify([...SEEDS, seed], null, 2)}\n`);
}

const RUNS = Number(process.env['SYNCLINE_RUNS'] ?? 286);
/** The same lives every time, so that a check which failed can be looked into; soak takes others. */
const SEED = Number(process.env['SYNCLINE_SEED'] ?? 20_261_121);
/** Nothing parks here: what the guards do has tests of its own. */
const NO_GUARDS = { ...DEFAULT_GUARDS, maxDeleteCount: 1000, emptySide: false, allChanged: false };

/** A remote that shouts types and turns observations round; twice the same as once. */
function respelled(value: Memory): Memory {
  return { ...value, type: value.type.toUpperCase(), observations: value.observations.toSorted() };
}
const asIs = (value: Memory): Memory => value;

describe.each(VARIANTS)(
  'a link to a remote of $name',
  ({ name, grade, ids, versions, isNormalising }) => {
    const normalise = isNormalising ? respelled : asIs;
    const newRemote = (): FakeRemote =>
      createFakeRemote({
        grade,
        ...(ids && { ids }),
        ...(versions && { versions }),
        normalise: (value) => ({ ...normalise(memorySchema.parse(value)) }),
      });
    const remotes = new Map<string, FakeRemote>([['none', newRemote()]]);
    const onCall: WorldDeps['onCall'] = { run: null };
    const clock = { offsetMs: 0 };
    let engine: TestEngine;
    let worlds = 0;

    beforeAll(async () => {
      engine = await createTestEngine({
        types: [createFakeType(remotes)],
        clock: { now: () => Date.now() + clock.offsetMs },
        onStoreCall: async (when) => onCall.run?.(when, 'store'),
      });
    });
    afterAll(() => engine.close());

    async function live(steps: readonly Step[]): Promise<void> {
      worlds += 1;
      const id = `w${worlds}`;
      const remote = newRemote();
      remote.hooks.beforeCall = () => onCall.run?.('before', 'remote');
      remote.hooks.afterCall = () => onCall.run?.('after', 'remote');
      remotes.set(id, remote);
      clock.offsetMs = 0;
      const scope = { prefix: `${id}/` };
      const link = await engine.addLink('fake', { remote: id }, { scope, guards: NO_GUARDS });
      const world = createWorld({
        engine,
        remote,
        link,
        prefix: scope.prefix,
        normalise,
        onCall,
        clock,
      });
      for (const step of steps) await world.take(step);
      await world.settleDown();
      let open = await world.check();
      for (let nth = 0; nth < 3 && open.length > 0; nth += 1) {
        await world.resolveAll(nth % 2 === 0 ? 'remote' : 'merged');
        await world.settleDown();
        open = await world.check();
      }
      expect(open).toEqual([]);
      remotes.delete(id);
      // A link that looks no more would hold back what other worlds may collect.
      await engine.store.links.remove(CALLER, link.id);
    }

    it(`keeps its promises over ${RUNS} lives`, async () => {
      const examples = SEEDS.filter(({ variant }) => variant === name).map(
        ({ steps }): [Step[]] => [[...steps]],
      );
      const options = { numRuns: RUNS + examples.length, examples, seed: SEED };
      const result = await fc.check(fc.asyncProperty(life, live), options);
      if (!result.failed) return;
      if (result.counterexample) keep({ variant: name, steps: result.counterexample[0] });
      throw new Error(await fc.asyncDefaultReportMessage(result), { cause: result.errorInstance });
    }, 3_600_000);
  },
);
