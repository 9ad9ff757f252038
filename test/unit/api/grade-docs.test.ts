import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { describeGrade } from '../../../connectors/contract.ts';

it.each(['A', 'B', 'C'] as const)(
  'docs/guarantees.md says of grade %s what the API and the CLI say',
  (grade) => {
    const page = readFileSync(new URL('../../../docs/guarantees.md', import.meta.url), 'utf8');
    expect(page.replaceAll(/\s+/g, ' ')).toContain(`**${grade}** — ${describeGrade(grade)}`);
  },
);
