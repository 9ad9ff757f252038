/** Items as links merge them, with remotes that respell what they are sent (P9). */
import { describe, expect, it } from 'vitest';
import type { Json, JsonObject } from '../../../domain/json.ts';
import type { MergeRequest, MergeResult, SyncPolicy } from '../../../sync/contract.ts';
import { mergeItem, translateRemote } from '../../../sync/merge-item.ts';

const POLICY: SyncPolicy = {
  direction: 'both',
  strategy: 'three-way',
  strategies: [],
  editVersusDelete: 'edit',
  propagateExpiry: false,
};
const NO_STAMPS = { hubMs: null, remoteMs: null };

function memory(observations: string[], more: JsonObject = {}): JsonObject {
  return { name: 'Style', type: 'section', observations, relations: [], ...more };
}

/** A remote that trims, lowers the case, and sorts its own way. */
function respelled(item: JsonObject): JsonObject {
  const texts = (item['observations'] as string[]).map((text) => text.trim().toLowerCase());
  return { ...item, observations: [...new Set(texts)].sort().reverse() };
}

function merge(request: Partial<MergeRequest> & Pick<MergeRequest, 'hub' | 'remote'>): MergeResult {
  return mergeItem({ kind: 'memory', base: null, stamps: NO_STAMPS, policy: POLICY, ...request });
}

describe('a memory both sides changed', () => {
  const base = memory(['a', 'b'], { relations: [{ to: 'X', type: 'uses' }] });

  it('unites observations and relations', () => {
    const hub = memory(['a', 'b', 'c'], { relations: [{ to: 'X', type: 'uses' }] });
    const remote = memory(['b'], {
      relations: [
        { to: 'A', type: 'uses' },
        { to: 'X', type: 'uses' },
      ],
    });
    expect(merge({ base: { hub: base, remote: base }, hub, remote })).toEqual({
      status: 'merged',
      value: memory(['b', 'c'], {
        relations: [
          { to: 'A', type: 'uses' },
          { to: 'X', type: 'uses' },
        ],
      }),
      changesHub: true,
      changesRemote: true,
    });
  });

  it('is a conflict where both set another type, with the rest merged in the proposal', () => {
    const result = merge({
      base: { hub: base, remote: base },
      hub: { ...base, type: 'person', observations: ['a', 'b', 'h'] },
      remote: { ...base, type: 'place', observations: ['a', 'b', 'r'] },
    });
    expect(result).toEqual({
      status: 'conflict',
      reason: 'edit/edit',
      pointers: ['/type'],
      proposal: { ...base, observations: ['a', 'b', 'h', 'r'] },
    });
  });

  it('says create/create when they never agreed', () => {
    const result = merge({ hub: { ...base, type: 'a' }, remote: { ...base, type: 'b' } });
    expect(result).toMatchObject({ status: 'conflict', reason: 'create/create' });
  });

  it('lets the default type give way at first sight', () => {
    const result = merge({ hub: memory(['a']), remote: memory(['a'], { type: 'person' }) });
    expect(result).toMatchObject({
      value: { type: 'person' },
      changesHub: true,
      changesRemote: false,
    });
  });

  it('obeys a rule for a part of it', () => {
    const policy: SyncPolicy = {
      ...POLICY,
      strategies: [{ kind: 'memory', pointer: '/type', strategy: 'prefer-remote' }],
    };
    const result = merge({
      base: { hub: base, remote: base },
      hub: { ...base, type: 'a' },
      remote: { ...base, type: 'b' },
      policy,
    });
    expect(result).toMatchObject({ status: 'merged', value: { type: 'b' }, changesRemote: false });
  });

  it('writes nothing for another order alone', () => {
    const result = merge({ hub: memory(['b', 'a']), remote: memory(['a', 'b']) });
    expect(result).toMatchObject({ status: 'merged', changesHub: false, changesRemote: false });
    expect(result).toMatchObject({ value: memory(['b', 'a']) });
  });
});

describe('a document both sides changed', () => {
  const document = (text: string, frontmatter: JsonObject = {}): JsonObject => ({
    path: 'AGENTS.md',
    frontmatter,
    text,
  });

  it('merges text by line and frontmatter by member', () => {
    const base = document('a\nb\nc\n', { x: 1 });
    const result = merge({
      kind: 'document',
      base: { hub: base, remote: base },
      hub: document('A\nb\nc\n', { x: 1, y: 1 }),
      remote: document('a\nb\nC\n', { x: 2 }),
    });
    expect(result).toMatchObject({
      status: 'merged',
      value: document('A\nb\nC\n', { x: 2, y: 1 }),
    });
  });
});

describe('a remote that respells what it is sent', () => {
  const hub = memory([' Tabs ', 'Use Postgres', 'plain']);
  const base = { hub, remote: respelled(hub) };

  it('is not taken for one that edited', () => {
    expect(translateRemote('memory', base, base.remote)).toEqual(hub);
  });

  it('keeps the spelling of the hub around an edit of the remote', () => {
    const remote = memory(['tabs', 'use postgres', 'plain', 'new on the remote']);
    expect(translateRemote('memory', base, remote)).toEqual(
      memory([' Tabs ', 'Use Postgres', 'new on the remote', 'plain']),
    );
  });

  it('passes on what it deleted and what it changed, by the spelling of the hub', () => {
    const remote = memory(['plain', 'use postgres 16']);
    expect(translateRemote('memory', base, remote)).toEqual(memory(['plain', 'use postgres 16']));
    expect(translateRemote('memory', base, memory(['tabs', 'plain']))).toEqual(
      memory([' Tabs ', 'plain']),
    );
  });

  it('removes both spellings the remote had made one of', () => {
    const two = memory(['Foo', 'foo']);
    const edited = translateRemote('memory', { hub: two, remote: memory(['foo']) }, memory([]));
    expect(edited).toEqual(memory([]));
  });

  it('takes the list of the remote as it is when nobody can say what it deleted', () => {
    const ours = memory(['one', 'two']);
    const theirs = memory(['eins', 'zwei']);
    const edited = translateRemote('memory', { hub: ours, remote: theirs }, memory(['zwei']));
    expect(edited).toEqual(memory(['zwei']));
  });

  it('does not guess which of two alike spellings was deleted', () => {
    // Both found by the normalising-remote property: a remote that makes bullets of everything.
    const cased = { hub: memory(['- A b', '- a b', 'a b']), remote: memory(['- A b', '- a b']) };
    expect(translateRemote('memory', cased, memory([]))).toEqual(memory([]));
    const spaced = { hub: memory([' A', '- A', 'A']), remote: memory(['-  A', '- A']) };
    expect(translateRemote('memory', spaced, memory(['-  A']))).toEqual(memory(['-  A']));
  });

  it('keeps the hub spelling of relations it lowers the case of', () => {
    const relations = (to: string): JsonObject => ({ relations: [{ to, type: 'uses' }] });
    const before = { hub: memory([], relations('Node')), remote: memory([], relations('node')) };
    const edited = memory(['new'], relations('node'));
    expect(translateRemote('memory', before, edited)).toEqual(memory(['new'], relations('Node')));
    expect(translateRemote('memory', before, memory([]))).toEqual(memory([]));
  });

  it('does not write to it again for its own spelling', () => {
    const edited = memory([' Tabs ', 'Use Postgres', 'plain', 'From the hub']);
    const remote = memory(['tabs', 'use postgres', 'plain', 'from the remote']);
    const first = merge({ base, hub: edited, remote });
    expect(first).toEqual({
      status: 'merged',
      value: memory([' Tabs ', 'From the hub', 'Use Postgres', 'from the remote', 'plain']),
      changesHub: true,
      changesRemote: true,
    });
    if (first.status !== 'merged') return;
    const written = respelled(first.value as JsonObject);
    const settled = { hub: first.value, remote: written };
    expect(translateRemote('memory', settled, written)).toEqual(first.value);
    expect(merge({ base: settled, hub: first.value, remote: written })).toEqual({
      status: 'merged',
      value: first.value,
      changesHub: false,
      changesRemote: false,
    });
  });

  it('sees a scalar it respelled as unchanged, and one it edited as edited', () => {
    const before = { hub: memory([], { type: 'Person' }), remote: memory([], { type: 'person' }) };
    const result = merge({
      base: before,
      hub: memory(['new'], { type: 'Person' }),
      remote: memory(['other'], { type: 'person' }),
    });
    expect(result).toMatchObject({ status: 'merged', value: { type: 'Person' } });
    expect(translateRemote('memory', before, memory([], { type: 'place' }))).toEqual(
      memory([], { type: 'place' }),
    );
  });
});

describe('a memory both sides renamed', () => {
  it('is a move when only the name is contested', () => {
    const base = memory(['a']);
    const result = merge({
      base: { hub: base, remote: base },
      hub: memory(['a'], { name: 'Hub' }),
      remote: memory(['a'], { name: 'Remote' }),
    });
    expect(result).toMatchObject({ status: 'conflict', reason: 'move', pointers: ['/name'] });
  });

  it('is an edit of both when more than the name is contested', () => {
    const base = memory(['a']);
    const result = merge({
      base: { hub: base, remote: base },
      hub: memory(['a'], { name: 'Hub', type: 'x' }),
      remote: memory(['a'], { name: 'Remote', type: 'y' }),
    });
    expect(result).toMatchObject({ reason: 'edit/edit', pointers: ['/name', '/type'] });
  });
});

describe('a document', () => {
  const page = (path: string, text: string): JsonObject => ({ path, text });

  it('is a move when both renamed it', () => {
    const base = page('a.md', 'x\n');
    const result = merge({
      kind: 'document',
      base: { hub: base, remote: base },
      hub: page('hub.md', 'x\n'),
      remote: page('remote.md', 'x\n'),
    });
    expect(result).toMatchObject({ status: 'conflict', reason: 'move', pointers: ['/path'] });
  });
});

describe('an item of a kind without a schema', () => {
  const kind = 'note';
  const merged = (base: Json, hub: Json, remote: Json): MergeResult =>
    merge({ kind, base: { hub: base, remote: base }, hub, remote });

  it('merges by member, with every array one value', () => {
    expect(merged({ a: 1, b: [1] }, { a: 2, b: [1] }, { a: 1, b: [1, 2] })).toMatchObject({
      status: 'merged',
      value: { a: 2, b: [1, 2] },
    });
  });

  it('says what its places have in common, else that both edited it', () => {
    expect(merged({ a: 1, b: 1 }, { a: 2 }, { a: 1, b: 2 })).toMatchObject({
      reason: 'edit/delete',
      pointers: ['/b'],
    });
    expect(merged({ a: 1, b: 1 }, { a: [], b: 2 }, { a: 2, b: 3 })).toMatchObject({
      reason: 'edit/edit',
      pointers: ['/a', '/b'],
    });
    // Both created a member of an item that was there before.
    expect(merged({}, { a: 1 }, { a: 2 })).toMatchObject({ reason: 'edit/edit' });
  });

  it('takes null for a value: against an edit it is a conflict, against nothing an edit', () => {
    expect(merged(1, null, 2)).toMatchObject({ status: 'conflict', pointers: [''] });
    expect(merged(1, null, 1)).toMatchObject({ status: 'merged', value: null });
  });
});
