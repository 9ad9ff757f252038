/**
 * The conflict queue: a fallback per link, a revision per conflict (so that a decision can name the
 * state it was made on), and when somebody last made sure that its workflow is there.
 * Locks: `ACCESS EXCLUSIVE` on both tables for the moment of adding columns with constant defaults;
 * the indexes are built under a lock that stops writes of ops and conflicts. That of ops holds merges
 * only, which are few: it answers what became of one write.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const ADD = `
ALTER TABLE sync_links ADD COLUMN conflict_fallback json;
ALTER TABLE sync_conflicts ADD COLUMN revision integer NOT NULL DEFAULT 1;
ALTER TABLE sync_conflicts ADD COLUMN watched_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX sync_conflicts_watched ON sync_conflicts (watched_at)
  WHERE status = 'open' AND due_at IS NOT NULL;
CREATE INDEX sync_conflicts_by_item ON sync_conflicts (tenant_id, link_id, key);
CREATE INDEX sync_ops_merges ON sync_ops (tenant_id, link_id, key, hub_version)
  WHERE action = 'merge' AND state = 'done';
GRANT SELECT (tenant_id, id, link_id, status, due_at, watched_at), UPDATE (watched_at)
  ON sync_conflicts TO syncline_system`;

const REMOVE = `
REVOKE SELECT (tenant_id, id, link_id, status, due_at, watched_at), UPDATE (watched_at)
  ON sync_conflicts FROM syncline_system;
DROP INDEX sync_ops_merges;
DROP INDEX sync_conflicts_by_item;
DROP INDEX sync_conflicts_watched;
ALTER TABLE sync_conflicts DROP COLUMN watched_at;
ALTER TABLE sync_conflicts DROP COLUMN revision;
ALTER TABLE sync_links DROP COLUMN conflict_fallback`;

export class ConflictQueue1763730000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL search_path = context_system, public');
    await runner.query(ADD);
    await runner.query('RESET search_path');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL search_path = context_system, public');
    await runner.query(REMOVE);
    await runner.query('RESET search_path');
  }
}
