/**
 * Gives the change feed positions of its own instead of bare transaction ids: `feed_position(xid)`.
 * They are the same until a backup is restored. A restored store may live in another cluster, whose
 * transaction ids begin again; the restore redefines the function so that every new position lies
 * above all that were ever handed out (store/backup/mend-feed.ts).
 * Locks: `ACCESS EXCLUSIVE` on `changes` for the moment of changing a default; no row is touched.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const UP = `
CREATE FUNCTION context_system.feed_position(xid xid8) RETURNS xid8
  LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT xid';
ALTER TABLE context_system.changes
  ALTER COLUMN xid SET DEFAULT context_system.feed_position(pg_current_xact_id())`;

const DOWN = `
ALTER TABLE context_system.changes ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
DROP FUNCTION context_system.feed_position(xid8)`;

export class PositionFeed1763740000005 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(UP);
  }

  /** Only right for a store that was never restored from a backup. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(DOWN);
  }
}
