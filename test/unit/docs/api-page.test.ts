import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { CALLS } from '../../../api/contract.ts';

const page = readFileSync(new URL('../../../docs/api.md', import.meta.url), 'utf8');

it('docs/api.md names every group of calls', () => {
  const groups = CALLS.map(({ path }) => path.split('/').slice(1, 4).join('/'));
  // `…/diff/:key` stands beside `/api/context/versions/:key`, so the last part is what is looked for.
  const missing = [...new Set(groups)].filter((group) => {
    const last = group.split('/').at(-1)!;
    return !page.includes(`/${last}`);
  });
  expect(groups.length).toBeGreaterThan(40);
  expect(missing).toEqual([]);
});
