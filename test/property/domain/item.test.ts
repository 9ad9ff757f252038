import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import {
  agreedKind,
  canonicalMemory,
  itemKey,
  itemName,
  memorySchema,
  type ItemKind,
} from '../../../domain/item.ts';
import type { Json } from '../../../domain/json.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 8 });
const relation = fc.record({ to: text, type: text });
const memory = fc.record({
  name: text,
  type: text,
  observations: fc.array(text, { maxLength: 8 }),
  relations: fc.array(relation, { maxLength: 8 }),
});
const item = fc.record({
  kind: fc.constantFrom<ItemKind>('memory', 'document'),
  name: fc.oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
    fc.string({ unit: fc.constantFrom(...'aA/ -files'), minLength: 1 }),
    fc.constantFrom('files/a', 'files', '/', 'files/files/a'),
  ),
});

describe('the key of an item', () => {
  it('is shared by no two items, of one kind or of two', () => {
    fc.assert(
      fc.property(item, item, text, (one, other, prefix) => {
        const isSame = one.kind === other.kind && one.name === other.name;
        const same =
          itemKey(prefix, one.kind, one.name) === itemKey(prefix, other.kind, other.name);
        expect(same).toBe(isSame);
      }),
      { numRuns: 2000 },
    );
  });

  it('starts with the prefix of its link', () => {
    fc.assert(
      fc.property(item, text, ({ kind, name }, prefix) => {
        expect(itemKey(prefix, kind, name).startsWith(prefix)).toBe(true);
      }),
    );
  });
});

describe('the kind two sides agree on', () => {
  const kind = fc.constantFrom('json', 'memory', 'document', 'note', 'plan');
  const changed = fc.constantFrom('hub' as const, 'remote' as const, 'both' as const);
  const mirrored = { hub: 'remote', remote: 'hub', both: 'both' } as const;

  it('is the same seen from either end, and one of the two', () => {
    fc.assert(
      fc.property(kind, kind, changed, (hub, remote, by) => {
        const agreed = agreedKind({ hub, remote }, by);
        expect(agreedKind({ hub: remote, remote: hub }, mirrored[by])).toBe(agreed);
        expect([hub, remote]).toContain(agreed);
      }),
    );
  });

  it('is never the default where somebody chose one, else what the changed side says', () => {
    fc.assert(
      fc.property(kind, kind, (hub, remote) => {
        const agreed = agreedKind({ hub, remote }, 'remote');
        if (remote !== 'json') expect(agreed).toBe(remote);
        else expect(agreed).toBe(hub);
      }),
    );
  });
});

describe('a canonical memory', () => {
  it('stays as it is when made canonical again', () => {
    fc.assert(
      fc.property(memory, (given) => {
        const once = canonicalMemory(given);
        expect(canonicalMemory(once)).toEqual(once);
      }),
    );
  });

  it('is the same whatever the order and doubling of what was given', () => {
    const given = memory.chain((one) =>
      fc.record({
        one: fc.constant(one),
        observations: fc.shuffledSubarray([...one.observations, ...one.observations], {
          minLength: 2 * one.observations.length,
        }),
        relations: fc.shuffledSubarray([...one.relations, ...one.relations], {
          minLength: 2 * one.relations.length,
        }),
      }),
    );
    fc.assert(
      fc.property(given, ({ one, observations, relations }) => {
        expect(canonicalMemory({ ...one, observations, relations })).toEqual(canonicalMemory(one));
      }),
    );
  });

  it('holds what was given and nothing else', () => {
    fc.assert(
      fc.property(memory, (given) => {
        const made = canonicalMemory(given);
        expect(new Set(made.observations)).toEqual(new Set(given.observations));
        const pairs = (of: typeof given) =>
          new Set(of.relations.map((r) => JSON.stringify([r.to, r.type])));
        expect(pairs(made)).toEqual(pairs(given));
        expect(made.observations).toEqual([...new Set(made.observations)].sort());
        expect(made.relations).toHaveLength(pairs(made).size);
      }),
    );
  });

  it('does not change what it was given', () => {
    fc.assert(
      fc.property(memory, (given) => {
        const before = structuredClone(given);
        canonicalMemory(given);
        expect(given).toEqual(before);
      }),
    );
  });
});

describe('the name of an item', () => {
  it('is told for whatever fits the schema, and for nothing that has none', () => {
    fc.assert(
      fc.property(memory, fc.jsonValue(), (given, other) => {
        if (memorySchema.safeParse(given).success)
          expect(itemName('memory', given)).toBe(given.name);
        const name = itemName('document', other as Json);
        expect(name === null || name.length > 0).toBe(true);
      }),
    );
  });
});
