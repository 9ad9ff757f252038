import { describe, expect, it } from 'vitest';
import { createOwnWrites } from '../../../client/own-writes.ts';

function writesUnderTest() {
  const time = { now: 0 };
  return { time, writes: createOwnWrites(() => time.now) };
}

describe('what a client wrote of late', () => {
  it('is the newest version of each key, whatever order the answers come in', () => {
    const { writes } = writesUnderTest();
    writes.add('a', 3);
    writes.add('a', 2);
    writes.add('b', 1);
    expect([writes.versionOf('a'), writes.versionOf('b'), writes.versionOf('c')]).toEqual([
      3,
      1,
      null,
    ]);
  });

  it('is forgotten after ten seconds, a key that is written again later', () => {
    const { writes, time } = writesUnderTest();
    writes.add('a', 1);
    writes.add('b', 1);
    time.now = 9_000;
    writes.add('a', 2);
    time.now = 10_001;
    expect([writes.versionOf('a'), writes.versionOf('b')]).toEqual([2, null]);
    time.now = 19_001;
    expect(writes.versionOf('a')).toBeNull();
  });

  it('is bounded: of more than a thousand keys the oldest goes', () => {
    const { writes } = writesUnderTest();
    for (let nth = 0; nth <= 1_000; nth += 1) writes.add(`k${nth}`, 1);
    expect([writes.versionOf('k0'), writes.versionOf('k1')]).toEqual([null, 1]);
  });
});
