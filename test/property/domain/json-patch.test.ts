/** A JSON Patch applied to the first value gives the second. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isJsonObject, type Json } from '../../../domain/json.ts';
import { diffJson, type PatchOp } from '../../../domain/json-patch.ts';

const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<Json>(null, true, 0, 1, 'a', 'b'),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom('a', 'b', '/', '~', 'a/b'), tie('value'), { maxKeys: 3 }),
  ),
})).value as fc.Arbitrary<Json>;

describe('diffJson', () => {
  it('gives ops that lead from one value to the other', () => {
    fc.assert(
      fc.property(json, json, (before, after) => {
        expect(diffJson(before, after).reduce(applyOp, plain(before))).toEqual(plain(after));
      }),
    );
  });

  it('gives none where the values are equal', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(diffJson(value, plain(value))).toEqual([]);
      }),
    );
  });

  it('names one element of a list that was put in the middle', () => {
    expect(diffJson({ list: ['a', 'c'] }, { list: ['a', 'b', 'c'] })).toEqual([
      { op: 'add', path: '/list/1', value: 'b' },
    ]);
  });
});

const plain = (value: Json): Json => JSON.parse(JSON.stringify(value)) as Json;

/** RFC 6902, as far as our patches go. */
function applyOp(document: Json, op: PatchOp): Json {
  if (op.path === '') return op.op === 'remove' ? null : plain(op.value);
  const parts = op.path
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const last = parts.pop()!;
  const root = plain(document);
  const holder = parts.reduce<Json>((at, part) => {
    if (Array.isArray(at)) return at[Number(part)]!;
    return isJsonObject(at) ? at[part]! : null;
  }, root);
  if (Array.isArray(holder)) {
    if (op.op === 'remove') holder.splice(Number(last), 1);
    else holder.splice(Number(last), op.op === 'add' ? 0 : 1, op.value);
  } else if (isJsonObject(holder)) {
    if (op.op === 'remove') Reflect.deleteProperty(holder, last);
    else Object.assign(holder, { [last]: op.value });
  }
  return root;
}
