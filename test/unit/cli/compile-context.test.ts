import { describe, expect, it } from 'vitest';
import { compileContext } from '../../../cli/compile-context.ts';
import type { Context } from '../../../client/index.ts';

const memory = (key: string, observations: string[]): Context =>
  ({
    key,
    kind: 'memory',
    data: { name: key, type: 't', observations, relations: [{ to: 'Bob', type: 'knows' }] },
  }) as unknown as Context;

describe('compiling contexts', () => {
  it('writes memories as sections with bullets, in key order', () => {
    const { text } = compileContext([memory('b', ['two\nlines']), memory('a', [])], 9_999);
    expect(text).toContain('\n## a\n\n- knows → Bob\n\n## b\n\n- two\n  lines\n- knows → Bob\n');
  });

  it('keeps to its budget in bytes, prefers the first given, and says what is missing', () => {
    const contexts = [memory('new', ['é'.repeat(100)]), memory('old', ['x'.repeat(400)])];
    const { text, included, leftOut } = compileContext(contexts, 500);
    expect({ included, leftOut }).toEqual({ included: 1, leftOut: 1 });
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(500);
    expect(text).toContain('## new');
    expect(text).toContain('(1 more contexts did not fit.)');
    expect(compileContext(contexts, 10)).toMatchObject({ text: '', included: 0 });
  });

  it('fences other data so that it cannot end its own fence', () => {
    const tricky = { path: 'AGENTS.md', frontmatter: {}, text: '```js\nx\n```\n# Not a heading' };
    const context = { key: 'k', kind: 'document', data: tricky } as unknown as Context;
    expect(compileContext([context], 9_999).text).toContain('````markdown\n```js');
  });
});
