import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RemoteOp } from '../../../../connectors/connector.ts';
import { editMemories } from '../../../../connectors/files/edit-memories.ts';
import { createBlockParser } from '../../../../connectors/files/markdown/parse-blocks.ts';
import { createEntryCache } from '../../../../connectors/files/entry-cache.ts';
import {
  memorySteps,
  readMemories,
  type MemoryFile,
  type MemoryMapping,
} from '../../../../connectors/files/memories.ts';
import { inSlices } from '../../../../connectors/files/steps.ts';
import { asRemoteId, canonicalMemory, type Memory } from '../../../../domain/item.ts';
import { anyText, markdown, someText } from './markdown-arbitraries.ts';

const mapping = (blocks: 'all' | 'bullets' = 'all'): MemoryMapping => ({
  blocks,
  namePrefix: '',
  isTaken: () => false,
  parse: createBlockParser(),
});

const relations = fc.array(fc.record({ to: someText, type: someText }), { maxLength: 2 });
const memories = fc
  .record({
    name: someText,
    type: anyText,
    observations: fc.array(anyText, { maxLength: 4 }),
    relations,
  })
  .map(canonicalMemory);

function opOn(file: MemoryFile, name: string, value: Memory | null): RemoteOp {
  const version = file.entries.get(name)?.version ?? null;
  const action = value === null ? 'delete' : version === null ? 'create' : 'update';
  return {
    opId: name,
    action,
    kind: 'memory',
    remoteId: asRemoteId(name),
    value,
    expectedVersion: version,
  };
}

function itemsOf(file: MemoryFile): readonly Memory[] {
  return [...file.entries.values()].map(({ memory }) => memory);
}

const bodiesOf = (file: MemoryFile): readonly string[] =>
  itemsOf(file).map(({ name: _, ...body }) => JSON.stringify(body));

/** The first list without one of each of the second. */
function without(all: readonly string[], some: readonly string[]): readonly string[] {
  const left = [...all];
  for (const one of some) if (left.includes(one)) left.splice(left.indexOf(one), 1);
  return left;
}

/** Length of what two texts share at their beginning, and then at their end. */
function sharedEnds(a: string, b: string): readonly [head: number, tail: number] {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  const most = Math.min(a.length, b.length) - head;
  let tail = 0;
  while (tail < most && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  return [head, tail];
}

/** A document that can be read, as most can; those that cannot are the business of another test. */
const readable = markdown.filter((text) => {
  try {
    readMemories(text, mapping());
    return true;
  } catch {
    return false;
  }
});

describe('writing items into any document', () => {
  it('reads back exactly the item that was created, whatever it says and wherever it goes', () => {
    fc.assert(
      fc.property(readable, memories, (text, wanted) => {
        const file = readMemories(text, mapping());
        fc.pre(!file.entries.has(wanted.name));
        const hadHeading = file.outline.sections.length > 0;
        const edit = editMemories(file, [opOn(file, wanted.name, wanted)], mapping());
        const [outcome] = edit.outcomes;
        expect(outcome?.status).toBe('applied');
        const read = readMemories(edit.file.source, mapping()).entries.get(wanted.name)?.memory;
        // Under a heading of a person's the type is not written.
        expect(hadHeading ? { ...read, type: wanted.type } : read).toEqual(wanted);
        expect(outcome).toMatchObject({ written: read });
      }),
      { numRuns: 400 },
    );
  });

  it('creates by inserting: the old text is there before and after, byte for byte', () => {
    fc.assert(
      fc.property(readable, memories, (text, wanted) => {
        const file = readMemories(text, mapping());
        fc.pre(!file.entries.has(wanted.name));
        const after = editMemories(file, [opOn(file, wanted.name, wanted)], mapping()).file.source;
        const [head, tail] = sharedEnds(text, after);
        expect(head + tail).toBe(text.length);
      }),
      { numRuns: 300 },
    );
  });

  it('leaves every other item as it was, whatever is done to some', () => {
    fc.assert(
      fc.property(
        readable,
        fc.array(fc.tuple(fc.nat(), fc.option(memories), fc.boolean()), { maxLength: 4 }),
        (text, edits) => {
          const file = readMemories(text, mapping());
          const known = itemsOf(file);
          const ops = edits.map(([pick, value, isRename]) => {
            const item = known[pick % Math.max(1, known.length)];
            if (!item)
              return opOn(
                file,
                value?.name ?? 'x',
                value ?? canonicalMemory({ name: 'x', type: '', observations: [], relations: [] }),
              );
            return opOn(
              file,
              item.name,
              value && { ...value, name: isRename ? value.name : item.name },
            );
          });
          const edit = editMemories(file, ops, mapping());
          const after = readMemories(edit.file.source, mapping());
          const touched = new Set(ops.map((op) => op.remoteId as string));
          const bodies = itemsOf(after).map(({ name: _, ...body }) => JSON.stringify(body));
          for (const { name, ...body } of known) {
            if (!touched.has(name)) expect(bodies).toContain(JSON.stringify(body));
          }
          for (const outcome of edit.outcomes) {
            if (outcome.status !== 'applied' || !outcome.written) continue;
            const { name: _, ...body } = outcome.written;
            expect(bodies).toContain(JSON.stringify(body));
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('takes a deleted item out and nothing else, or refuses and leaves the file alone', () => {
    let refused = 0;
    fc.assert(
      fc.property(readable, fc.nat(), (text, pick) => {
        const file = readMemories(text, mapping());
        const item = itemsOf(file)[pick % Math.max(1, file.entries.size)];
        fc.pre(item !== undefined);
        const edit = editMemories(file, [opOn(file, item.name, null)], mapping());
        if (edit.outcomes[0]?.status === 'failed') {
          // What stands next to it would read differently without it (indented code before `2)`).
          refused += 1;
          expect(edit.file.source).toBe(text);
          return;
        }
        const after = bodiesOf(edit.file);
        const { name: _, ...gone } = item;
        const rest = without(bodiesOf(file), [JSON.stringify(gone)]);
        expect(without(rest, after)).toEqual([]);
        // A heading whose last sub-section went is an item now; it says nothing.
        const nothing = JSON.stringify({ type: 'section', observations: [], relations: [] });
        expect(without(after, rest).filter((body) => body !== nothing)).toEqual([]);
      }),
      { numRuns: 400 },
    );
    expect(refused).toBeLessThan(20);
  });

  it('changes nothing at all when an item is written as it is', () => {
    fc.assert(
      fc.property(readable, fc.constantFrom('all' as const, 'bullets' as const), (text, blocks) => {
        const file = readMemories(text, mapping(blocks));
        const ops = itemsOf(file).map((item) => opOn(file, item.name, item));
        const edit = editMemories(file, ops, mapping(blocks));
        expect(edit.file.source).toBe(text);
        expect(edit.outcomes.every(({ status }) => status === 'applied')).toBe(true);
      }),
      { numRuns: 400 },
    );
  });

  it('touches only the lines of the one observation that is edited', () => {
    fc.assert(
      fc.property(readable, fc.nat(), someText, (text, pick, added) => {
        const file = readMemories(text, mapping());
        const item = itemsOf(file).filter(({ observations }) => observations.length > 0)[pick % 3];
        fc.pre(item !== undefined);
        const [, ...kept] = item.observations;
        const removed = item.observations[0]!;
        fc.pre(!item.observations.includes(added));
        const wanted = canonicalMemory({ ...item, observations: [...kept, added] });
        const edit = editMemories(file, [opOn(file, item.name, wanted)], mapping());
        const isOnce =
          file.entries
            .get(item.name)!
            .stated.filter(
              ({ statement }) => statement.kind === 'observation' && statement.text === removed,
            ).length === 1;
        fc.pre(isOnce && edit.outcomes[0]?.status === 'applied');
        const [head, tail] = sharedEnds(text, edit.file.source);
        const gone = text.slice(head, text.length - tail);
        const block = file.entries
          .get(item.name)!
          .stated.find(
            ({ statement }) => statement.kind === 'observation' && statement.text === removed,
          )!.block;
        expect(gone.length).toBeLessThanOrEqual(block.end - block.start + 8);
      }),
      { numRuns: 300 },
    );
  });
});

describe('what is remembered of a file', () => {
  it('never shows: with it, a file reads and changes as without it, at once or in slices', async () => {
    const edits = fc.array(fc.tuple(fc.nat(), fc.option(memories)), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(readable, edits, async (text, steps) => {
        const how = { ...mapping(), cache: createEntryCache() };
        let source = text;
        for (const [pick, value] of steps) {
          const fresh = readMemories(source, mapping());
          const file = await inSlices(memorySteps(source, how), 0);
          expect(file).toEqual(fresh);
          const known = itemsOf(file)[pick % Math.max(1, file.entries.size)]?.name;
          const name = known ?? value?.name ?? 'x';
          const op = opOn(file, name, value && { ...value, name });
          const plain = editMemories(fresh, [op], mapping());
          expect(editMemories(file, [op], how)).toEqual(plain);
          source = plain.file.source;
        }
      }),
      { numRuns: 100 },
    );
  });

  it('is used: a section that did not change keeps its very memory, wherever it moved', () => {
    const how = { ...mapping(), cache: createEntryCache() };
    const before = readMemories('# M\n\n## A\n\n- one\n\n## B\n\n- two\n', how);
    const after = readMemories('# M\n\nNew.\n\n## A\n\n- one!\n\n## B\n\n- two\n', how);
    expect(after.entries.get('B')?.memory).toBe(before.entries.get('B')?.memory);
    expect(after.entries.get('A')?.memory.observations).toEqual(['one!']);
    expect(after.source.slice(after.entries.get('B')!.section.heading!.start)).toMatch(/^## B/);
  });
});

describe('a long time of edits from elsewhere', () => {
  it('keeps the human part of a file byte for byte through 200 edits', () => {
    const human =
      '# Memory\r\n\r\nSome *prose*.\r\n\r\n## Preferences\r\n\r\n* tabs\t\r\n* `spaces`\r\n\r\n---\r\n\r\n| a |\r\n|---|\r\n\r\n### 2026-01-03: Use Postgres\r\n\r\n**Decision**: yes  \r\nreally';
    const edits = fc.array(fc.tuple(fc.nat(12), fc.option(memories, { freq: 3 })), {
      minLength: 200,
      maxLength: 200,
    });
    fc.assert(
      fc.property(edits, (steps) => {
        const how = mapping();
        let file = readMemories(human, how);
        for (const [nth, value] of steps) {
          const name = `Entity ${nth}`;
          if (!value && !file.entries.has(name)) continue;
          const edit = editMemories(file, [opOn(file, name, value && { ...value, name })], how);
          expect(edit.outcomes[0]?.status).toBe('applied');
          if (value) expect(edit.file.entries.get(name)?.memory).toEqual({ ...value, name });
          file = edit.file;
          expect(file.source.startsWith(human)).toBe(true);
        }
      }),
      { numRuns: 3 },
    );
  });
});
