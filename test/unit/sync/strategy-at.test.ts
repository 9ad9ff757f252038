import { describe, expect, it } from 'vitest';
import type { StrategyRule } from '../../../domain/link.ts';
import { strategyAt } from '../../../sync/strategy-at.ts';

const at = (strategies: readonly StrategyRule[], pointer: string): string =>
  strategyAt({ strategy: 'three-way', strategies }, 'memory')(pointer);

describe('the strategy at a place', () => {
  it('is the default of the link without a rule', () => {
    expect(at([], '/observations')).toBe('three-way');
  });

  it('is that of a rule at the pointer and below, not beside it', () => {
    const rules = [{ pointer: '/relations', strategy: 'union' as const }];
    expect(at(rules, '/relations')).toBe('union');
    expect(at(rules, '/relations/[to=a,type=b]/note')).toBe('union');
    expect(at(rules, '/relationships')).toBe('three-way');
    expect(at(rules, '')).toBe('three-way');
  });

  it('is that of the longest pointer, of equally long ones the later', () => {
    const rules: StrategyRule[] = [
      { pointer: '/a/b', strategy: 'latest' },
      { strategy: 'manual' },
      { pointer: '/a', strategy: 'union' },
      { pointer: '/a', strategy: 'intersection' },
    ];
    expect(at(rules, '/a/b/c')).toBe('latest');
    expect(at(rules, '/a/c')).toBe('intersection');
    expect(at(rules, '/x')).toBe('manual');
  });

  it('leaves out rules for another kind', () => {
    expect(at([{ kind: 'document', strategy: 'manual' }], '')).toBe('three-way');
    expect(at([{ kind: 'memory', strategy: 'manual' }], '')).toBe('manual');
  });
});
