import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseFrontmatter, renderFrontmatter } from '../../../../connectors/files/frontmatter.ts';
import { documentSchema } from '../../../../domain/item.ts';
import { canonicalJson, type JsonObject } from '../../../../domain/json.ts';
import { anyText, markdown } from './markdown-arbitraries.ts';

const json = fc.jsonValue({ maxDepth: 2, noUnicodeString: false }) as fc.Arbitrary<
  JsonObject[string]
>;
const frontmatter = fc.dictionary(
  fc.oneof(
    fc.constantFrom('name', 'model', 'tools'),
    fc.constantFrom('__proto__', 'constructor', 'toString', '<<', '~', 'yes', '1'),
    fc.string({ minLength: 1 }),
  ),
  json,
  { maxKeys: 4 },
);
/** JSON.parse makes `__proto__` a member like any other, as our own bodies are read. */
const protoDocument = (): { frontmatter: JsonObject; text: string } => ({
  frontmatter: JSON.parse('{"__proto__":{"a":1},"nested":{"__proto__":2}}') as JsonObject,
  text: 'text',
});
const wellFormed = (value: unknown): boolean => !/\p{Cs}/u.test(JSON.stringify(value));
const documents = fc
  .record({ frontmatter, text: fc.oneof(markdown, anyText, fc.constant('---\na: b\n---\ntext')) })
  .filter((document) => wellFormed(document) && !canonicalJson(document).includes('-0'));

describe('a document with frontmatter', () => {
  it('reads back as it was written, whatever stood there before', () => {
    fc.assert(
      fc.property(documents, fc.option(documents), (wanted, before) => {
        const previous = before && renderFrontmatter(before, null);
        expect(parseFrontmatter(renderFrontmatter(wanted, previous))).toEqual(wanted);
      }),
      { numRuns: 500, examples: [[protoDocument(), null]] },
    );
  });

  it('keeps a member named __proto__, at the top and below, and knows when it changed', () => {
    const wanted = protoDocument();
    const source = renderFrontmatter(wanted, null);
    const read = parseFrontmatter(source).frontmatter;
    expect(Object.keys(read)).toEqual(['__proto__', 'nested']);
    expect(read['nested']).toHaveProperty(['__proto__'], 2);
    const changed = JSON.parse(
      JSON.stringify(wanted).replace('{"a":1}', '{"a":3}'),
    ) as typeof wanted;
    expect(parseFrontmatter(renderFrontmatter(changed, source))).toEqual(changed);
    expect(documentSchema.parse({ ...wanted, path: 'a.md' })).toEqual({ ...wanted, path: 'a.md' });
  });

  it.each(['a: &a [*a]', 'a: &a {b: *a}', '- list', 'a: .nan', 'a: !!binary aGk=', 'just text'])(
    'refuses %j, which is no mapping of JSON values',
    (yaml) => {
      expect(() => parseFrontmatter(`---\n${yaml}\n---\ntext`)).toThrow(
        expect.objectContaining({ code: 'REMOTE_MALFORMED' }),
      );
    },
  );

  const ODD = [
    'tags: [a,b]',
    'name: "x"   # who',
    'about: >',
    '  folded',
    '  text',
    'metadata: {type: user, x: 1}',
    'list:',
    '- one',
    "-   'two'",
    '',
    '# the last',
    "last:   'y'",
  ];
  const odd = (lines: readonly string[], eol: string): string =>
    ['---', ...lines, '---', ''].join(eol);

  it.each([
    ['a quoted value with a comment', { name: 'z' }, { 1: 'name: "z"   # who' }],
    [
      'a value in a mapping on one line',
      { metadata: { type: 'note', x: 1 } },
      { 5: 'metadata: {type: note, x: 1}' },
    ],
    ['a list on one line', { tags: ['a', 'b', 'c'] }, { 0: 'tags: [a, b, c]' }],
    ['the last value', { last: 'w' }, { 11: "last:   'w'" }],
    ['a folded text', { about: 'short' }, { 2: 'about: short', 3: null, 4: null }],
    ['a member that goes', { last: undefined }, { 11: null }],
    ['a member that comes', { more: true }, { 12: 'more: true' }],
    ['a list of lines', { list: ['one'] }, { 8: null }],
  ])('changes %s and nothing else', (_what, change, lines) => {
    for (const eol of ['\n', '\r\n']) {
      const source = odd(ODD, eol);
      const { frontmatter } = parseFrontmatter(source);
      const wanted = JSON.parse(JSON.stringify({ ...frontmatter, ...change })) as JsonObject;
      const changed: Record<string, string | null> = lines;
      const expected = [...ODD, null].map((line, at) =>
        changed[at] === undefined ? line : changed[at],
      );
      const text = renderFrontmatter({ frontmatter: wanted, text: '' }, source);
      expect(text).toBe(
        odd(
          expected.filter((line) => line !== null),
          eol,
        ),
      );
    }
  });

  it.each([
    ['a\nb\n', '---\nname: x\n---\na\nb\n'],
    ['a\r\nb\r\n', '---\r\nname: x\r\n---\r\na\r\nb\r\n'],
    ['a\rb\r', '---\nname: x\n---\na\rb\r'],
  ])('begins %j with frontmatter in its own line ending, where YAML knows it', (text, expected) => {
    expect(renderFrontmatter({ frontmatter: { name: 'x' }, text }, text)).toBe(expected);
  });

  it('keeps every byte of frontmatter that did not change', () => {
    fc.assert(
      fc.property(fc.constantFrom('\n', '\r\n'), fc.string(), (eol, comment) => {
        const words = comment.replace(/[^a-z ]/gi, '');
        const head = ['---', `# ${words}`, 'b:   1', "a: 'x'  ", '---', ''].join(eol);
        const text = renderFrontmatter(
          { frontmatter: { a: 'x', b: 1 }, text: 'new' },
          `${head}old`,
        );
        expect(text).toBe(`${head}new`);
      }),
    );
  });
});
