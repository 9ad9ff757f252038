import { describe, expect, it } from 'vitest';
import { announcementOf } from '../../../main/cache-announcement.ts';

const ONE = { from: 'a', tenant: 't', changes: [{ key: 'k', version: 2 }], isClean: true };

describe('an announcement', () => {
  it('is read as it was told, also where it names nothing', () => {
    for (const told of [ONE, { ...ONE, changes: null }, { ...ONE, isClean: false }])
      expect(announcementOf(JSON.stringify(told))).toEqual(told);
  });

  it.each([
    'no JSON',
    'null',
    '1',
    '[]',
    '{}',
    { ...ONE, from: 1 },
    { ...ONE, tenant: 'no\ntenant' },
    { ...ONE, changes: undefined },
    { ...ONE, changes: 'k' },
    { ...ONE, changes: [null] },
    { ...ONE, changes: [{ key: 1, version: 2 }] },
    { ...ONE, changes: [{ key: 'k', version: '2' }] },
    { ...ONE, isClean: undefined },
  ])('of another form is none of ours: %j', (told) => {
    expect(announcementOf(typeof told === 'string' ? told : JSON.stringify(told))).toBeNull();
  });
});
