import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonText } from '../../../api/json/json-text.ts';
import { readJson } from '../../../api/json/read-json.ts';
import { AppError } from '../../../domain/errors.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function faultOf(input: string | Uint8Array): { code: string; pointer: string | undefined } {
  try {
    readJson(typeof input === 'string' ? bytes(input) : input, 10);
  } catch (error) {
    if (error instanceof AppError) return { code: error.code, pointer: error.errors[0]?.pointer };
    throw error;
  }
  return { code: 'none', pointer: undefined };
}

describe('readJson', () => {
  it('reads what JSON.parse reads, for any JSON value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
        expect(readJson(bytes(JSON.stringify(value)), 50)).toEqual(
          JSON.parse(JSON.stringify(value)),
        );
      }),
    );
  });

  it('agrees with JSON.parse about what is JSON, for any text', () => {
    const soup = fc.string({
      unit: fc.constantFrom('{', '}', '[', ']', '"', ',', ':', '1', '\\', 'u', 'a', '-', 'e', ' '),
    });
    fc.assert(
      fc.property(soup, (text) => {
        const { code } = faultOf(text);
        if (code === 'TOO_DEEP' || code === 'NUMBER_PRECISION') return;
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        expect(code === 'none').toBe(isJson);
      }),
      { numRuns: 2000 },
    );
  });

  it('refuses a number that does not fit, and points to it', () => {
    expect(faultOf('{"a/b":[1,{"~":9007199254740993}]}')).toEqual({
      code: 'NUMBER_PRECISION',
      pointer: '/a~1b/1/~0',
    });
    expect(faultOf('[1e400]')).toEqual({ code: 'NUMBER_PRECISION', pointer: '/0' });
  });

  it('leaves digits in texts and names alone', () => {
    expect(faultOf('{"9007199254740993":"9007199254740993 \\" 1e400"}').code).toBe('none');
  });

  it.each(['"\\ud800"', '"\\udc00"', '"\\ud800\\ud800"', '"\\udc00\\ud800"', '{"\\ud800":1}'])(
    'refuses the lone surrogate in %s',
    (text) => {
      expect(faultOf(text).code).toBe('INVALID_JSON');
    },
  );

  it('takes surrogate pairs, escaped back slashes and U+0000', () => {
    expect(readJson(bytes('"\\ud83d\\ude00 \\\\ud800 \\u0000"'), 1)).toBe('😀 \\ud800 \u0000');
  });

  it('refuses what is not UTF-8', () => {
    expect(faultOf(Uint8Array.of(0x22, 0xff, 0x22)).code).toBe('INVALID_JSON');
    expect(faultOf(Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22)).code).toBe('INVALID_JSON');
  });

  it('counts containers, and survives a million of them', () => {
    expect(faultOf('['.repeat(10) + ']'.repeat(10)).code).toBe('none');
    expect(faultOf('['.repeat(11) + ']'.repeat(11)).code).toBe('TOO_DEEP');
    expect(faultOf('{"a":'.repeat(1_000_000)).code).toBe('TOO_DEEP');
    expect(faultOf('[],'.repeat(1000)).code).toBe('INVALID_JSON');
  });

  it('keeps `__proto__` as a member like any other', () => {
    const value = readJson(bytes('{"__proto__":{"x":1}}'), 5);
    expect(Object.keys(value as object)).toEqual(['__proto__']);
    expect(jsonText(value)).toBe('{"__proto__":{"x":1}}');
  });

  it('keeps -0 on the way in and out', () => {
    const value = readJson(bytes('{"a":[-0,-0.0],"b":0}'), 5);
    expect(jsonText(value)).toBe('{"a":[-0,-0],"b":0}');
  });

  it('reads a million short texts as fast as few long ones', () => {
    const text = `[${Array(1_000_000).fill('"a"').join(',')}]`;
    expect(readJson(bytes(text), 1)).toHaveLength(1_000_000);
  });
});
