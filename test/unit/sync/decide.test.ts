/** The golden change matrix (P7, P8): what each side did × direction × strategy → what is done. */
import { describe, expect, it } from 'vitest';
import type { Hash } from '../../../domain/hash.ts';
import type { ContextKey } from '../../../domain/ids.ts';
import { STRATEGIES, type Direction, type Strategy } from '../../../domain/link.ts';
import type { Decision, ItemFacts, SideFact, SyncPolicy } from '../../../sync/contract.ts';
import { decide } from '../../../sync/decide.ts';

const BASE = { hubHash: 'hub-0' as Hash, remoteHash: 'remote-0' as Hash };

/** What a side did: nothing, its own edit, the same edit as the other side, a delete, or expiry. */
type Deed = 'none' | 'edit' | 'same' | 'gone' | 'ttl';

const POLICY: SyncPolicy = {
  direction: 'both',
  strategy: 'three-way',
  strategies: [],
  editVersusDelete: 'edit',
  propagateExpiry: false,
};

function side(name: 'hub' | 'remote', deed: Deed): SideFact {
  if (deed === 'gone') return { status: 'absent', reason: name === 'hub' ? 'user' : null };
  if (deed === 'ttl') return { status: 'absent', reason: 'ttl' };
  const hash = { none: `${name}-0`, edit: `${name}-1`, same: 'both-1' }[deed];
  return { status: 'present', hash: hash as Hash };
}

function facts(hub: Deed, remote: Deed, base: ItemFacts['base'] = BASE): ItemFacts {
  const key = 'notes/one' as ContextKey;
  return { key, kind: 'memory', base, hub: side('hub', hub), remote: side('remote', remote) };
}

function short(decision: Decision): string {
  switch (decision.action) {
    case 'copy':
      return `to ${decision.to}`;
    case 'delete':
      return `delete ${decision.on}`;
    case 'conflict':
      return `conflict ${decision.reason}`;
    default:
      return decision.action;
  }
}

type Row = readonly [hub: Deed, remote: Deed, both: string, pull: string, push: string];

// prettier-ignore
const WITH_BASE: readonly Row[] = [
  // hub     remote   both             pull             push
  ['none',  'none',  'rest',          'rest',          'rest'],
  ['edit',  'none',  'to remote',     'rest',          'to remote'],
  ['none',  'edit',  'to hub',        'to hub',        'rest'],
  ['edit',  'edit',  'merge',         'to hub',        'to remote'],
  ['same',  'same',  'adopt',         'adopt',         'adopt'],
  ['gone',  'none',  'delete remote', 'rest',          'delete remote'],
  ['none',  'gone',  'delete hub',    'delete hub',    'rest'],
  ['gone',  'edit',  'to hub',        'to hub',        'rest'],
  ['edit',  'gone',  'to remote',     'rest',          'to remote'],
  ['gone',  'gone',  'forget',        'forget',        'forget'],
  ['ttl',   'none',  'rest',          'rest',          'rest'],
  ['ttl',   'edit',  'to hub',        'to hub',        'rest'],
  ['ttl',   'gone',  'forget',        'forget',        'forget'],
];

// prettier-ignore
const WITHOUT_BASE: readonly Row[] = [
  // hub     remote   both             pull             push
  ['same',  'same',  'adopt',         'adopt',         'adopt'],
  ['edit',  'edit',  'merge',         'to hub',        'to remote'],
  ['edit',  'gone',  'to remote',     'rest',          'to remote'],
  ['gone',  'edit',  'to hub',        'to hub',        'rest'],
  ['ttl',   'edit',  'to hub',        'to hub',        'rest'],
  ['gone',  'gone',  'forget',        'forget',        'forget'],
];

describe('the change matrix', () => {
  for (const [title, base, rows] of [
    ['with a base', BASE, WITH_BASE],
    ['without a base', null, WITHOUT_BASE],
  ] as const) {
    for (const [hub, remote, ...expected] of rows) {
      it(`${title}: hub ${hub}, remote ${remote} gives ${expected.join(' | ')}`, () => {
        const given = (['both', 'pull', 'push'] as const).map((direction) =>
          short(decide(facts(hub, remote, base), { ...POLICY, direction })),
        );
        expect(given).toEqual(expected);
      });
    }
  }

  it('rests when both sides hold the same and the base says so already', () => {
    const base = { hubHash: 'both-1' as Hash, remoteHash: 'both-1' as Hash };
    expect(short(decide(facts('same', 'same', base), POLICY))).toBe('rest');
  });

  it('adopts equal content when only one side of the base knows it', () => {
    const base = { hubHash: 'both-1' as Hash, remoteHash: 'remote-0' as Hash };
    expect(short(decide(facts('same', 'same', base), POLICY))).toBe('adopt');
  });
});

describe('edit against delete', () => {
  // prettier-ignore
  const rows: readonly (readonly [Strategy, hubEdited: string, remoteEdited: string])[] = [
    // strategy         hub edited, remote gone   remote edited, hub gone
    ['three-way',       'to remote',              'to hub'],
    ['latest',          'to remote',              'to hub'],
    ['union',           'to remote',              'to hub'],
    ['intersection',    'delete hub',             'delete remote'],
    ['manual',          'conflict edit/delete',   'conflict edit/delete'],
    ['prefer-hub',      'to remote',              'delete remote'],
    ['prefer-remote',   'delete hub',             'to hub'],
  ];
  for (const [strategy, hubEdited, remoteEdited] of rows) {
    it(`under ${strategy} gives ${hubEdited} or ${remoteEdited}`, () => {
      const policy = { ...POLICY, strategy };
      expect(short(decide(facts('edit', 'gone'), policy))).toBe(hubEdited);
      expect(short(decide(facts('gone', 'edit'), policy))).toBe(remoteEdited);
    });
  }

  it('is a conflict when the policy says so, for three-way only', () => {
    const outcomes = STRATEGIES.map((strategy) =>
      short(decide(facts('edit', 'gone'), { ...POLICY, strategy, editVersusDelete: 'conflict' })),
    );
    expect(outcomes).toEqual([
      'conflict edit/delete',
      'to remote',
      'to remote',
      'delete hub',
      'conflict edit/delete',
      'to remote',
      'delete hub',
    ]);
  });

  it('asks the rule for the kind, not one for a place inside the item', () => {
    const strategies = [
      { kind: 'memory', strategy: 'prefer-remote' as const },
      { kind: 'document', strategy: 'manual' as const },
      { kind: 'memory', pointer: '/type', strategy: 'manual' as const },
    ];
    expect(short(decide(facts('edit', 'gone'), { ...POLICY, strategies }))).toBe('delete hub');
  });
});

describe('expiry', () => {
  const policy = { ...POLICY, propagateExpiry: true };

  it('is a delete like any other on a link that passes it on', () => {
    expect(short(decide(facts('ttl', 'none'), policy))).toBe('delete remote');
    expect(short(decide(facts('ttl', 'edit'), policy))).toBe('to hub');
    expect(short(decide(facts('ttl', 'none'), { ...policy, direction: 'push' }))).toBe(
      'delete remote',
    );
  });

  it('is no delete under any strategy on a link that does not', () => {
    for (const strategy of STRATEGIES) {
      expect(short(decide(facts('ttl', 'none'), { ...POLICY, strategy }))).toBe('rest');
      expect(short(decide(facts('ttl', 'edit'), { ...POLICY, strategy }))).toBe('to hub');
    }
  });
});

describe('every combination', () => {
  const deeds: readonly Deed[] = ['none', 'edit', 'same', 'gone', 'ttl'];
  const directions: readonly Direction[] = ['both', 'pull', 'push'];
  const all = deeds.flatMap((hub) =>
    deeds.flatMap((remote) =>
      [BASE, null].flatMap((base) =>
        directions.flatMap((direction) =>
          STRATEGIES.flatMap((strategy) =>
            (['edit', 'conflict'] as const).map((editVersusDelete) => ({
              given: facts(hub, remote, base),
              policy: { ...POLICY, direction, strategy, editVersusDelete },
            })),
          ),
        ),
      ),
    ),
  );

  it('never deletes without a base', () => {
    for (const { given, policy } of all.filter(({ given }) => !given.base)) {
      expect(decide(given, policy).action).not.toBe('delete');
    }
  });

  it('never writes to the source of a one-way link, and never merges there', () => {
    for (const { given, policy } of all.filter(({ policy }) => policy.direction !== 'both')) {
      const decision = decide(given, policy);
      const target = policy.direction === 'pull' ? 'hub' : 'remote';
      if (decision.action === 'copy') expect(decision.to).toBe(target);
      if (decision.action === 'delete') expect(decision.on).toBe(target);
      expect(['merge', 'conflict']).not.toContain(decision.action);
    }
  });

  it('never copies from a side that has nothing, and never deletes where nothing is', () => {
    for (const { given, policy } of all) {
      const decision = decide(given, policy);
      if (decision.action === 'copy') {
        expect(given[decision.to === 'hub' ? 'remote' : 'hub'].status).toBe('present');
      }
      if (decision.action === 'delete') expect(given[decision.on].status).toBe('present');
      if (decision.action === 'merge') {
        expect([given.hub.status, given.remote.status]).toEqual(['present', 'present']);
      }
    }
  });

  it('gives the mirrored decision when the sides are swapped', () => {
    const other = { hub: 'remote', remote: 'hub', 'prefer-hub': 'prefer-remote' } as const;
    const edits = all.filter(
      ({ given, policy }) =>
        policy.strategy !== 'prefer-remote' &&
        policy.direction === 'both' &&
        ![given.hub, given.remote].some(
          (fact) => fact.status === 'absent' && fact.reason === 'ttl',
        ),
    );
    for (const { given, policy } of edits) {
      const strategy = policy.strategy === 'prefer-hub' ? other['prefer-hub'] : policy.strategy;
      const base = given.base && {
        hubHash: given.base.remoteHash,
        remoteHash: given.base.hubHash,
      };
      const swapped = { ...given, base, hub: given.remote, remote: given.hub };
      const expected = short(decide(given, policy)).replace(
        /hub|remote/,
        (name) => other[name as 'hub' | 'remote'],
      );
      expect(short(decide(swapped, { ...policy, strategy }))).toBe(expected);
    }
  });
});
