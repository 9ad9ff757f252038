import { describe, expect, it } from 'vitest';
import { selectFields } from '../../../api/fields.ts';
import type { Context } from '../../../domain/context.ts';

const context = {
  key: 'k',
  version: 3,
  tags: ['a'],
  data: { state: { step: 1, more: [10, { x: 1, y: 2 }, 30] }, 'a/b': null, __proto__: null },
} as unknown as Context;

describe('selectFields', () => {
  it('gives the named members and the parts of data that pointers name', () => {
    expect(selectFields(context, 'version,/state/step')).toEqual({
      version: 3,
      data: { state: { step: 1 } },
    });
  });

  it('gives all of data when it is named, whatever else is', () => {
    expect(selectFields(context, 'data,/state/step')).toEqual({ data: context.data });
  });

  it('keeps only the chosen elements of an array, in order', () => {
    expect(selectFields(context, '/state/more/2,/state/more/1/y,/state/more/02')).toEqual({
      data: { state: { more: [{ y: 2 }, 30] } },
    });
  });

  it('reads escaped names, and keeps null', () => {
    expect(selectFields(context, '/a~1b')).toEqual({ data: { 'a/b': null } });
  });

  it('leaves out what is not there, inherited members too', () => {
    expect(selectFields(context, 'key,/nope,/state/step/deeper,/toString')).toEqual({ key: 'k' });
  });

  it.each(['nope', '', 'toString', '/a~2'])('refuses %s', (fields) => {
    expect(() => selectFields(context, fields)).toThrow(/fields/);
  });
});
