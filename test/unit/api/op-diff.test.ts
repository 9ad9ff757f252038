import { expect, it } from 'vitest';
import { withDiff } from '../../../api/routes/plans.ts';
import type { RunOp } from '../../../store/contract.ts';

const OP: RunOp = {
  op: 'update',
  side: 'hub',
  key: 'p/a',
  reason: 'remote changed',
  state: 'planned',
  before: { a: 1 },
  after: { a: 2 },
};

it('an op has what it changes, unless a side is too large to be read or was cut', () => {
  const diff = [{ op: 'replace', path: '/a', value: 2 }];
  expect(withDiff(OP)).toEqual({ ...OP, diff });
  const large = { ...OP, after: { a: 'x'.repeat(64 * 1024) } };
  expect(withDiff(large)).toBe(large);
  const cut: RunOp = { ...OP, before: null, after: null, isCut: true };
  expect(withDiff(cut)).toBe(cut);
});
