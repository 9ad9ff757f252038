import { describe, expect, it } from 'vitest';
import { shapeFault } from '../../../domain/item.ts';

describe('the shape of an item', () => {
  it('is fine, or its fault is told with its place and in our own words', () => {
    const memory = { name: 'Ann', type: 'person', observations: ['x'], relations: [] };
    expect(shapeFault('memory', memory)).toBeNull();
    expect(shapeFault('memory', { ...memory, name: undefined })).toBe('/name is required');
    expect(shapeFault('memory', { ...memory, observations: [1] })).toMatch(
      /^\/observations\/0 must be/,
    );
    expect(shapeFault('memory', 'Ann')).toMatch(/^it must be/);
    expect(shapeFault('note', 'anything')).toBeNull();
  });
});
