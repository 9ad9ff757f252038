/** What the sample memory server knows at first: lines of its own JSONL file. */

interface Entity {
  readonly type: 'entity';
  readonly name: string;
  readonly entityType: string;
  readonly observations: readonly string[];
}

interface Relation {
  readonly type: 'relation';
  readonly from: string;
  readonly to: string;
  readonly relationType: string;
}

const entity = (name: string, entityType: string, observations: string[]): Entity => ({
  type: 'entity',
  name,
  entityType,
  observations,
});
const relation = (from: string, relationType: string, to: string): Relation => ({
  type: 'relation',
  from,
  to,
  relationType,
});

export const DEMO_GRAPH: readonly (Entity | Relation)[] = [
  entity('Maya Chen', 'person', [
    'Leads the billing team',
    'Prefers short pull requests',
    'Reviews on Tuesdays and Thursdays',
  ]),
  entity('Billing Service', 'service', [
    'Written in TypeScript',
    'Charges are idempotent by invoice id',
    'Deploys on every merge to main',
  ]),
  entity('Ledger Database', 'database', [
    'Postgres 15 with logical replication',
    'Money is stored as integer cents',
  ]),
  entity('Preferences', 'section', [
    'Answer in British English',
    'Show the failing test before the fix',
  ]),
  relation('Maya Chen', 'owns', 'Billing Service'),
  relation('Billing Service', 'writes_to', 'Ledger Database'),
];
