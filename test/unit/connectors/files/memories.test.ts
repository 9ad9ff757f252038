import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { RemoteOp } from '../../../../connectors/connector.ts';
import { editMemories } from '../../../../connectors/files/edit-memories.ts';
import { createBlockParser } from '../../../../connectors/files/markdown/parse-blocks.ts';
import {
  readMemories,
  type MemoryFile,
  type MemoryMapping,
} from '../../../../connectors/files/memories.ts';
import { asRemoteId, canonicalMemory, type Memory } from '../../../../domain/item.ts';

const mapping = (more: Partial<MemoryMapping> = {}): MemoryMapping => ({
  blocks: 'all',
  namePrefix: '',
  isTaken: () => false,
  parse: createBlockParser(),
  ...more,
});
const read = (text: string, more: Partial<MemoryMapping> = {}): MemoryFile =>
  readMemories(text, mapping(more));
const items = (
  text: string,
  more: Partial<MemoryMapping> = {},
): Record<string, readonly string[]> =>
  Object.fromEntries(
    [...read(text, more).entries].map(([name, { memory }]) => [name, memory.observations]),
  );

/** Applies changes to a text: a value writes the item, null deletes it. */
function edited(
  text: string,
  changes: Record<string, Partial<Memory> | null>,
  more: Partial<MemoryMapping> = {},
): string {
  const file = read(text, more);
  const ops = Object.entries(changes).map(([name, change]): RemoteOp => {
    const entry = file.entries.get(name);
    const blank: Memory = { name, type: 'section', observations: [], relations: [] };
    return {
      opId: name,
      action: change === null ? 'delete' : entry ? 'update' : 'create',
      kind: 'memory',
      remoteId: asRemoteId(name),
      value: change && canonicalMemory({ ...(entry?.memory ?? blank), ...change }),
      expectedVersion: entry?.version ?? null,
    };
  });
  const edit = editMemories(file, ops, mapping(more));
  expect(edit.outcomes.map(({ status }) => status)).toEqual(ops.map(() => 'applied'));
  return edit.file.source;
}

describe('reading a memory file', () => {
  it('takes the sample of the demo as its sections', () => {
    const sample = readFileSync(
      new URL('../../../../dev/demo/memories.md', import.meta.url),
      'utf8',
    );
    const found = items(sample);
    expect(Object.keys(found)).toEqual(
      expect.arrayContaining([
        'Project Memory',
        'Preferences',
        '2026-01-03: Use Postgres',
        'People',
      ]),
    );
    expect(found).not.toHaveProperty('Architecture Decisions');
    expect(found['2026-05-19: Idempotent charges']).toEqual([
      '**Decision**: a charge is identified by its invoice id; a second one is a no-op.',
      '```sql\ninsert into charges (invoice_id, cents) values ($1, $2) on conflict do nothing;\n```',
    ]);
    expect(found['Preferences']).toContain(
      'Commit messages: imperative, under 60 characters\n- `feat`, `fix`, `docs`, `test` as prefixes\n- no ticket numbers in the subject',
    );
    expect(found['Known Issues']).toContain('[ ] The staging ledger is not vacuumed');
  });

  it('keeps whole blocks: nested lists, paragraphs, fences, quotes and tables', () => {
    expect(
      items(
        '## A\n\n> quote\n> more\n\n| a |\n|---|\n| b |\n\n3. third\n\n   its paragraph\n\n~~~\n- no bullet\n~~~\n',
      ),
    ).toEqual({
      A: [
        '> quote\n> more',
        'third\n\nits paragraph',
        '| a |\n|---|\n| b |',
        '~~~\n- no bullet\n~~~',
      ],
    });
  });

  it('leaves comments, thematic breaks, empty bullets and frontmatter out', () => {
    expect(items('---\ntitle: x\n---\n## A\n\n<!-- a note -->\n\n---\n\n-\n\n- one\n')).toEqual({
      A: ['one'],
    });
  });

  it('counts the same block twice as one observation', () => {
    expect(items('## A\n\n- one\n- one\n')).toEqual({ A: ['one'] });
  });

  it('gives what stands before the first heading to the document’s title', () => {
    expect(items('- early\n\n# Notes\n\n- late\n')).toEqual({ Notes: ['early', 'late'] });
    expect(items('- early\n\n## A\n\n- late\n')).toEqual({ memories: ['early'], A: ['late'] });
  });

  it('takes a heading that only groups others for structure, and a leaf without blocks for an item', () => {
    expect(items('# Title\n\n## Group\n\n### Leaf\n\n## Empty\n')).toEqual({ Leaf: [], Empty: [] });
  });

  it('tells alike names apart by their parents, then by number', () => {
    const text =
      '# P\n## One\n### Notes\n- a\n## Two\n### Notes\n- b\n### Notes\n- c\n### Notes\n- d\n';
    expect(Object.keys(items(text))).toEqual([
      'Notes',
      'Two > Notes',
      'P > Two > Notes',
      'Two > Notes (2)',
    ]);
  });

  it('reads relations and types only in their exact form', () => {
    const text =
      '## A\n\n- type:: person\n- uses:: [[Postgres]]\n- uses: [[x]]\n- see [[y]]\n- both:: [[a]] and [[b]]\n\nowns:: [[z]]\n';
    expect(read(text).entries.get('A')?.memory).toEqual({
      name: 'A',
      type: 'person',
      observations: ['both:: [[a]] and [[b]]', 'owns:: [[z]]', 'see [[y]]', 'uses: [[x]]'],
      relations: [{ to: 'Postgres', type: 'uses' }],
    });
  });

  it('takes only list items where the link says so, and no section of prose alone', () => {
    const text = '## A\n\nprose\n\n- one\n\n## B\n\nprose\n';
    expect(items(text, { blocks: 'bullets' })).toEqual({ A: ['one'] });
  });

  it('gives lines after the managed region to the section above it', () => {
    const text =
      '## A\n\n- a\n\n<!-- syncline:begin -->\n\n## B\n\n- b\n\n<!-- syncline:end -->\n- appended\n';
    expect(items(text)).toEqual({ A: ['a', 'appended'], B: ['b'] });
  });

  it.each([
    '<!-- syncline:begin -->\n## A\n',
    '## A\n<!-- syncline:end -->\n',
    '<!-- syncline:end -->\n\n<!-- syncline:begin -->\n',
    '<!-- syncline:begin -->\n<!-- syncline:begin -->\n<!-- syncline:end -->\n',
    '<!-- syncline:begin --> and more\n\n<!-- syncline:end -->\n',
    '<!-- syncline:begin -->\n\n- a\n  <!-- syncline:end -->\n',
  ])('refuses the damaged region %j', (text) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ code: 'REGION_DAMAGED' }));
  });

  it('does not mistake markers shown in a fence for a region', () => {
    const text = '## A\n\n```\n<!-- syncline:begin -->\n```\n';
    expect(items(text)).toEqual({ A: ['```\n<!-- syncline:begin -->\n```'] });
  });
});

describe('editing a memory file', () => {
  it('adds to the end of the section’s last list, in its style', () => {
    const text = '## A\n\n* one\n\nprose\n\n1. two\n\n## B\n\n+   three\nprose';
    expect(edited(text, { A: { observations: ['one', 'prose', 'two', 'new'] } })).toBe(
      text.replace('1. two', '1. two\n- new'),
    );
    expect(
      edited('## A\n\n* one\n\nprose\n', { A: { observations: ['one', 'prose', 'new'] } }),
    ).toBe('## A\n\n* one\n* new\n\nprose\n');
  });

  it('adds after the last block, or right under the heading, where there is no list', () => {
    expect(
      edited('## A\nprose\n## B', {
        A: { observations: ['prose', 'new'] },
        B: { observations: ['b'] },
      }),
    ).toBe('## A\nprose\n\n- new\n## B\n\n- b');
  });

  it('edits one observation in place, whatever block it is', () => {
    const text = '## A\n\n**Decision**: yes\n\n-   one\n-   two\n';
    expect(edited(text, { A: { observations: ['**Decision**: no', 'one', 'two'] } })).toBe(
      text.replace('yes', 'no'),
    );
    expect(edited(text, { A: { observations: ['**Decision**: yes', 'ONE\nmore', 'two'] } })).toBe(
      text.replace('one', 'ONE\n    more'),
    );
  });

  it('removes exactly the lines of an observation, all doubles of it', () => {
    expect(
      edited('## A\n\n- one\n  - nested\n- two\n- one\n  - nested\n- three', {
        A: { observations: ['two', 'three'] },
      }),
    ).toBe('## A\n\n- two\n- three');
  });

  it('makes one region for new items and takes it away with the last of them', () => {
    const text = '# M\n\nprose without end';
    const one = edited(text, { X: { type: 'person', observations: ['b', 'a'] } });
    expect(one).toBe(
      `${text}\n\n<!-- syncline:begin -->\n\n## X\n\n- type:: person\n- a\n- b\n\n<!-- syncline:end -->\n`,
    );
    const two = edited(one, { Y: { relations: [{ to: 'X', type: 'knows' }] } });
    expect(two).toBe(
      one.replace('<!-- syncline:end', '## Y\n\n- knows:: [[X]]\n\n<!-- syncline:end'),
    );
    expect(edited(two, { X: null })).toBe(two.replace('## X\n\n- type:: person\n- a\n- b\n\n', ''));
    expect(edited(two, { X: null, Y: null })).toBe(`${text}\n`);
  });

  it('puts a new item under a heading of its name that only grouped others', () => {
    expect(edited('## Group\n\n### Leaf\n\n- x\n', { Group: { observations: ['g'] } })).toBe(
      '## Group\n\n- g\n\n### Leaf\n\n- x\n',
    );
  });

  it('writes above a fence that nobody closed', () => {
    expect(edited('## A\n\n```\nopen\n', { X: { observations: ['x'] } })).toBe(
      '## A\n\n<!-- syncline:begin -->\n\n## X\n\n- x\n\n<!-- syncline:end -->\n\n```\nopen\n',
    );
  });

  it('renames by the heading’s text alone', () => {
    expect(edited('## Old ##\n\n- x\n', { Old: { name: 'New' } })).toBe('## New ##\n\n- x\n');
    expect(edited('Old\n---\n- x\n', { Old: { name: 'New # 1 #' } })).toBe(
      '## json:: "New # 1 #"\n- x\n',
    );
  });

  it('keeps the heading of a deleted item that has sub-sections', () => {
    expect(edited('## A\n\n- a\n\n### B\n\n- b\n', { A: null })).toBe('## A\n\n### B\n\n- b\n');
  });

  it('does not let a removed line turn its neighbours into something else', () => {
    expect(
      items(edited('## A\n\nprose\n- one\n---\n', { A: { observations: ['prose'] } })),
    ).toEqual({ A: ['prose'] });
  });

  it('says so where an item without any text would read as structure', () => {
    expect(edited('## A\n\n- a\n\n### B\n', { A: { observations: [] } })).toBe(
      '## A\n\n- type:: section\n\n### B\n',
    );
  });

  it('refuses a name that is taken, also one taken by a document', () => {
    const file = read('## A\n\n## B\n');
    const op = (from: string, to: string): RemoteOp => ({
      opId: from,
      action: 'update',
      kind: 'memory',
      remoteId: asRemoteId(from),
      value: { name: to, type: 'section', observations: [], relations: [] },
      expectedVersion: file.entries.get(from)?.version ?? null,
    });
    const how = mapping({ isTaken: (name) => name === 'AGENTS.md' });
    expect(editMemories(file, [op('A', 'B')], how).outcomes).toMatchObject([
      { status: 'failed', code: 'ITEM_NAME_TAKEN' },
    ]);
    expect(editMemories(file, [op('A', 'AGENTS.md')], how).outcomes).toMatchObject([
      { status: 'failed', code: 'ITEM_NAME_TAKEN' },
    ]);
    expect(editMemories(file, [op('A', 'C'), op('B', 'A')], how).file.source).toBe(
      '## C\n\n## A\n',
    );
  });
});

describe('the page for users', () => {
  it('shows what really happens', () => {
    const page = readFileSync(
      new URL('../../../../docs/factory-files.md', import.meta.url),
      'utf8',
    );
    const [before = '', after = ''] = [...page.matchAll(/^```markdown\n([^]*?)^```$/gm)].map(
      ([, text]) => text ?? '',
    );
    const preferences = items(before)['Preferences'] ?? [];
    expect(preferences).toEqual(['Use pnpm, not npm', '[2026-11-01] Prefer small modules']);
    const changes = {
      Preferences: { observations: [...preferences, 'Answer in British English'] },
      '2026-01-03: Use Postgres': { observations: ['**Decision**: Postgres 16.'] },
      'Maya Chen': {
        type: 'person',
        observations: ['Leads the billing team'],
        relations: [{ to: 'Billing Service', type: 'owns' }],
      },
    };
    expect(edited(before, changes)).toBe(after);
  });
});

describe('hostile files', () => {
  it.each([
    ['ten thousand sections of one name', '# a\n'.repeat(10_000)],
    ['a hundred thousand bullets', `## A\n${'- x\n'.repeat(100_000)}`],
    ['quotes in quotes', `${'>'.repeat(5000)}a`],
    ['lists in lists', `${'- '.repeat(5000)}a`],
    ['one line of three megabytes', `## A\n${'x'.repeat(3_000_000)}`],
    ['brackets without end', '['.repeat(200_000)],
    ['a fence that never ends', `\`\`\`\n${'## a\n\n- b\n\n'.repeat(2000)}`],
  ])('%s are read, or refused, within seconds', (_what, text) => {
    const started = performance.now();
    try {
      read(text);
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'REMOTE_MALFORMED' });
    }
    expect(performance.now() - started).toBeLessThan(8000);
  });
});
