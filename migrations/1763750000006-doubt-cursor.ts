/**
 * Whether what a link knows of its remote has moved on since its cursor was given: by our own writes,
 * or by a look that came to no end. A cursor that only names a state then proves nothing: the remote
 * may be back in that state. Links of before are doubted once, so that their next look shows all.
 * Locks: `ACCESS EXCLUSIVE` on `sync_links` for a moment; no row is rewritten.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class DoubtCursor1763750000006 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      'ALTER TABLE context_system.sync_links ADD COLUMN cursor_doubted boolean NOT NULL DEFAULT true',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE context_system.sync_links DROP COLUMN cursor_doubted');
  }
}
