import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { unnested, valuesByColumn, type BatchColumns } from '../../../store/sync/batch.ts';
import { openStore, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
beforeAll(async () => {
  under = await openStore();
});
afterAll(() => under.close());

const COLUMNS = {
  nth: 'int',
  text: 'text',
  flag: 'boolean',
  ratio: 'float8',
  json: 'json',
} as const satisfies BatchColumns;

/** What Postgres can hold as text: no NUL, no half of a surrogate pair. */
const texts = fc.oneof(
  fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\0', '')),
  fc.constantFrom('', 'NULL', 'null', '"', '\\', '\\"', '{}', '{a,b}', ',', ' ', "'", '\n'),
);

describe('a batch sent by column', () => {
  it('arrives as it was sent, whatever its texts look like', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            text: fc.option(texts),
            flag: fc.option(fc.boolean()),
            ratio: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })),
            detail: fc.option(texts),
          }),
          { maxLength: 20 },
        ),
        async (given) => {
          const rows = given.map(({ detail, ...row }, nth) => {
            return { ...row, nth, json: detail === null ? null : JSON.stringify({ detail }) };
          });
          const got = await under.admin(
            `SELECT * FROM ${unnested(1, COLUMNS)} AS r (${Object.keys(COLUMNS).join(', ')}) ORDER BY nth`,
            valuesByColumn(COLUMNS, rows),
          );
          expect(got).toEqual(
            rows.map((row) => {
              const ratio = row.ratio === null ? null : row.ratio + 0;
              return {
                ...row,
                ratio,
                json: row.json === null ? null : (JSON.parse(row.json) as unknown),
              };
            }),
          );
        },
      ),
      { numRuns: 150 },
    );
  });

  it('leaves null what a row lacks', () => {
    expect(valuesByColumn(COLUMNS, [{ nth: 1 }, { text: 'a' }])).toEqual([
      '{1,NULL}',
      '{NULL,"a"}',
      ...['{NULL,NULL}', '{NULL,NULL}', '{NULL,NULL}'],
    ]);
  });
});
