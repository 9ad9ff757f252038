/**
 * Lists by session, agent and parent work for names of any allowed length. An entry of such an index
 * holds the session and the key; Postgres takes 2,704 bytes, and the two may have 3,136 in four-byte
 * characters, or 4,160 where it is the parent's key: the write was refused. Now keys above 512 bytes
 * are not in these indexes, but in a small one of their own; a list looks into both.
 * Locks: the indexes are built under a lock that stops writes of contexts, not reads (`SHARE`; about a
 * second for 100,000 contexts); dropping the old ones stops both for a moment (`ACCESS EXCLUSIVE`).
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const COLUMNS = { session: 'session_id', agent: 'agent_id', parent: 'parent_id' } as const;

const replace = (more: string): string =>
  Object.entries(COLUMNS)
    .map(
      ([name, column]) => `
CREATE INDEX contexts_${name}_new ON contexts (tenant_id, ${column}, key)
  WHERE ${column} IS NOT NULL${more};
DROP INDEX contexts_${name};
ALTER INDEX contexts_${name}_new RENAME TO contexts_${name};`,
    )
    .join('');

const UP = `${replace(' AND octet_length(key) <= 512')}
CREATE INDEX contexts_long_key ON contexts (tenant_id, key) WHERE octet_length(key) > 512`;

const DOWN = `${replace('')}
DROP INDEX contexts_long_key`;

export class FitLongNames1763740000007 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await run(runner, UP);
  }

  async down(runner: QueryRunner): Promise<void> {
    await run(runner, DOWN);
  }
}

async function run(runner: QueryRunner, sql: string): Promise<void> {
  await runner.query('SET LOCAL search_path = context_system, public');
  await runner.query(sql);
  await runner.query('RESET search_path');
}
