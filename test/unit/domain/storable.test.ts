import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  isStorable,
  MAX_REMOTE_ID_BYTES,
  placeOfHalfPair,
  remoteIdFault,
  storable,
  storableJson,
} from '../../../domain/storable.ts';

describe('texts that can be stored', () => {
  it('spells out what cannot be stored, and leaves everything else alone', () => {
    expect(storable('a\u0000b\ud800c\udc00 \ud83d\ude00')).toBe(
      'a\\u0000b\\ud800c\\udc00 \ud83d\ude00',
    );
  });

  it('makes every text storable, and changes only those that are not', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string(), (odd, plain) => {
        const text = `${odd}${plain}`;
        expect(isStorable(storable(text))).toBe(true);
        if (isStorable(text)) expect(storable(text)).toBe(text);
        expect(isStorable(text)).toBe(
          !text.includes('\0') && Buffer.from(text).toString() === text,
        );
      }),
    );
  });

  it('makes JSON whose texts can all be stored', () => {
    const made = storableJson({ code: 'X', detail: ['e\u0000'] });
    expect(JSON.parse(made)).toEqual({ code: 'X', detail: ['e\\u0000'] });
    expect(made).not.toContain('"e\\u0000"');
  });
});

describe('ids of items on a remote', () => {
  it('may have 2,048 bytes, whatever the characters', () => {
    expect(remoteIdFault('a'.repeat(MAX_REMOTE_ID_BYTES))).toBeNull();
    expect(remoteIdFault('é'.repeat(MAX_REMOTE_ID_BYTES / 2))).toBeNull();
    expect(remoteIdFault('é'.repeat(MAX_REMOTE_ID_BYTES / 2 + 1))).toContain('2050 bytes');
  });

  it('hold no U+0000 and no half of a surrogate pair', () => {
    expect(remoteIdFault('a\u0000')).toContain('U+0000');
    expect(remoteIdFault('\ud800')).toContain('half of a surrogate pair');
    expect(remoteIdFault('\ud83d\ude00')).toBeNull();
  });
});

describe('the place of half of a surrogate pair', () => {
  it('is a pointer to the text or the member’s name; null without one', () => {
    expect(placeOfHalfPair({ a: ['x', { b: '\ud800' }] })).toBe('/a/1/b');
    expect(placeOfHalfPair({ a: { 'k\udc00': 1 } })).toBe('/a/k\\udc00');
    expect(placeOfHalfPair({ a: ['\ud83d\ude00', 1, null, true] })).toBeNull();
  });
});
