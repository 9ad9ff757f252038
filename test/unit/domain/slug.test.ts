import { describe, expect, it } from 'vitest';
import { nameOfSlug, pathKey, slugOfName } from '../../../domain/slug.ts';

describe('the slug of a name', () => {
  it.each([
    ['Code Style', 'code-style'],
    ['Alice', 'alice'],
    ['code style', 'code-style~a'],
    ['Code style', 'code-style~s'],
    ['code-style', 'code-style~k'],
    ['Snake_Case', 'snake_case'],
    ['50% off', '50%25-off~s'],
    ['a/b', 'a%2fb~a'],
    ['日本 語', '日本-語'],
    ['é', 'é'],
    ['É', 'É'],
  ])('reads well: %j', (name, slug) => {
    expect(slugOfName(name)).toBe(slug);
    expect(nameOfSlug(slugOfName(name))).toBe(name);
  });

  // Found by the property test: characters of two UTF-8 bytes came back as two characters.
  it.each(['\u0085', '\u009f', 'a\u0080B', '\u0000', '\u007f'])(
    'escapes control characters reversibly: %j',
    (name) => {
      expect(slugOfName(name)).toMatch(/^[a-zA-Z0-9%~]+$/);
      expect(nameOfSlug(slugOfName(name))).toBe(name);
    },
  );

  it('of a name too long for a key is a start of it and a hash, and gives nothing back', () => {
    const slug = slugOfName('Long Name '.repeat(100));
    expect(slug).toMatch(/^long-name-.*~h[0-9a-f]{40}$/);
    expect(nameOfSlug(slug)).toBeNull();
  });

  it('is no slug when its suffix is none of ours', () => {
    for (const text of ['a~', 'a~z', 'a~x', 'a~x!', 'a~hh', '50% off', '%zz'])
      expect(nameOfSlug(text)).toBeNull();
  });
});

describe('the key tail of a path', () => {
  it('keeps its slashes and its case', () => {
    expect(pathKey('Docs/READ me.md')).toBe('files/Docs/READ me.md');
  });
});
