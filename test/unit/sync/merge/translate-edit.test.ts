/** Edits of a remote that spells things its own way, read in the hub's spelling (P9). */
import { describe, expect, it } from 'vitest';
import type { Json, JsonObject } from '../../../../domain/json.ts';
import type { DocumentSchema } from '../../../../sync/merge/field-types.ts';
import { translateEdit } from '../../../../sync/merge/translate-edit.ts';

const SCHEMA: DocumentSchema = {
  types: {
    '/tags': { type: 'set' },
    '/list': { type: 'map-by-key', fields: ['id'] },
    '/list/*/note': { type: 'text' },
    '/text': { type: 'text' },
  },
};

const translated = (hub: Json, before: Json, now: Json): Json =>
  translateEdit({ base: { hub, remote: before }, remote: now, schema: SCHEMA });

describe('members', () => {
  const hub = { name: 'Alice', note: ' Hi ', kept: 'hub only' };
  const before = { name: 'alice', note: 'hi' };

  it('keep the spelling of the hub where the remote changed nothing', () => {
    expect(translated(hub, before, { ...before })).toEqual(hub);
  });

  it('are taken as they stand where the remote changed them', () => {
    expect(translated(hub, before, { ...before, note: 'hello' })).toEqual({
      ...hub,
      note: 'hello',
    });
  });

  it('are removed where the remote removed them, and added where it added them', () => {
    expect(translated(hub, before, { name: 'alice', more: 1 })).toEqual({
      name: 'Alice',
      kept: 'hub only',
      more: 1,
    });
  });

  it('follow the remote where it gives a member the hub has and it never had', () => {
    expect(translated(hub, before, { ...before, kept: 'seen now' })).toEqual({
      ...hub,
      kept: 'seen now',
    });
  });

  it('tell null from missing, on either side', () => {
    expect(translated({ a: null, b: 1 }, { a: null, b: 2 }, { b: 2 })).toEqual({ b: 1 });
    expect(translated({ a: 1 }, { a: 1 }, { a: null })).toEqual({ a: null });
    expect(translated(null, 'null', 'null')).toBeNull();
    expect(translated({ a: 'X' }, 'x', null)).toBeNull();
  });

  it('are taken whole where the shape changed', () => {
    expect(translated({ a: { b: 'B' } }, { a: { b: 'b' } }, { a: ['b'] })).toEqual({ a: ['b'] });
  });
});

describe('texts', () => {
  it('keep the lines of the hub around an edit of the remote', () => {
    const hub = { text: 'Title  \n\nbody\nend\n' };
    const before = { text: 'Title\n\nbody\nend\n' };
    const now = { text: 'Title\n\nbody\nnew end\n' };
    expect(translated(hub, before, now)).toEqual({ text: 'Title  \n\nbody\nnew end\n' });
  });

  it('take the line of the remote where both spelled it differently and it edited it', () => {
    const edited = translated({ text: 'A \n' }, { text: 'A\n' }, { text: 'B\n' });
    expect(edited).toEqual({ text: 'B\n' });
  });

  it('are taken whole when one of the three is no text, or one is too long to compare', () => {
    expect(translated({ text: 'A' }, { text: 'a' }, { text: 7 })).toEqual({ text: 7 });
    expect(translated({ text: 1 }, { text: 'a' }, { text: 'b' })).toEqual({ text: 'b' });
    expect(translated({ text: 'A' }, { text: 1 }, { text: 'b' })).toEqual({ text: 'b' });
    const long = 'x\n'.repeat(20_001);
    expect(translated({ text: 'A' }, { text: 'a' }, { text: long })).toEqual({ text: long });
  });
});

describe('sets', () => {
  it('are compared by the content of what is no text, too', () => {
    const hub = { tags: [{ b: 1, a: ' X ' }, 'Keep'] };
    const before = { tags: ['keep', { a: 'X', b: 1 }] };
    expect(translated(hub, before, { tags: ['keep'] })).toEqual({ tags: ['Keep'] });
  });

  it('are taken whole when one of the three is none', () => {
    expect(translated({ tags: ['A'] }, { tags: 'a' }, { tags: ['b'] })).toEqual({ tags: ['b'] });
    expect(translated({ tags: 'A' }, { tags: ['a'] }, { tags: ['b'] })).toEqual({ tags: ['b'] });
    expect(translated({ tags: ['A'] }, { tags: ['a'] }, { tags: 'b' })).toEqual({ tags: 'b' });
  });

  it('tell apart elements that are nothing but marks', () => {
    const hub = { tags: ['***', '---', 'Plain'] };
    const before = { tags: ['***', '---', 'plain'] };
    expect(translated(hub, before, { tags: ['---', 'plain'] })).toEqual({
      tags: ['---', 'Plain'],
    });
  });

  it('take the one element left over on each side for the same', () => {
    const hub = { tags: ['kept', 'one thing'] };
    const before = { tags: ['kept', 'quite another'] };
    expect(translated(hub, before, { tags: ['kept'] })).toEqual({ tags: ['kept'] });
    expect(translated(hub, before, { tags: ['kept', 'quite another', 'new'] })).toEqual({
      tags: ['kept', 'new', 'one thing'],
    });
  });

  it('keep what only the hub holds, because the remote cannot', () => {
    const hub = { tags: ['a', 'only here'] };
    expect(translated(hub, { tags: ['a'] }, { tags: ['a', 'b'] })).toEqual({
      tags: ['a', 'b', 'only here'],
    });
  });
});

describe('keyed lists', () => {
  const element = (id: string, note: string): JsonObject => ({ id, note });
  const hub = { list: [element('A', 'One'), element('B', 'Two')] };
  const before = { list: [element('a', 'one'), element('b', 'two')] };

  it('keep the key and the spelling of the hub around an edit of one element', () => {
    const now = { list: [element('a', 'one'), element('b', 'zwei')] };
    expect(translated(hub, before, now)).toEqual({
      list: [element('A', 'One'), element('B', 'zwei')],
    });
  });

  it('lose what the remote removed and gain what it added', () => {
    const now = { list: [element('b', 'two'), element('c', 'three')] };
    expect(translated(hub, before, now)).toEqual({
      list: [element('B', 'Two'), element('c', 'three')],
    });
  });

  it('keep an element the remote never held', () => {
    const more = { list: [...hub.list, element('Only here', 'x')] };
    const now = { list: [...before.list, element('c', 'three')] };
    expect(translated(more, before, now)).toEqual({
      list: [
        element('A', 'One'),
        element('B', 'Two'),
        element('Only here', 'x'),
        element('c', 'three'),
      ],
    });
  });

  it('are taken whole when nobody can say which element was removed', () => {
    const ours = { list: [element('one', ''), element('two', '')] };
    const theirs = { list: [element('eins', ''), element('zwei', '')] };
    const now = { list: [element('zwei', '')] };
    expect(translated(ours, theirs, now)).toEqual(now);
  });

  it('are taken whole when one of the three is no keyed list', () => {
    const plain = { list: ['a'] };
    expect(translated(hub, before, plain)).toEqual(plain);
    expect(translated(hub, plain, before)).toEqual(before);
    expect(translated(plain, before, { list: [] })).toEqual({ list: [] });
  });
});
