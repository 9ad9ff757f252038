/**
 * Every interleaving of two edits a side, up to two crashes and every step of a pass over one item,
 * driving the engine's own decisions. `SYNCLINE_MODEL=deep` explores more and takes minutes.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { CONFIGURATIONS, VARIANTS } from './configurations.ts';
import { explore } from './explore.ts';
import { tableOf, withTable, type Finding } from './report.ts';
import { ORDINARY } from './rules.ts';

const IS_DEEP = process.env['SYNCLINE_MODEL'] === 'deep';
const MAX_STATES = IS_DEEP ? 20_000_000 : 150_000;
const LIMIT_MS = IS_DEEP ? 3_600_000 : 300_000;
const PAGE = fileURLToPath(new URL('../../docs/guarantees.md', import.meta.url));

describe('one item, every interleaving', () => {
  let states = 0;
  afterAll(() => {
    console.log(`the model saw ${states.toLocaleString('en')} states`);
  });

  const wanted = CONFIGURATIONS.filter(({ isDeep }) => IS_DEEP || !isDeep);
  it.each(wanted)(
    'keeps every promise: $title',
    { timeout: LIMIT_MS },
    ({ title, rules, hasExcused }) => {
      const explored = explore(rules, { maxStates: MAX_STATES });
      states += explored.states;
      console.log(`${explored.states.toLocaleString('en')} states: ${title}`);
      expect(explored.violations).toEqual([]);
      expect(explored.isComplete).toBe(true);
      if (hasExcused !== undefined) expect(explored.hasExcused).toBe(hasExcused);
    },
  );
});

describe('what the grades do not promise', () => {
  it(
    'grade B undoes a delete made between our write and its lost answer',
    { timeout: LIMIT_MS },
    () => {
      const rules = { ...ORDINARY, grade: 'B', excuses: false } as const;
      const { violations } = explore(rules, { maxStates: MAX_STATES, isThorough: true });
      expect(violations.map(({ promise }) => promise)).toEqual(['P5']);
    },
  );

  it('grade C loses an edit made between its check and its write', { timeout: LIMIT_MS }, () => {
    const rules = { ...ORDINARY, grade: 'C', crashes: 0, excuses: false } as const;
    const { violations } = explore(rules, { maxStates: MAX_STATES, isThorough: true });
    expect(violations.map(({ promise }) => promise)).toContain('P4');
    const [lost] = violations.filter(({ promise }) => promise === 'P4');
    expect(lost!.trace.slice(-4)).toEqual([
      'check',
      'a user edits on the remote',
      'write',
      'settle',
    ]);
  });

  it(
    'a link beyond the horizon, which starts anew, may bring back what was deleted',
    { timeout: LIMIT_MS },
    () => {
      const rules = { ...ORDINARY, collects: 'any-time', edits: [1, 1], crashes: 0 } as const;
      const { violations } = explore(rules, { maxStates: MAX_STATES, isThorough: true });
      expect(violations.map(({ promise }) => promise)).toEqual(['P5']);
    },
  );
});

describe('an engine with one step removed', () => {
  const findings: Finding[] = [];

  it.each(VARIANTS)('breaks $breaks without: $without', { timeout: LIMIT_MS }, (variant) => {
    const explored = explore(variant.rules, { maxStates: MAX_STATES, isThorough: true });
    findings.push({ variant, explored });
    const promises = explored.violations.map(({ promise }) => promise);
    expect(promises).toEqual(expect.arrayContaining([...variant.breaks]));
    if (variant.breaks.length === 0) expect(promises).toEqual([]);
  });

  it('is told of in docs/guarantees.md (SYNCLINE_MODEL=write renews the table)', () => {
    const page = readFileSync(PAGE, 'utf8');
    const renewed = withTable(page, tableOf(findings));
    if (process.env['SYNCLINE_MODEL'] === 'write') writeFileSync(PAGE, renewed);
    else expect(page).toBe(renewed);
  });
});
