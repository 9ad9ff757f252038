import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { errorDocs } from '../../../dev/generate-error-docs.ts';
import { ERROR_CODES } from '../../../domain/errors.ts';

it('docs/errors.md is what dev/generate-error-docs.ts writes', () => {
  const written = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8');
  expect(written).toBe(errorDocs());
});

it('every code has a section of its own', () => {
  const sections = [...errorDocs().matchAll(/^## (.+)$/gm)].map((match) => match[1]);
  expect(sections).toEqual(Object.keys(ERROR_CODES));
});
