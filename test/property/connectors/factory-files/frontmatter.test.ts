import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  parseFrontmatter,
  renderFrontmatter,
} from '../../../../connectors/factory-files/frontmatter.ts';
import { canonicalJson, type JsonObject } from '../../../../domain/json.ts';
import { anyText, markdown } from './markdown-arbitraries.ts';

const json = fc.jsonValue({ maxDepth: 2, noUnicodeString: false }) as fc.Arbitrary<
  JsonObject[string]
>;
const frontmatter = fc.dictionary(
  fc.oneof(fc.constantFrom('name', 'model', 'tools'), fc.string({ minLength: 1 })),
  json,
  { maxKeys: 4 },
);
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
      { numRuns: 500 },
    );
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
