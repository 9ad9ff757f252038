/** P19: the laws of the merge, over arbitrary documents with and without typed arrays. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, type Json } from '../../../domain/json.ts';
import { STRATEGIES, type Strategy } from '../../../domain/link.ts';
import type { Stamps } from '../../../sync/contract.ts';
import { compileSchema } from '../../../sync/merge/field-types.ts';
import {
  mergeDocuments,
  type MergeConflict,
  type MergedDocument,
} from '../../../sync/merge/merge-documents.ts';
import { createSameness } from '../../../sync/merge/sameness.ts';
import { deepFreeze, document, TYPED_SCHEMA } from './typed-documents.ts';

const NO_STAMPS: Stamps = { hubMs: null, remoteMs: null };
const SWAPPED: Partial<Record<Strategy, Strategy>> = {
  'prefer-hub': 'prefer-remote',
  'prefer-remote': 'prefer-hub',
};
const DECISIVE: readonly Strategy[] = [
  'latest',
  'union',
  'intersection',
  'prefer-hub',
  'prefer-remote',
];

const strategy = fc.constantFrom(...STRATEGIES);
const stamps = fc.record({
  hubMs: fc.constantFrom(null, 1, 2),
  remoteMs: fc.constantFrom(null, 1, 2),
});
const base = fc.option(document, { nil: undefined });
/** A strategy for the whole, and others for some places below. */
const rules = fc
  .record({ whole: strategy, tags: strategy, list: strategy, deep: strategy })
  .map(({ whole, ...parts }): ((pointer: string) => Strategy) => {
    const byMember = new Map<string, Strategy>(Object.entries(parts));
    return (pointer) => byMember.get(pointer.split('/')[1] ?? '') ?? whole;
  });

interface Sides {
  readonly base: Json | undefined;
  readonly hub: Json;
  readonly remote: Json;
}

function merge(
  sides: Sides,
  strategyAt: (pointer: string) => Strategy = () => 'three-way',
  at: Stamps = NO_STAMPS,
): MergedDocument {
  return mergeDocuments({ ...sides, schema: TYPED_SCHEMA, strategyAt, stamps: at });
}

function isSame(a: Json | undefined, b: Json | undefined): boolean {
  return createSameness().same(a, b, compileSchema(TYPED_SCHEMA));
}

describe('merge laws', () => {
  it('gives x when both sides made the same edit, whatever the strategy and the base', () => {
    fc.assert(
      fc.property(base, document, rules, (b, x, at) => {
        const merged = merge({ base: b, hub: x, remote: structuredClone(x) }, at);
        expect(merged.conflicts).toEqual([]);
        expect(canonicalJson(merged.value)).toBe(canonicalJson(x));
      }),
    );
  });

  it('gives the edit of the only side that changed, whatever the strategy', () => {
    fc.assert(
      fc.property(document, document, strategy, (b, x, chosen) => {
        const fromHub = merge({ base: b, hub: x, remote: b }, () => chosen);
        const fromRemote = merge({ base: b, hub: b, remote: x }, () => chosen);
        for (const merged of [fromHub, fromRemote]) {
          expect(merged.conflicts).toEqual([]);
          expect(isSame(merged.value, x)).toBe(true);
        }
      }),
    );
  });

  it('gives the same document and mirrored conflicts when the sides are swapped', () => {
    fc.assert(
      fc.property(base, document, document, rules, stamps, (b, hub, remote, at, when) => {
        const one = merge({ base: b, hub, remote }, at, when);
        const other = merge(
          { base: b, hub: remote, remote: hub },
          (pointer) => SWAPPED[at(pointer)] ?? at(pointer),
          // A tie goes to a hash, so it does not matter that the tie is mirrored too.
          { hubMs: when.remoteMs, remoteMs: when.hubMs },
        );
        expect(canonicalJson(other.value)).toBe(canonicalJson(one.value));
        expect(other.conflicts.map(mirrored)).toEqual(one.conflicts);
      }),
      { numRuns: 1000 },
    );
  });

  it('is total, does not touch its input, and invents no value', () => {
    fc.assert(
      fc.property(base, document, document, rules, stamps, (b, hub, remote, at, when) => {
        const sides = deepFreeze({ base: b, hub, remote });
        const merged = merge(sides, at, when);
        const known = new Set([b, hub, remote].flatMap((side) => atomsOf(side)));
        expect(atomsOf(merged.value).filter((atom) => !known.has(atom))).toEqual([]);
      }),
      { numRuns: 1000 },
    );
  });

  it('leaves no conflict under a strategy that decides', () => {
    fc.assert(
      fc.property(
        base,
        document,
        document,
        fc.constantFrom(...DECISIVE),
        stamps,
        (b, hub, remote, chosen, when) => {
          const merged = merge({ base: b, hub, remote }, () => chosen, when);
          expect(merged.conflicts).toEqual([]);
        },
      ),
    );
  });

  it('leaves a conflict under manual whenever both changed differently', () => {
    fc.assert(
      fc.property(base, document, document, (b, hub, remote) => {
        const areBothChanged = !isSame(b, hub) && !isSame(b, remote) && !isSame(hub, remote);
        const merged = merge({ base: b, hub, remote }, () => 'manual');
        expect(merged.conflicts.length > 0).toBe(areBothChanged);
      }),
    );
  });

  it('proposes under manual what three-way would propose', () => {
    fc.assert(
      fc.property(base, document, document, (b, hub, remote) => {
        const manual = merge({ base: b, hub, remote }, () => 'manual');
        const threeWay = merge({ base: b, hub, remote });
        expect(isSame(manual.value, threeWay.value)).toBe(true);
      }),
    );
  });

  it('is settled by its own result: merging again changes nothing', () => {
    fc.assert(
      fc.property(base, document, document, rules, (b, hub, remote, at) => {
        const { value } = merge({ base: b, hub, remote }, at);
        const again = merge({ base: b, hub: value, remote: value }, at);
        expect(again).toEqual({ value, conflicts: [] });
      }),
    );
  });

  it('lists a place at most once and in document order', () => {
    fc.assert(
      fc.property(document, document, document, (b, hub, remote) => {
        const { conflicts } = merge({ base: b, hub, remote });
        const tops = conflicts.map(({ pointer }) => pointer.split('/')[1] ?? '');
        expect(tops).toEqual([...tops].sort());
      }),
    );
  });
});

function mirrored({ hub, remote, ...rest }: MergeConflict): MergeConflict {
  return {
    ...rest,
    ...(remote === undefined ? {} : { hub: remote }),
    ...(hub === undefined ? {} : { remote: hub }),
  };
}

/** Scalars and lines of a document with the member names on their way: what a merge may be made of. */
function atomsOf(value: Json | undefined): string[] {
  if (value === undefined) return [];
  if (typeof value === 'string') return value.split('\n').map((line) => `line ${line}`);
  if (typeof value !== 'object' || value === null) return [`scalar ${String(value)}`];
  const inside = Array.isArray(value)
    ? value.flatMap((element) => atomsOf(element))
    : Object.entries(value).flatMap(([name, member]) => [`name ${name}`, ...atomsOf(member)]);
  return [Array.isArray(value) ? 'list' : 'object', ...inside];
}
