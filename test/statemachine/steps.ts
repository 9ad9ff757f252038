/** What may happen to one link, in any order: people's edits, passes, faults, crashes, decisions. */
import fc from 'fast-check';
import type { FakeFault } from '../../connectors/fake/fake-faults.ts';
import type { ResolutionChoice } from '../../domain/link.ts';

export const NAMES = ['Alice', 'Bob', 'Carol'] as const;
export type Name = (typeof NAMES)[number];
export type Side = 'hub' | 'remote';

/**
 * A person's edit of one item on one side. `retype` changes the one scalar there is; `put-back` makes
 * it what it was on the remote when the last pass began (an editor's undo, a `git checkout`).
 */
export interface Edit {
  readonly side: Side;
  readonly name: Name;
  readonly does: 'add' | 'retype' | 'delete' | 'put-back';
}

export type Step =
  | ({ readonly do: 'edit' } & Edit)
  /** `audit`: a pass that reads both sides anew. `collect`: whatever retention may delete goes. */
  | { readonly do: 'pass' | 'audit' | 'collect' }
  /** Every item of the remote is put back at once. */
  | { readonly do: 'put-all-back' }
  | { readonly do: 'faulty-pass'; readonly faults: readonly FakeFault[] }
  /** Something happens at the nth call of the pass to its store or its remote. */
  | ({ readonly do: 'disturbed-pass'; readonly at: number; readonly when: 'before' | 'after' } & {
      readonly by: Edit | 'crash' | 'another pass';
    })
  | { readonly do: 'resolve'; readonly choice: ResolutionChoice }
  | { readonly do: 'reset' }
  | { readonly do: 'pause' }
  | { readonly do: 'clock'; readonly byMs: number };

const HOUR = 3_600_000;
const anyEdit: fc.Arbitrary<Edit> = fc.record({
  side: fc.constantFrom<Side>('hub', 'remote'),
  name: fc.constantFrom(...NAMES),
  does: fc.oneof(
    { weight: 6, arbitrary: fc.constant('add' as const) },
    { weight: 2, arbitrary: fc.constant('retype' as const) },
    { weight: 3, arbitrary: fc.constant('delete' as const) },
    { weight: 2, arbitrary: fc.constant('put-back' as const) },
  ),
});
const edit = anyEdit.map((one): Edit =>
  one.does === 'put-back' ? { ...one, side: 'remote' } : one,
);

const skip = fc.constantFrom(0, 0, 1);
const fault: fc.Arbitrary<FakeFault> = fc.oneof(
  fc.record({ kind: fc.constant('lost-answer' as const), on: fc.constant('apply' as const), skip }),
  fc.record({
    kind: fc.constant('lost-answer' as const),
    on: fc.constant('apply' as const),
    afterOps: fc.constantFrom(0, 1),
  }),
  fc.record({
    kind: fc.constant('unreachable' as const),
    on: fc.constantFrom('observe', 'apply', 'read'),
    skip,
  }),
  fc.record({
    kind: fc.constant('rate-limited' as const),
    on: fc.constantFrom('observe', 'apply', 'read'),
    retryAfterMs: fc.constant(1),
  }),
  fc.record({
    kind: fc.constantFrom('truncated', 'doubled', 'reordered'),
    on: fc.constant('observe' as const),
    skip,
  }),
  fc.record({
    kind: fc.constant('refuse-op' as const),
    on: fc.constant('apply' as const),
    index: fc.constantFrom(0, 1),
  }),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: edit.map((one) => ({ do: 'edit' as const, ...one })) },
  { weight: 4, arbitrary: fc.constant({ do: 'pass' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'put-all-back' as const }) },
  { weight: 2, arbitrary: fc.constantFrom({ do: 'audit' as const }, { do: 'collect' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('faulty-pass' as const),
      faults: fc.array(fault, { minLength: 1, maxLength: 2 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('disturbed-pass' as const),
      at: fc.integer({ min: 0, max: 14 }),
      when: fc.constantFrom('before', 'after'),
      by: fc.oneof(
        { weight: 3, arbitrary: edit },
        { weight: 3, arbitrary: fc.constant('crash' as const) },
        { weight: 1, arbitrary: fc.constant('another pass' as const) },
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('resolve' as const),
      choice: fc.constantFrom<ResolutionChoice>('hub', 'remote', 'merged'),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom({ do: 'reset' as const }, { do: 'pause' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('clock' as const),
      byMs: fc.constantFrom(-HOUR, -1, HOUR),
    }),
  },
);

/** A link's life, up to the moment people stop editing. */
export const life: fc.Arbitrary<Step[]> = fc.array(step, { minLength: 3, maxLength: 16 });
