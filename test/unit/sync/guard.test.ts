import { describe, expect, it } from 'vitest';
import { DEFAULT_GUARDS } from '../../../domain/link.ts';
import type { GuardConfig, GuardFacts, SideFacts } from '../../../sync/contract.ts';
import { evaluateGuards } from '../../../sync/guard.ts';

const CALM: SideFacts = {
  known: 100,
  present: 100,
  changed: 0,
  plannedDeletes: 0,
  plannedOverwrites: 0,
  expired: 0,
  kinds: [],
};

function judge(
  change: {
    hub?: Partial<SideFacts>;
    remote?: Partial<SideFacts>;
    canary?: GuardFacts['canary'];
    conflicts?: Partial<GuardFacts['conflicts']>;
  },
  config: GuardConfig = DEFAULT_GUARDS,
): string {
  const verdict = evaluateGuards(
    {
      hub: { ...CALM, ...change.hub },
      remote: { ...CALM, ...change.remote },
      canary: change.canary ?? null,
      conflicts: { planned: 0, accepted: 0, ...change.conflicts },
      items: 100,
      remoteName: 'memories.md',
    },
    config,
  );
  return verdict.status === 'go' ? 'go' : `${verdict.code} ${verdict.reason}`;
}

describe('a calm link', () => {
  it('goes', () => {
    expect(judge({})).toBe('go');
  });

  it('goes when it knows nothing yet', () => {
    const none = { known: 0, present: 0 };
    expect(judge({ hub: none, remote: none })).toBe('go');
  });
});

describe('the delete budget', () => {
  it('holds at exactly the share, and parks one above it', () => {
    expect(judge({ hub: { plannedDeletes: 50 } })).toBe('go');
    expect(judge({ hub: { plannedDeletes: 51 } })).toMatch(/^DELETE_BUDGET/);
  });

  it('holds at exactly the count, and parks one above it', () => {
    expect(judge({ remote: { known: 12, present: 2, plannedDeletes: 10 } })).toBe('go');
    expect(judge({ remote: { known: 12, present: 1, plannedDeletes: 11 } })).toMatch(
      /^DELETE_BUDGET/,
    );
  });

  it('needs both the count and the share to be exceeded', () => {
    expect(judge({ hub: { known: 1000, present: 1000, plannedDeletes: 400 } })).toBe('go');
    expect(judge({ hub: { known: 3, present: 3, plannedDeletes: 3 } })).toBe('go');
  });

  it('says how many of how many would go, where, and what to do', () => {
    expect(judge({ remote: { plannedDeletes: 60 } })).toBe(
      'DELETE_BUDGET 60 of 100 items memories.md has would be deleted there, more than 10 and more ' +
        'than 50 %, so nothing was written: if that is right, approve the plan; if not, bring back ' +
        'on the other side what is missing there and run the link again.',
    );
  });
});

describe('an emptied side', () => {
  it('parks and says which side has nothing of what it had', () => {
    expect(judge({ remote: { known: 12, present: 0 } })).toBe(
      'EMPTY_SIDE memories.md has 0 of 12 items it had, so nothing was written: if that is right, ' +
        'approve the plan; if not, restore memories.md and run the link again.',
    );
    expect(judge({ hub: { known: 12, present: 0 } })).toBe(
      'EMPTY_SIDE The hub has 0 of 12 items it had, so nothing was written: if that is right, ' +
        'approve the plan; if not, restore the contexts and run the link again.',
    );
  });

  it('is also the loss of the only item', () => {
    expect(judge({ hub: { known: 1, present: 0 } })).toMatch(
      /^EMPTY_SIDE The hub has 0 of 1 item it/,
    );
  });

  it('is not a side with one item left', () => {
    expect(judge({ hub: { known: 12, present: 1 } })).toBe('go');
  });

  it('is not a side of which everything expired', () => {
    expect(judge({ hub: { known: 12, present: 0, expired: 12 } })).toBe('go');
    expect(judge({ hub: { known: 12, present: 0, expired: 11 } })).toMatch(
      /^EMPTY_SIDE The hub has 0 of 12 items it had \(11 expired\)/,
    );
  });

  it('is also the loss of all memories, or of all documents, while the others stay', () => {
    const some = { kind: 'document', known: 98, present: 98, expired: 0 };
    const lost = { kind: 'memory', known: 2, present: 0, expired: 0 };
    expect(judge({ remote: { present: 98, kinds: [some, lost] } })).toBe(
      'EMPTY_SIDE memories.md has 0 of 2 memories it had, so nothing was written: if that is right, ' +
        'approve the plan; if not, restore memories.md and run the link again.',
    );
    const last = { kind: 'document', known: 1, present: 0, expired: 0 };
    expect(judge({ hub: { present: 99, kinds: [last] } })).toMatch(
      /^EMPTY_SIDE The hub has 0 of 1 document it had, so/,
    );
    expect(judge({ hub: { present: 99, kinds: [{ ...last, expired: 1 }] } })).toBe('go');
    expect(judge({ hub: { kinds: [last] } }, { ...DEFAULT_GUARDS, emptySide: false })).toBe('go');
  });

  it('is not the loss of all items of a kind that is only a label', () => {
    for (const kind of ['draft', 'json', 'constructor', '__proto__']) {
      const lost = { kind, known: 2, present: 0, expired: 0 };
      expect(judge({ remote: { present: 98, kinds: [lost] } })).toBe('go');
    }
  });

  it('is reported before the deletes that follow from it', () => {
    const emptied = { remote: { present: 0 }, hub: { plannedDeletes: 100 } };
    expect(judge(emptied)).toMatch(/^EMPTY_SIDE memories\.md/);
    expect(judge(emptied, { ...DEFAULT_GUARDS, emptySide: false })).toMatch(/^DELETE_BUDGET 100/);
  });
});

describe('everything changed at once', () => {
  it('parks when all of more than a handful of items changed', () => {
    expect(judge({ hub: { known: 11, present: 11, changed: 11 } })).toBe(
      'ALL_CHANGED All 11 items of the hub changed at once, so nothing was written: if that is ' +
        'right, approve the plan; if not, restore the contexts and run the link again.',
    );
    expect(judge({ remote: { changed: 100 } })).toMatch(
      /^ALL_CHANGED All 100 items of memories\.md/,
    );
  });

  it('goes with a handful of items, with one unchanged, or switched off', () => {
    expect(judge({ hub: { known: 10, present: 10, changed: 10 } })).toBe('go');
    expect(judge({ hub: { changed: 99 } })).toBe('go');
    expect(judge({ hub: { changed: 100 } }, { ...DEFAULT_GUARDS, allChanged: false })).toBe('go');
  });
});

describe('the canary', () => {
  const config = { ...DEFAULT_GUARDS, canary: 'notes/canary' };

  it('parks when a side does not have it, and names the side', () => {
    expect(judge({ canary: { hub: true, remote: false } }, config)).toBe(
      'CANARY memories.md does not have the canary "notes/canary", so nothing was written: put it ' +
        "back, or take it out of the link's guards, and run the link again.",
    );
    expect(judge({ canary: { hub: false, remote: true } }, config)).toMatch(/^CANARY The hub/);
  });

  it('goes when both sides have it', () => {
    expect(judge({ canary: { hub: true, remote: true } }, config)).toBe('go');
  });

  it('is named by its role when the guards no longer say which it was', () => {
    expect(judge({ canary: { hub: false, remote: true } })).toMatch(
      /^CANARY The hub does not have the canary, so nothing was written/,
    );
  });
});

describe('the overwrite budget', () => {
  const config = { ...DEFAULT_GUARDS, maxOverwritePercent: 50 };

  it('holds at exactly the share and the count, and parks one above both', () => {
    expect(judge({ hub: { plannedOverwrites: 50 } }, config)).toBe('go');
    expect(judge({ hub: { plannedOverwrites: 51 } }, config)).toMatch(
      /^OVERWRITE_BUDGET 51 of 100/,
    );
    const few = { ...config, maxOverwriteCount: 60 };
    expect(judge({ remote: { plannedOverwrites: 60 } }, few)).toBe('go');
    expect(judge({ remote: { plannedOverwrites: 61 } }, few)).toMatch(/^OVERWRITE_BUDGET/);
  });

  it('never parks unless a share is set', () => {
    expect(judge({ hub: { plannedOverwrites: 100 } })).toBe('go');
  });
});

describe('the conflict budget', () => {
  const config = { ...DEFAULT_GUARDS, maxConflictPercent: 20 };

  it('holds at exactly the share and the count, and parks one above both', () => {
    expect(judge({ conflicts: { planned: 20 } }, config)).toBe('go');
    expect(judge({ conflicts: { planned: 21 } }, config)).toMatch(/^CONFLICT_BUDGET 21 of 100/);
    const few = { ...config, maxConflictCount: 30 };
    expect(judge({ conflicts: { planned: 30 } }, few)).toBe('go');
    expect(judge({ conflicts: { planned: 31 } }, few)).toMatch(/^CONFLICT_BUDGET/);
  });

  it('lets pass as many as an operator did, and not one more', () => {
    expect(judge({ conflicts: { planned: 21, accepted: 21 } }, config)).toBe('go');
    expect(judge({ conflicts: { planned: 22, accepted: 21 } }, config)).toMatch(/^CONFLICT_BUDGET/);
  });

  it('never parks unless a share is set', () => {
    expect(judge({ conflicts: { planned: 100 } })).toBe('go');
  });
});
