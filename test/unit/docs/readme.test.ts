import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const read = (name: string): string =>
  readFileSync(new URL(`../../../${name}`, import.meta.url), 'utf8');

describe('the tour of the README', () => {
  it('leaves no backup in the clone that git would offer to commit', () => {
    const [, file = ''] = /^npx syncline backup (\S+)$/m.exec(read('README.md')) ?? [];
    expect(file).toMatch(/\.backup$/);
    const endings = read('.gitignore')
      .split('\n')
      .filter((line) => line.startsWith('*.'))
      .map((line) => line.slice(1));
    expect(endings.filter((ending) => file.endsWith(ending))).toEqual(['.backup']);
  });
});
