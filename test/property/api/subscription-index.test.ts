import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isAfter, isIn, isPast, parseSnapshot } from '../../../api/websocket/feed-position.ts';
import { isSelected, type Selector } from '../../../api/websocket/selector.ts';
import { createSubscriptionIndex } from '../../../api/websocket/subscription-index.ts';
import type { ContextKey } from '../../../domain/ids.ts';
import type { WatchedChange } from '../../../store/contract.ts';

const word = fc.stringMatching(/^[ab]{0,3}$/);
const selector: fc.Arbitrary<Selector> = fc.record({
  kind: fc.constantFrom('key', 'prefix', 'sessionId', 'tag'),
  value: word,
});
const watched: fc.Arbitrary<WatchedChange> = fc
  .record({ key: word, sessionId: fc.option(word), tags: fc.array(word, { maxLength: 3 }) })
  .map(({ key, sessionId, tags }) => ({
    change: {
      key: key as ContextKey,
      version: 1,
      timestamp: '',
      changeType: 'update',
      changedBy: null,
      cursor: '1.1',
    },
    sessionId,
    tags,
  }));

describe('the index of subscriptions', () => {
  it('finds exactly those a walk over all of them finds, each once, also after some have left', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(selector, fc.boolean()), { maxLength: 30 }),
        fc.array(watched, { minLength: 1, maxLength: 10 }),
        (given, changes) => {
          const index = createSubscriptionIndex<{ selector: Selector }>();
          const entries = given.map(([each, stays]) => ({ selector: each, stays }));
          for (const entry of entries) index.add(entry);
          for (const entry of entries.filter((each) => !each.stays)) index.remove(entry);
          const left = entries.filter((each) => each.stays);
          for (const change of changes) {
            const found = index.wanting(change);
            expect(new Set(found).size).toBe(found.length);
            expect(new Set(found)).toEqual(
              new Set(left.filter((each) => isSelected(each.selector, change))),
            );
          }
        },
      ),
    );
  });
});

describe('positions of the feed', () => {
  const position = fc.tuple(fc.bigInt({ min: 0n, max: 9n }), fc.bigInt({ min: 0n, max: 99n }));
  const textOf = ([xid, seq]: readonly [bigint, bigint]): string => `${xid}.${seq}`;

  it('are in order of transaction, then of number; not of their text', () => {
    fc.assert(
      fc.property(position, position, (a, b) => {
        const isLater = a[0] === b[0] ? a[1] > b[1] : a[0] > b[0];
        expect(isAfter(textOf(a), textOf(b))).toBe(isLater);
      }),
    );
    expect(isAfter('10.1', '9.99')).toBe(true);
  });

  it('are in a snapshot unless their transaction still ran or had not begun', () => {
    const snapshot = parseSnapshot('5:9:5,7');
    const at = [4, 5, 6, 7, 8, 9, 10].map((xid) => isIn(snapshot, `${xid}.1`));
    expect(at).toEqual([true, false, true, false, true, false, false]);
    expect([isPast(snapshot, '8.9'), isPast(snapshot, '9.1')]).toEqual([false, true]);
    expect(isIn(parseSnapshot('9:9:'), '8.1')).toBe(true);
  });
});
