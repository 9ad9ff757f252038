import { describe, expect, it } from 'vitest';
import { FALLBACK_STRATEGIES } from '../../../domain/link.ts';
import { decideConflict, type Contested } from '../../../sync/decide-conflict.ts';

const memory = (type: string, observations: string[]) => ({
  name: 'Alice',
  type,
  observations,
  relations: [],
});
const base = memory('thing', ['old']);
const contested: Contested = {
  kind: 'memory',
  base: { hub: base, remote: base },
  hub: memory('hub type', ['old', 'hub']),
  remote: memory('remote type', ['old', 'remote']),
  stamps: { hubMs: 1, remoteMs: 2 },
};

describe('a fallback strategy', () => {
  it.each([
    ['prefer-hub', 'hub type', ['hub', 'old', 'remote']],
    ['prefer-remote', 'remote type', ['hub', 'old', 'remote']],
    ['latest', 'remote type', ['hub', 'old', 'remote']],
    ['union', 'remote type', ['hub', 'old', 'remote']],
    ['intersection', 'remote type', ['old']],
  ] as const)('%s decides the contested places and keeps clean changes', (strategy, type, seen) => {
    expect(decideConflict(contested, strategy)).toEqual({
      status: 'decided',
      value: memory(type, [...seen]),
    });
  });

  it.each([
    ['prefer-hub', contested.hub],
    ['prefer-remote', undefined],
    ['latest', contested.hub],
    ['union', contested.hub],
    ['intersection', undefined],
  ] as const)('%s decides an edit against a delete', (strategy, value) => {
    const deleted = { ...contested, remote: undefined };
    expect(decideConflict(deleted, strategy)).toEqual({ status: 'decided', value });
  });

  it.each([
    ['prefer-hub', undefined],
    ['prefer-remote', contested.remote],
    ['latest', contested.remote],
    ['union', contested.remote],
    ['intersection', undefined],
  ] as const)('%s decides a delete against an edit', (strategy, value) => {
    const deleted = { ...contested, hub: undefined };
    expect(decideConflict(deleted, strategy)).toEqual({ status: 'decided', value });
  });

  it.each([
    ['prefer-hub', null],
    ['latest', null],
    ['union', null],
    ['intersection', undefined],
    ['prefer-remote', undefined],
  ] as const)('%s tells null from a delete', (strategy, value) => {
    const sides = { hub: null, remote: undefined, base: { hub: 1, remote: 1 } };
    const plain: Contested = { ...contested, kind: 'json', ...sides };
    expect(decideConflict(plain, strategy)).toEqual({ status: 'decided', value });
  });

  it('always decides, with a base or without', () => {
    for (const strategy of FALLBACK_STRATEGIES) {
      expect(decideConflict({ ...contested, base: null }, strategy).status).toBe('decided');
    }
  });
});
