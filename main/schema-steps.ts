/** The migrations as a restore takes them: one by one, in a transaction of its own. */
import type { QueryRunner } from 'typeorm';
import type { SchemaStep } from '../store/contract.ts';
import { MIGRATIONS } from './migrate.ts';

/** TypeORM takes a migration's time from the end of its name. */
const TIMESTAMP_DIGITS = 13;

/** All steps this version knows, oldest first. */
export const SCHEMA_STEPS: readonly SchemaStep[] = MIGRATIONS.map((Migration) => ({
  name: Migration.name,
  timestamp: Number(Migration.name.slice(-TIMESTAMP_DIGITS)),
  async up(tx) {
    const query = (sql: string, values?: unknown[]): Promise<unknown> => tx.query(sql, values);
    // A migration asks its runner for nothing else (02-architecture, 9).
    await new Migration().up({ query } as QueryRunner);
  },
}));
