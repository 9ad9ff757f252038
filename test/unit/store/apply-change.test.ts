import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { isJsonObject, type Json } from '../../../domain/json.ts';
import { appendJson, mergePatch } from '../../../store/apply-change.ts';

const json = fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>;
const parse = (text: string): Json => JSON.parse(text) as Json;

describe('a merge patch', () => {
  // The test cases of RFC 7396, appendix A.
  it.each([
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
    ['{"a":"b"}', '{"a":null}', '{}'],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
    ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
    ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
    ['["a","b"]', '["c","d"]', '["c","d"]'],
    ['{"a":"b"}', '["c"]', '["c"]'],
    ['{"a":"foo"}', 'null', 'null'],
    ['{"a":"foo"}', '"bar"', '"bar"'],
    ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
    ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
    ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  ])('of %s with %s is %s', (target, patch, result) => {
    expect(mergePatch(parse(target), parse(patch))).toEqual(parse(result));
  });

  it('applied twice does what it does once', () => {
    fc.assert(
      fc.property(json, json, (target, patch) => {
        const once = mergePatch(target, patch);
        expect(mergePatch(once, patch)).toEqual(once);
      }),
    );
  });
});

describe('appending', () => {
  it.each([
    ['[1]', '[2,[3]]', '[1,2,[3]]'],
    [
      '{"a":[1],"b":{"c":[2]}}',
      '{"a":[3],"b":{"c":[4],"d":5}}',
      '{"a":[1,3],"b":{"c":[2,4],"d":5}}',
    ],
    ['{"a":1}', '{"a":null}', '{"a":null}'],
    ['{"a":[1]}', '{"a":{"b":1}}', '{"a":{"b":1}}'],
    ['{"a":{"b":1}}', '{"a":[1]}', '{"a":[1]}'],
    ['"x"', '[1]', '[1]'],
    ['[1]', 'null', 'null'],
  ])('to %s of %s makes %s', (target, addition, result) => {
    expect(appendJson(parse(target), parse(addition))).toEqual(parse(result));
  });

  it('keeps every member that is not named', () => {
    fc.assert(
      fc.property(json, json, (target, addition) => {
        const result = appendJson(target, addition);
        if (!isJsonObject(target) || !isJsonObject(addition)) return;
        const names = [...Object.keys(target), ...Object.keys(addition)];
        expect(new Set(Object.keys(result as object))).toEqual(new Set(names));
      }),
    );
  });
});

describe.each([
  ['merge patch', mergePatch],
  ['append', appendJson],
])('%s', (_, combine) => {
  it('changes neither of its inputs', () => {
    fc.assert(
      fc.property(json, json, (target, change) => {
        const before = JSON.stringify([target, change]);
        combine(target, change);
        expect(JSON.stringify([target, change])).toBe(before);
      }),
    );
  });

  it('treats __proto__ as a name like any other', () => {
    const result = combine(parse('{"__proto__":{"a":1},"b":1}'), parse('{"__proto__":{"c":2}}'));
    expect(JSON.stringify(result)).toBe('{"__proto__":{"a":1,"c":2},"b":1}');
    expect(Object.getPrototypeOf(result)).toBe(Object.prototype);
    expect(JSON.stringify(combine({}, parse('{"__proto__":{"c":2}}')))).toBe(
      '{"__proto__":{"c":2}}',
    );
  });
});
