/** What CI explores, what `SYNCLINE_MODEL=deep` adds, and the variants of the table in the docs. */
import { ORDINARY, type Removed, type Rules } from './rules.ts';

export interface Configuration {
  readonly title: string;
  readonly rules: Rules;
  /** Whether states must be met for which the grade promises nothing. */
  readonly hasExcused?: boolean;
  readonly isDeep?: boolean;
}

const of = (more: Partial<Rules>): Rules => ({ ...ORDINARY, ...more });
const respell = (text: string): string => text.trim().toLowerCase();

const PROFILES = {
  contested: 'both sides edit one value',
  mergeable: 'both sides add to a set',
  same: 'both sides make the same edit',
} as const;

function ofGrade(grade: Rules['grade']): Configuration[] {
  const hasExcused = grade !== 'A';
  return (['contested', 'mergeable', 'same'] as const).flatMap((profile) =>
    [true, false].map((startsSynced) => ({
      title: `grade ${grade}, ${PROFILES[profile]}, ${startsSynced ? 'agreed on before' : 'new'}, two crashes`,
      rules: of({ grade, profile, startsSynced, crashes: 2 }),
      ...(profile === 'contested' ? { hasExcused } : {}),
      // The rest says the same at more length.
      isDeep:
        (grade === 'B' && profile !== 'contested') ||
        (profile === 'same' && (!startsSynced || grade === 'C')) ||
        (profile === 'mergeable' && !startsSynced),
    })),
  );
}

export const CONFIGURATIONS: readonly Configuration[] = [
  ...ofGrade('A'),
  ...ofGrade('B'),
  ...ofGrade('C'),
  ...(['latest', 'union', 'intersection', 'manual', 'prefer-hub', 'prefer-remote'] as const).map(
    (strategy) => ({ title: `strategy ${strategy}`, rules: of({ strategy }) }),
  ),
  { title: 'a remote that respells values', rules: of({ normalise: respell }) },
  {
    title: 'a remote that respells sets',
    rules: of({ normalise: respell, profile: 'mergeable' }),
  },
  {
    title: 'grade C, a listing that misses an item for a moment',
    rules: of({ grade: 'C', blinks: 1, edits: [1, 2] }),
  },
  { title: 'grade B, listings cut short', rules: of({ grade: 'B', cuts: true, edits: [1, 2] }) },
  {
    title: 'grade A, a process taken for dead goes on',
    rules: of({ zombies: true, startsSynced: false, edits: [2, 1] }),
  },
  {
    title: 'grade A, a write refused to a process taken for dead arrives once more',
    rules: of({ zombies: true, profile: 'mergeable', startsSynced: false, edits: [2, 1] }),
  },
  {
    title: 'tombstones collected once both sides are without the item',
    rules: of({ collects: 'settled' }),
  },
  {
    title: 'one hub key, two remotes',
    rules: of({ links: [0, 1], edits: [1, 1, 1], crashes: 0, isCoarse: true }),
  },
  {
    title: 'a ring: one hub key linked twice to one remote',
    rules: of({ links: [0, 0], edits: [1, 1], crashes: 0, isCoarse: true }),
  },
  {
    title: 'a ring, more edits',
    rules: of({ links: [0, 0], edits: [2, 2], crashes: 1, isCoarse: true }),
    isDeep: true,
  },
  {
    title: 'two remotes, every step and a crash',
    rules: of({ links: [0, 1], edits: [1, 1, 1] }),
    isDeep: true,
  },
  {
    title: 'grade A, a process taken for dead goes on, all edits',
    rules: of({ zombies: true, profile: 'mergeable' }),
    isDeep: true,
  },
];

export interface Variant {
  readonly removed: Removed;
  /** What the engine does, which this variant leaves out. */
  readonly without: string;
  readonly rules: Rules;
  /** Promises the variant must be seen to break; none: something else catches it. */
  readonly breaks: readonly string[];
}

const lacking = (
  removed: Removed,
  more: Partial<Rules> = {},
): Pick<Variant, 'removed' | 'rules'> => ({
  removed,
  rules: of({ ...more, removed }),
});

export const VARIANTS: readonly Variant[] = [
  {
    ...lacking('intent'),
    without: 'the intent is recorded before the remote is written',
    breaks: ['P5'],
  },
  {
    ...lacking('recovery-by-op-id', { excuses: false }),
    without: 'a lost answer is asked for again by op id (instead: guessed from content)',
    breaks: ['P5'],
  },
  { ...lacking('op-id-memory'), without: 'the remote remembers op ids', breaks: ['P5'] },
  {
    ...lacking('refusal-memory', {
      zombies: true,
      profile: 'mergeable',
      startsSynced: false,
      edits: [2, 1],
    }),
    without: 'the remote remembers what it refused by op id, too',
    breaks: ['P5'],
  },
  { ...lacking('base-after-write'), without: 'the base moves after the write', breaks: ['P4'] },
  {
    ...lacking('dirty-with-cursor'),
    without: 'a change is marked in the transaction that moves the cursor',
    breaks: ['P1'],
  },
  {
    ...lacking('compare-and-set'),
    without: 'the remote compares versions on write',
    breaks: ['P4', 'P6'],
  },
  {
    ...lacking('hub-version-check'),
    without: 'settling compares the hub’s version',
    breaks: ['P6'],
  },
  {
    ...lacking('fence', { zombies: true, edits: [2, 1] }),
    without: 'the fence shuts out a process taken for dead',
    breaks: ['P1'],
  },
  {
    ...lacking('second-scan', { grade: 'C', blinks: 1, edits: [1, 1] }),
    without: 'grade C waits for a second complete scan',
    breaks: ['P6'],
  },
  {
    ...lacking('scan-certificate', { grade: 'B', cuts: true, edits: [1, 1] }),
    without: 'a listing that was cut short proves nothing',
    breaks: ['P6'],
  },
  {
    ...lacking('loser-in-history', { strategy: 'latest' }),
    without: 'the value `latest` lets lose is kept in history',
    breaks: ['P4'],
  },
  {
    ...lacking('returned-body', { normalise: respell }),
    without: 'the base remembers what the remote made of our write',
    breaks: ['P5'],
  },
  {
    ...lacking('claim-check'),
    without: 'an op is compared with both sides once more when it is claimed',
    breaks: [],
  },
];
