import { describe, expect, it } from 'vitest';
import { hashJson } from '../../../../domain/hash.ts';
import { memberOf, type Json, type JsonObject } from '../../../../domain/json.ts';
import type { Strategy } from '../../../../domain/link.ts';
import type { Stamps } from '../../../../sync/contract.ts';
import type { DocumentSchema } from '../../../../sync/merge/field-types.ts';
import { mergeDocuments, type MergedDocument } from '../../../../sync/merge/merge-documents.ts';

const SCHEMA: DocumentSchema = {
  types: {
    '/tags': { type: 'set' },
    '/list': { type: 'map-by-key', fields: ['id'] },
    '/pairs': { type: 'map-by-key', fields: ['to', 'type'] },
    '/log': { type: 'append-log' },
    '/text': { type: 'text' },
  },
  weakDefaults: { '/kind': 'section' },
};

interface Sides {
  readonly base?: Json;
  readonly hub: Json;
  readonly remote: Json;
}

function merge(
  sides: Sides,
  strategy: Strategy = 'three-way',
  stamps: Stamps = { hubMs: null, remoteMs: null },
): MergedDocument {
  const { base, hub, remote } = sides;
  return mergeDocuments({ base, hub, remote, schema: SCHEMA, strategyAt: () => strategy, stamps });
}

const pointers = ({ conflicts }: MergedDocument): string[] =>
  conflicts.map(({ pointer, reason }) => `${pointer} ${reason}`);

describe('objects and scalars', () => {
  it('merges edits of different members', () => {
    const merged = merge({ base: { a: 1, b: 1 }, hub: { a: 2, b: 1 }, remote: { a: 1, b: 2 } });
    expect(merged).toEqual({ value: { a: 2, b: 2 }, conflicts: [] });
  });

  it('tells missing from null', () => {
    const merged = merge({ base: { a: 1, b: 1 }, hub: { a: null, b: 1 }, remote: { a: 1 } });
    expect(merged).toEqual({ value: { a: null }, conflicts: [] });
  });

  it('takes null for a value like any other, whichever side has it', () => {
    // Found by the swap law.
    const [one, other] = [merge({ hub: null, remote: {} }), merge({ hub: {}, remote: null })];
    expect(one.value).toEqual(other.value);
    expect(merge({ hub: null, remote: {} }, 'prefer-hub').value).toBeNull();
  });

  it('keeps the base at a contested place and lists all places in document order', () => {
    const merged = merge({
      base: { b: 1, a: { z: 1, c: 1 }, n: 1 },
      hub: { b: 2, a: { z: 2, c: 2 }, n: 2 },
      remote: { b: 3, a: { z: 3, c: 3 }, n: 1 },
    });
    expect(merged.value).toEqual({ a: { c: 1, z: 1 }, b: 1, n: 2 });
    expect(pointers(merged)).toEqual(['/a/c edit/edit', '/a/z edit/edit', '/b edit/edit']);
    expect(merged.conflicts[2]).toEqual({
      pointer: '/b',
      reason: 'edit/edit',
      base: 1,
      hub: 2,
      remote: 3,
    });
  });

  it('keeps the edit where the other side deleted, and names one place for a whole subtree', () => {
    const merged = merge({ base: { a: { x: 1 } }, hub: {}, remote: { a: { x: 2 } } });
    expect(merged.value).toEqual({ a: { x: 2 } });
    expect(pointers(merged)).toEqual(['/a edit/delete']);
    const toNull = merge({ base: { a: 1 }, hub: { a: null }, remote: {} });
    expect(toNull.value).toEqual({ a: null });
  });

  it('makes one conflict at the outermost place of a changed type against an edit', () => {
    const merged = merge({
      base: { a: { x: 1, y: 1 } },
      hub: { a: 'flat' },
      remote: { a: { x: 2, y: 2 } },
    });
    expect(merged.value).toEqual({ a: { x: 1, y: 1 } });
    expect(pointers(merged)).toEqual(['/a type']);
  });

  it('merges an object both created by key, and leaves an object without keys', () => {
    const created = merge({ base: {}, hub: { a: { x: 1 } }, remote: { a: { y: 1 } } });
    expect(created).toEqual({ value: { a: { x: 1, y: 1 } }, conflicts: [] });
    const emptied = merge({
      base: { a: { x: 1, y: 1 } },
      hub: { a: { x: 1 } },
      remote: { a: { y: 1 } },
    });
    expect(emptied).toEqual({ value: { a: {} }, conflicts: [] });
  });

  it('sees through member order and -0, at nothing else', () => {
    expect(merge({ base: { a: 1 }, hub: { a: 0 }, remote: { a: -0 } }).conflicts).toEqual([]);
    expect(merge({ base: {}, hub: { a: '1' }, remote: { a: 1 } }).conflicts).toHaveLength(1);
    expect(merge({ base: {}, hub: { a: 'é' }, remote: { a: 'e\u0301' } }).conflicts).toHaveLength(
      1,
    );
  });

  it('treats __proto__ as an ordinary key', () => {
    const parse = (text: string): JsonObject => JSON.parse(text) as JsonObject;
    const merged = merge({
      base: parse('{"__proto__":{"a":1}}'),
      hub: parse('{"__proto__":{"a":1,"b":2},"constructor":1}'),
      remote: parse('{"__proto__":{"a":3}}'),
    });
    expect(memberOf(merged.value as JsonObject, '__proto__')).toEqual({ a: 3, b: 2 });
    expect(Object.getPrototypeOf(merged.value)).toBe(Object.prototype);
    expect(merged.conflicts).toEqual([]);
  });

  it('escapes pointers', () => {
    const merged = merge({ base: {}, hub: { 'a/b~c': 1 }, remote: { 'a/b~c': 2 } });
    expect(pointers(merged)).toEqual(['/a~1b~0c create/create']);
  });

  it('takes an undeclared array as one value', () => {
    const merged = merge({ base: { x: [1] }, hub: { x: [1, 2] }, remote: { x: [1, 3] } });
    expect(merged.value).toEqual({ x: [1] });
    expect(pointers(merged)).toEqual(['/x edit/edit']);
  });
});

describe('typed arrays and texts', () => {
  it('merges sets, whatever their order, into one order', () => {
    const merged = merge({
      base: { tags: ['c', 'b', 'a'] },
      hub: { tags: ['d', 'a', 'b'] },
      remote: { tags: ['a', 'c', 'b', 'e', 'a'] },
    });
    expect(merged).toEqual({ value: { tags: ['a', 'b', 'd', 'e'] }, conflicts: [] });
  });

  it('merges keyed lists by one key and by several', () => {
    const merged = merge({
      base: {
        list: [
          { id: 1, v: 1 },
          { id: 2, v: 1 },
        ],
        pairs: [{ to: 'a', type: 'b/c', n: 1 }],
      },
      hub: {
        list: [
          { id: 2, v: 2 },
          { id: 1, v: 1 },
        ],
        pairs: [{ to: 'a', type: 'b/c', n: 2 }],
      },
      remote: { list: [{ id: 2, v: 3 }, { id: 3 }], pairs: [{ to: 'a', type: 'b/c', n: 3 }] },
    });
    expect(merged.value).toEqual({
      list: [{ id: 2, v: 1 }, { id: 3 }],
      pairs: [{ to: 'a', type: 'b/c', n: 1 }],
    });
    expect(pointers(merged)).toEqual([
      '/list/[id=2]/v edit/edit',
      '/pairs/[to=a,type=b~1c]/n edit/edit',
    ]);
  });

  it('conflicts on an element one side deleted and the other edited, and keeps the edit', () => {
    const merged = merge({
      base: { list: [{ id: 1, v: 1 }] },
      hub: { list: [] },
      remote: { list: [{ id: 1, v: 2 }] },
    });
    expect(merged.value).toEqual({ list: [{ id: 1, v: 2 }] });
    expect(pointers(merged)).toEqual(['/list/[id=1] edit/delete']);
  });

  it.each([
    ['a missing key', [{ id: 1 }, { v: 1 }]],
    ['a doubled key', [{ id: 1 }, { id: 1 }]],
    ['an element that is no object', [{ id: 1 }, 'x']],
  ])('takes a keyed list with %s as one value', (_, list) => {
    const sides = { base: { list: [{ id: 1 }] }, hub: { list }, remote: { list: [{ id: 2 }] } };
    expect(pointers(merge(sides))).toEqual(['/list edit/edit']);
  });

  it('falls back to the ordinary rules where the data does not fit the type', () => {
    const merged = merge({
      base: { tags: {} },
      hub: { tags: { a: 1 } },
      remote: { tags: { b: 1 } },
    });
    expect(merged).toEqual({ value: { tags: { a: 1, b: 1 } }, conflicts: [] });
    expect(pointers(merge({ base: {}, hub: { text: 1 }, remote: { text: 2 } }))).toHaveLength(1);
  });

  it('appends what both logs added, counting once what both added alike', () => {
    const base = { log: ['a', 'b'] };
    const hub = { log: ['a', 'b', 's', 'x'] };
    const remote = { log: ['a', 'b', 's', 'y', 'x'] };
    const merged = merge({ base, hub, remote });
    expect(merged).toEqual({ value: { log: ['a', 'b', 's', 'x', 'y'] }, conflicts: [] });
    expect(merge({ base, hub: remote, remote: hub })).toEqual(merged);
  });

  it('conflicts on rewritten history only if the other side changed too', () => {
    const base = { log: ['a', 'b'] };
    const rewritten = merge({ base, hub: { log: ['b'] }, remote: base });
    expect(rewritten).toEqual({ value: { log: ['b'] }, conflicts: [] });
    const both = merge({ base, hub: { log: ['b'] }, remote: { log: ['a', 'b', 'c'] } });
    expect(both.value).toEqual(base);
    expect(pointers(both)).toEqual(['/log edit/edit']);
  });

  it('merges texts by line and keeps the clean lines in the proposal', () => {
    const base = { text: 'a\nb\nc\nd\ne\n' };
    const hub = { text: 'A\nb\nc\nd\nhub\n' };
    const remote = { text: 'a\nb\nC\nd\nremote\n' };
    const merged = merge({ base, hub, remote });
    expect(merged.value).toEqual({ text: 'A\nb\nC\nd\ne\n' });
    expect(pointers(merged)).toEqual(['/text edit/edit']);
    expect(merge({ base, hub, remote }, 'prefer-remote').value).toEqual({
      text: 'A\nb\nC\nd\nremote\n',
    });
  });
});

describe('without a base', () => {
  it('merges objects by key, unites sets and keyed lists, conflicts on scalars', () => {
    const merged = merge({
      hub: { a: 1, o: { x: 1 }, tags: ['b'], list: [{ id: 1, v: 1 }], s: 'hub' },
      remote: { b: 1, o: { y: 1 }, tags: ['a'], list: [{ id: 1, w: 1 }], s: 'remote' },
    });
    const [smaller] = ['hub', 'remote'].sort((a, b) => (hashJson(a) < hashJson(b) ? -1 : 1));
    expect(merged.value).toEqual({
      a: 1,
      b: 1,
      o: { x: 1, y: 1 },
      tags: ['a', 'b'],
      list: [{ id: 1, v: 1, w: 1 }],
      s: smaller,
    });
    expect(pointers(merged)).toEqual(['/s create/create']);
  });

  it('lets a weak default give way, on either side, but not when there is a base', () => {
    const weak = { kind: 'section' };
    const strong = { kind: 'person' };
    expect(merge({ hub: weak, remote: strong })).toEqual({ value: strong, conflicts: [] });
    expect(merge({ hub: strong, remote: weak })).toEqual({ value: strong, conflicts: [] });
    expect(merge({ hub: weak, remote: strong }, 'prefer-hub').value).toEqual(strong);
    const known = merge({ base: { kind: 'x' }, hub: weak, remote: strong });
    expect(pointers(known)).toEqual(['/kind edit/edit']);
  });
});

describe('strategies', () => {
  const base = { contested: 0, hubOnly: 0, remoteOnly: 0, gone: 0, tags: ['a', 'b'] };
  const hub = { contested: 1, hubOnly: 1, remoteOnly: 0, tags: ['a', 'h'] };
  const remote = { contested: 2, hubOnly: 0, remoteOnly: 2, gone: 0, tags: ['a', 'b', 'r'] };
  const clean = { hubOnly: 1, remoteOnly: 2, tags: ['a', 'h', 'r'] };

  it.each([
    ['prefer-hub', { ...clean, contested: 1 }],
    ['prefer-remote', { ...clean, contested: 2 }],
    ['latest', { ...clean, contested: 2 }],
    ['union', { ...clean, contested: 2, gone: 0, tags: ['a', 'b', 'h', 'r'] }],
    ['intersection', { ...clean, contested: 2, tags: ['a'] }],
  ] as const)('%s decides what is contested and keeps what is clean', (strategy, expected) => {
    const merged = merge({ base, hub, remote }, strategy, { hubMs: 1, remoteMs: 2 });
    expect(merged).toEqual({ value: expected, conflicts: [] });
  });

  it('manual leaves every difference to a person, and proposes the three-way merge', () => {
    const merged = merge({ base, hub, remote }, 'manual');
    expect(pointers(merged).map((line) => line.split(' ')[0])).toEqual([
      '/contested',
      '/gone',
      '/hubOnly',
      '/remoteOnly',
      '/tags',
    ]);
    expect(merged.value).toEqual({ ...clean, contested: 0 });
  });

  it('latest goes by the later stamp, an unknown one loses, a tie goes to the larger hash', () => {
    const sides = { base: { a: 0 }, hub: { a: 1 }, remote: { a: 2 } };
    const byHash = hashJson(1) > hashJson(2) ? 1 : 2;
    const latest = (hubMs: number | null, remoteMs: number | null): Json =>
      merge(sides, 'latest', { hubMs, remoteMs }).value;
    expect(latest(2, 1)).toEqual({ a: 1 });
    expect(latest(1, 2)).toEqual({ a: 2 });
    expect(latest(1, null)).toEqual({ a: 1 });
    expect(latest(null, -1)).toEqual({ a: 2 });
    expect(latest(5, 5)).toEqual({ a: byHash });
    expect(latest(null, null)).toEqual({ a: byHash });
  });

  it('intersection and union need no base', () => {
    const sides = { hub: { a: 1, b: 1, tags: ['x', 'y'] }, remote: { b: 1, c: 1, tags: ['y'] } };
    expect(merge(sides, 'intersection').value).toEqual({ b: 1, tags: ['y'] });
    expect(merge(sides, 'union').value).toEqual({ a: 1, b: 1, c: 1, tags: ['x', 'y'] });
  });

  it('holds from its pointer down only', () => {
    const merged = mergeDocuments({
      base: { a: { x: 0 }, b: 0 },
      hub: { a: { x: 1 }, b: 1 },
      remote: { a: { x: 2 }, b: 2 },
      schema: SCHEMA,
      strategyAt: (pointer) => (pointer.startsWith('/a') ? 'prefer-remote' : 'three-way'),
      stamps: { hubMs: null, remoteMs: null },
    });
    expect(merged.value).toEqual({ a: { x: 2 }, b: 0 });
    expect(pointers(merged)).toEqual(['/b edit/edit']);
  });
});

describe('hostile documents', () => {
  const nested = (depth: number, leaf: Json): Json =>
    Array.from({ length: depth }).reduce<Json>(
      (inner, _, at) => (at % 2 ? { a: inner } : { a: inner, b: [] }),
      leaf,
    );

  it('merges documents of a thousand nested containers', { timeout: 2_000 }, () => {
    const merged = merge({ base: nested(1000, 1), hub: nested(1000, 2), remote: nested(1000, 3) });
    expect(merged.conflicts).toHaveLength(1);
  });

  // That the work grows with the elements and not with their pairs is counted in merge-set.test.ts.
  it('merges sets of many thousand elements', () => {
    const set = (mark: string): Json => ({
      tags: Array.from({ length: 20_000 }, (_, at) => (at % 5 ? `${at}` : `${at}${mark}`)),
    });
    const merged = merge({ base: set('b'), hub: set('h'), remote: set('r') });
    expect((merged.value as { tags: Json[] }).tags).toHaveLength(24_000);
  });

  it('contests a text over the caps as a whole', () => {
    const long = (mark: string): Json => ({ text: `x\n`.repeat(20_001) + mark });
    const merged = merge({ base: long(''), hub: long('h'), remote: long('r') });
    expect(pointers(merged)).toEqual(['/text edit/edit']);
    expect(merged.value).toEqual(long(''));
  });
});
