/** Random documents for merge laws: small alphabets, so that edits meet, and typed places that misfit. */
import fc from 'fast-check';
import { setMember, type Json, type JsonObject } from '../../../domain/json.ts';
import type { DocumentSchema } from '../../../sync/merge/field-types.ts';

export const TYPED_SCHEMA: DocumentSchema = {
  types: {
    '/tags': { type: 'set' },
    '/list': { type: 'map-by-key', fields: ['id'] },
    '/list/*/tags': { type: 'set' },
    '/pairs': { type: 'map-by-key', fields: ['to', 'type'] },
    '/log': { type: 'append-log' },
    '/text': { type: 'text' },
    '/deep/*/text': { type: 'text' },
  },
};

const NAMES = ['a', 'b', '__proto__', 'constructor', 'x/y', 'p~q', ''];

const scalar = fc.constantFrom<Json>(null, true, 0, -0, 1, 2, '', 'a', 'b', 'A');

const anyJson: fc.Arbitrary<Json> = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('json'), { maxLength: 3 }),
    members(fc.constantFrom(...NAMES), tie('json')),
  ),
})).json;

const text = fc
  .array(fc.constantFrom('a', 'b', 'c', '', 'd\r'), { maxLength: 6 })
  .map((l) => l.join('\n'));
const element = fc
  .record(
    {
      id: fc.constantFrom<Json>('1', '2', '3,4', 1),
      tags: fc.array(scalar, { maxLength: 3 }),
      v: scalar,
    },
    { requiredKeys: [] },
  )
  .map((item) => item as JsonObject);
const pair = fc
  .record({ to: fc.constantFrom('a', 'b'), type: fc.constantFrom('x', 'y'), note: scalar })
  .map((item) => item as JsonObject);

const fitting: Record<string, fc.Arbitrary<Json>> = {
  tags: fc.array(scalar, { maxLength: 4 }),
  list: fc.array(element, { maxLength: 3 }),
  pairs: fc.array(pair, { maxLength: 3 }),
  log: fc.array(fc.constantFrom<Json>('a', 'b', 'c'), { maxLength: 4 }),
  text,
  deep: members(
    fc.constantFrom('k', 'l'),
    fc.record({ text }).map((o) => o as JsonObject),
  ),
  plain: scalar,
};

/** Mostly documents the schema fits, now and then ones it does not, or no object at all. */
export const document: fc.Arbitrary<Json> = fc.oneof(
  { weight: 8, arbitrary: typedObject() },
  { weight: 1, arbitrary: anyJson },
);

function typedObject(): fc.Arbitrary<Json> {
  const values = Object.entries(fitting).map(([name, arbitrary]) =>
    fc.option(
      fc
        .oneof({ weight: 9, arbitrary }, { weight: 1, arbitrary: anyJson })
        .map((value): [string, Json] => [name, value]),
      { nil: null, freq: 3 },
    ),
  );
  return fc.tuple(...values).map((entries) => objectOf(entries.filter((entry) => entry !== null)));
}

function members(name: fc.Arbitrary<string>, value: fc.Arbitrary<Json>): fc.Arbitrary<Json> {
  return fc.array(fc.tuple(name, value), { maxLength: 3 }).map(objectOf);
}

function objectOf(entries: readonly (readonly [string, Json])[]): JsonObject {
  const object: JsonObject = {};
  for (const [name, value] of entries) setMember(object, name, value);
  return object;
}

/** Freezes a value and all it holds: a mutation then throws. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}
