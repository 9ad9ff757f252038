import { describe, expect, it } from 'vitest';
import { pairRespelled, type Named } from '../../../../sync/merge/pair-respelled.ts';

const named = (...spellings: string[]): Named[] =>
  spellings.map((spelling) => ({ id: spelling, spelling }));

function paired(hub: string[], remote: string[]): { pairs: string[]; doubtful: string[] } {
  const { imageOf, doubtful } = pairRespelled(named(...hub), named(...remote));
  return { pairs: [...imageOf].map(([a, b]) => `${a}=${b}`).sort(), doubtful: [...doubtful] };
}

describe('pairing two spellings of one list', () => {
  it.each([
    ['white space', ['  a   b '], ['a b']],
    ['marks', ['- a b!'], ['a b']],
    ['case and Unicode form', ['ＦＯＯ'], ['foo']],
    ['all of them', ['* FOO  bar'], ['foo bar.']],
  ])('sees through %s', (_what, hub, remote) => {
    expect(paired(hub, remote)).toEqual({ pairs: [`${hub[0]}=${remote[0]}`], doubtful: [] });
  });

  it('goes by the finest difference first', () => {
    expect(paired(['- a', 'A', 'a'], ['a', 'A', '* a'])).toEqual({
      pairs: ['- a=* a', 'A=A', 'a=a'],
      doubtful: [],
    });
  });

  it('lets two of ours be one of theirs', () => {
    expect(paired(['Foo', 'foo'], ['foo']).pairs).toEqual(['Foo=foo', 'foo=foo']);
  });

  it('does not take two texts of marks for one', () => {
    expect(paired(['***', '---'], ['---', '+++', '***'])).toEqual({
      pairs: ['***=***', '---=---'],
      doubtful: [],
    });
  });

  it('pairs the last one left on each side, however they are spelled', () => {
    expect(paired(['x', 'one'], ['x', 'eins'])).toEqual({
      pairs: ['one=eins', 'x=x'],
      doubtful: [],
    });
  });

  it('names all that may stand for ours when several could', () => {
    const { pairs, doubtful } = paired(['one', 'two'], ['eins', 'zwei']);
    expect(pairs).toEqual([]);
    expect(doubtful.sort()).toEqual(['eins', 'zwei']);
  });

  it('has no doubts when nothing is missing on the remote', () => {
    expect(paired([], ['a', 'b'])).toEqual({ pairs: [], doubtful: [] });
    expect(paired(['a'], [])).toEqual({ pairs: [], doubtful: [] });
  });
});
