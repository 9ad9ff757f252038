import { expect, it } from 'vitest';
import {
  applyChecked,
  checkEntry,
  checkPage,
  standInFor,
} from '../../../connectors/check-answers.ts';
import { createFakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { asRemoteId } from '../../../domain/item.ts';

const present = (id: string, version = 'v1') =>
  ({ status: 'present', remoteId: asRemoteId(id), kind: 'memory', version, value: {} }) as const;

it('gives no two ids the same stand-in, and each the same one every time', () => {
  const ids = ['L\ud800', 'L\ud801', 'L\ufffd', 'L\u0000', 'x'.repeat(5000), 'x'.repeat(5001)];
  const made = ids.map((id) => standInFor(asRemoteId(id)));
  expect(new Set(made).size).toBe(ids.length);
  expect(made).toEqual(ids.map((id) => standInFor(asRemoteId(id))));
  for (const id of made) expect(checkEntry(present(id)).status).toBe('present');
});

it('leaves what can be recorded as it is, to the very object', () => {
  const entry = present('Alice');
  expect(checkEntry(entry)).toBe(entry);
});

it('sets aside an item whose version cannot be kept, under its own id', () => {
  expect(checkEntry(present('Alice', 'v\u0000'))).toMatchObject({
    status: 'faulty',
    remoteId: 'Alice',
    code: 'REMOTE_MALFORMED',
  });
});

it('refuses a listing whose cursor cannot be kept', () => {
  const page = { mode: 'scan', entries: [], nextPage: null, cursor: 'c\u0000' } as const;
  expect(() => checkPage({ ...page, isComplete: true })).toThrow(
    expect.objectContaining({ code: 'REMOTE_MALFORMED' }),
  );
});

it('refuses to write a name nobody could record, and writes the others, in order', async () => {
  const remote = createFakeRemote({ grade: 'C' });
  const create = (opId: string, name: string) => ({
    opId,
    action: 'create' as const,
    kind: 'memory',
    remoteId: asRemoteId(name),
    value: { name, type: 't', observations: [], relations: [] },
    expectedVersion: null,
  });
  const connector = remote.connect() as never;
  const ops = [create('1', 'a\u0000'), create('2', 'Good'), create('3', 'x'.repeat(3000))];
  const outcomes = await applyChecked(connector, ops);
  expect(outcomes).toMatchObject([
    { opId: '1', status: 'failed', code: 'ITEM_INVALID', isRetryable: false },
    { opId: '2', status: 'applied' },
    { opId: '3', status: 'failed', code: 'ITEM_INVALID' },
  ]);
  expect(remote.all().map(({ remoteId }) => remoteId)).toEqual(['Good']);
});
