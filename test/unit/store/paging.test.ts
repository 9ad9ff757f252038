import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { packCursor, pageOf, unpackCursor } from '../../../store/paging.ts';

const refused = (cursor: string, kinds: Parameters<typeof unpackCursor>[1]): void => {
  expect(() => unpackCursor(cursor, kinds)).toThrow(
    expect.objectContaining({ code: 'INVALID_CURSOR' }),
  );
};

describe('a cursor', () => {
  it('gives back the values it was made of', () => {
    const text = fc.string({ unit: 'grapheme' }).filter((one) => !one.includes('\0'));
    const integer = fc.integer({ min: -2_147_483_648 + 1, max: 2_147_483_647 });
    fc.assert(
      fc.property(text, integer, (name, version) => {
        const cursor = packCursor([name, version]);
        expect(cursor).toMatch(/^[A-Za-z0-9_-]+$/);
        expect(unpackCursor(cursor, ['text', 'integer'])).toEqual([name, version]);
      }),
    );
  });

  it('is refused by a list of another kind', () => {
    const time = '2026-11-21T13:00:00.000Z';
    const id = '11111111-2222-4333-8444-555555555555';
    expect(unpackCursor(packCursor([time, id]), ['time', 'id'])).toEqual([time, id]);
    refused(packCursor([time, id]), ['text']);
    refused(packCursor(['key']), ['integer']);
    refused(packCursor([7]), ['text']);
    refused(packCursor([time, 'x']), ['time', 'id']);
    refused(packCursor(['yesterday', id]), ['time', 'id']);
    refused(packCursor(['2026-13-45T99:00:00.000Z', id]), ['time', 'id']);
  });

  it('of any other making is refused, never an error of another kind', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        refused(text.slice(0, 3), ['integer', 'id']);
        refused(Buffer.from(text).toString('base64url'), ['integer', 'id']);
      }),
    );
  });
});

describe('a page', () => {
  it('has at most its limit of rows, and a cursor exactly when there are more', () => {
    fc.assert(
      fc.property(fc.nat(20), fc.integer({ min: 1, max: 20 }), (count, limit) => {
        const all = Array.from({ length: count }, (_, nth) => nth);
        const page = pageOf(all.slice(0, limit + 1), limit, {
          item: (row) => row,
          sortValues: (row) => [row],
        });
        expect(page.items).toEqual(all.slice(0, limit));
        expect(page.nextCursor).toBe(count > limit ? packCursor([limit - 1]) : null);
      }),
    );
  });
});
