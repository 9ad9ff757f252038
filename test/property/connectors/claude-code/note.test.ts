import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPointer, withPointers } from '../../../../connectors/claude-code/memory-index.ts';
import { skippingFrontmatter } from '../../../../connectors/claude-code/note-blocks.ts';
import { editNote, newNote, readNote, type Note } from '../../../../connectors/claude-code/note.ts';
import { frontmatterLength } from '../../../../connectors/files/frontmatter.ts';
import { createBlockParser } from '../../../../connectors/files/markdown/parse-blocks.ts';
import { AppError } from '../../../../domain/errors.ts';
import { canonicalMemory, type Memory } from '../../../../domain/item.ts';
import { anyText, eol, line, markdown, someText } from '../files/markdown-arbitraries.ts';

const parse = createBlockParser();

const frontmatter = fc.oneof(
  { weight: 2, arbitrary: fc.constant('') },
  {
    weight: 5,
    arbitrary: fc.constantFrom(
      '---\nname: api # ours\ndescription: "how it is called"\nmetadata: \n  node_type: memory\n  type: project\n---\n',
      '---\r\nname:   api\r\ntype: feedback\r\n---\r\n',
      '---\n# nothing yet\n---\n',
      '---\nname: api\ndescription: this: is no YAML\ntype: user\n---\n',
    ),
  },
);
const notes = fc.tuple(frontmatter, markdown).map((parts) => parts.join(''));
const memories = fc
  .record({
    name: someText,
    type: anyText,
    observations: fc.array(anyText, { maxLength: 4 }),
    relations: fc.array(fc.record({ to: someText, type: someText }), { maxLength: 2 }),
  })
  .map(canonicalMemory);

/** The value, or null where the text or the wish is refused for a stated reason. */
function unlessRefused<T>(work: () => T): T | null {
  try {
    return work();
  } catch (thrown) {
    const isRefusal =
      thrown instanceof AppError &&
      ['ITEM_INVALID', 'REMOTE_MALFORMED', 'REGION_DAMAGED'].includes(thrown.code);
    if (isRefusal) return null;
    throw thrown;
  }
}

/** What of a note's text belongs to no statement that is not in `kept`, in order, line by line. */
function linesOutside(note: Note, kept: ReadonlySet<string>): readonly string[] {
  const going = (note.entry?.stated ?? []).filter(
    ({ statement }) => statement.kind !== 'observation' || !kept.has(statement.text),
  );
  let text = note.source;
  for (const { block } of [...going].reverse())
    text = text.slice(0, block.start) + text.slice(block.end);
  return text.split(/\r\n?|\n/).filter((one) => !/^[\s\-*+\d.)]*$/.test(one));
}

function isSubsequence(some: readonly string[], all: readonly string[]): boolean {
  let at = 0;
  for (const one of all) if (one === some[at]) at += 1;
  return at === some.length;
}

/** Whether the frontmatter has such a line. */
function says(source: string, key: string): boolean {
  const lines = source.slice(0, frontmatterLength(source)).split(/\r\n?|\n/);
  return lines.some((one) => one.startsWith(`${key}:`));
}

describe('a note', () => {
  it('says what was written to it, whatever stood there, or is refused', () => {
    fc.assert(
      fc.property(notes, memories, (source, wanted) => {
        const note = unlessRefused(() => readNote('n.md', source, parse));
        const text = note && unlessRefused(() => editNote(note, wanted, parse));
        if (text !== null) expect(readNote('n.md', text, parse).memory).toEqual(wanted);
      }),
      { numRuns: 400 },
    );
  });

  it('stays byte for byte when nothing is to be changed', () => {
    fc.assert(
      fc.property(notes, (source) => {
        const note = unlessRefused(() => readNote('n.md', source, parse));
        if (note)
          expect(unlessRefused(() => editNote(note, note.memory, parse)) ?? source).toBe(source);
      }),
      { numRuns: 400 },
    );
  });

  it('keeps every line that states nothing, or states what stays; and its frontmatter whole', () => {
    const edits = fc.record({ added: fc.array(anyText, { maxLength: 2 }), dropped: fc.nat(5) });
    fc.assert(
      fc.property(notes, edits, (source, { added, dropped }) => {
        const note = unlessRefused(() => readNote('n.md', source, parse));
        if (!note) return;
        const rest = note.memory.observations.filter((_, at) => at !== dropped);
        const wanted = canonicalMemory({ ...note.memory, observations: [...rest, ...added] });
        const text = unlessRefused(() => editNote(note, wanted, parse));
        if (text === null) return;
        const lines = text.split(/\r\n?|\n/);
        // A file that did not end in a line break does not get one: the last line takes it along.
        const head = source.slice(0, frontmatterLength(source)).trimEnd();
        // Where a heading would now be taken for the name, the frontmatter gets a line that says it.
        if (says(text, 'name') && !says(source, 'name')) {
          expect(isSubsequence(head === '' ? [] : head.split(/\r\n?|\n/), lines)).toBe(true);
        } else expect(text.slice(0, head.length)).toBe(head);
        const kept = new Set(wanted.observations);
        expect(isSubsequence(linesOutside(note, kept), lines)).toBe(true);
      }),
      {
        numRuns: 400,
        examples: [['---\n# nothing yet\n---\nalpha\n# alpha', { added: [], dropped: 0 }]],
      },
    );
  });

  it('can be made anew for any memory that is text', () => {
    fc.assert(
      fc.property(memories, (wanted: Memory) => {
        const text = unlessRefused(() => newNote('n.md', wanted, parse));
        const isText = !/\p{Cs}/u.test(JSON.stringify(wanted).replace(/\\ud[89a-f]../g, '\ud800'));
        if (isText) expect(text).not.toBeNull();
        if (text !== null) expect(readNote('n.md', text, parse).memory).toEqual(wanted);
      }),
      {
        numRuns: 300,
        examples: [[{ name: ' \n', type: '', observations: [], relations: [] }]],
      },
    );
  });
});

describe('the index', () => {
  const pointers = fc.constantFrom('- [A](a.md)', '* [B](b.md) — about b', '- **[C](c.md)**');
  const index = fc
    .tuple(fc.array(fc.oneof({ weight: 3, arbitrary: line }, pointers), { maxLength: 20 }), eol)
    .map(([lines, end]) => lines.join(end));

  it('changes by whole lines that lead to notes, and by nothing else', () => {
    const blocks = skippingFrontmatter(parse);
    fc.assert(
      fc.property(
        index,
        someText,
        fc.constantFrom('a.md', 'b.md', 'x.md'),
        (source, name, gone) => {
          const change = { added: [{ name, path: 'new.md' }], gone: new Set([gone]) };
          const text = unlessRefused(() =>
            withPointers(source, change, { parse: blocks, isSame: () => true }),
          );
          if (text === null) return;
          // A line under such a list item without a gap is part of it, and goes with it.
          fc.pre(
            blocks(source).every(({ start, end }) => !/[\r\n]/.test(source.slice(start, end))),
          );
          const others = (some: string): readonly string[] =>
            some.split(/\r\n?|\n/).filter((one) => one.trim() !== '' && !isPointer(one));
          expect(others(text)).toEqual(others(source));
          expect(text).toContain('](new.md)');
        },
      ),
      { numRuns: 400 },
    );
  });
});
